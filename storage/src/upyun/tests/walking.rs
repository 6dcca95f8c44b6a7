//! The walk over folders, against a server that knows nothing but listings, in the order of time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};

use futures::StreamExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::*;

/// What folders hold, by their paths: names in the order of writing, a folder's with its `/`.
type Tree = BTreeMap<String, Vec<String>>;

struct Shelf {
    endpoint: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    tree: Tree,
    /// Paths that were asked for, with the place in the folder.
    asked: Vec<(String, usize)>,
    /// The place of the page that fails, once.
    fails_at: Option<usize>,
    /// It fails because the folder is not found, as if it were gone.
    fails_as_gone: bool,
}

impl Shelf {
    fn of(tree: Tree) -> Shelf {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { tree, ..State::default() }));
        let shared = state.clone();
        // It ends with the process of the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || answer(&stream, &shared));
            }
        });
        Shelf { endpoint, state }
    }

    fn store(&self, list_page: u32, held_most: usize) -> UpyunStore {
        let endpoint = Endpoint {
            endpoint: self.endpoint.clone(),
            access_key: conf::Secret::Literal("operator".into()),
            list_page,
            ..endpoint()
        };
        let mut store = store(&endpoint);
        Arc::get_mut(&mut store.0).unwrap().held_most = held_most;
        store
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One page; the connection is over then.
fn answer(mut stream: &TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut head = Vec::new();
    for line in BufReader::new(stream).lines().map_while(std::result::Result::ok) {
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let header = |name: &str| {
        let line = head.iter().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")));
        line.map(|line| line[name.len() + 2..].to_owned()).unwrap_or_default()
    };
    let path = head.first()?.split(' ').nth(1)?.strip_prefix("/photos/")?.to_owned();
    let (from, limit): (usize, usize) =
        (header("x-list-iter").parse().unwrap_or(0), header("x-list-limit").parse().unwrap());
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.asked.push((path.clone(), from));
    let gone =
        || ("404 Not Found", r#"{"code":40400001,"msg":"file or directory not found","id":"1"}"#.to_owned());
    let (status, text) = if state.fails_at == Some(from) {
        state.fails_at = None;
        if state.fails_as_gone {
            gone()
        } else {
            ("503 Down", r#"{"code":50300028,"msg":"get file from fs error","id":"1"}"#.to_owned())
        }
    } else {
        match state.tree.get(&path) {
            None => gone(),
            Some(names) => ("200 OK", page(names, from, limit)),
        }
    };
    let length = text.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}").ok()
}

fn page(names: &[String], from: usize, limit: usize) -> String {
    let until = (from + limit).min(names.len());
    let files: Vec<serde_json::Value> = names[from..until]
        .iter()
        .map(|name| match name.strip_suffix('/') {
            Some(name) => {
                serde_json::json!({"name": name, "type": "folder", "length": 0, "last_modified": 7})
            }
            None => {
                serde_json::json!({"name": name, "type": "a/b", "length": name.len(), "last_modified": 7})
            }
        })
        .collect();
    let iter = if until < names.len() { until.to_string() } else { "g2gCZAAEbmV4dGQAA2VvZg".to_owned() };
    serde_json::json!({"files": files, "iter": iter}).to_string()
}

async fn keys(store: &UpyunStore, request: ListRequest) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    let mut pages = store.list(request);
    while let Some(page) = pages.next().await {
        keys.extend(page?.entries.into_iter().map(|entry| entry.key.to_str().unwrap_or_default().to_owned()));
    }
    Ok(keys)
}

fn flat(count: usize, random: &mut StdRng) -> Vec<String> {
    let mut names: Vec<String> = (0..count).map(|n| format!("n{n:05}")).collect();
    names.shuffle(random);
    names
}

fn after(key: &str) -> ListRequest {
    ListRequest { after: Some(key.into()), ..ListRequest::default() }
}

/// A random tree, and the keys that an object store would list for it.
fn random_tree(random: &mut StdRng) -> (Tree, BTreeSet<String>) {
    let mut names = ["a", "a-b", "a.b", "a0", "b", "é", "z z", "-", "0"];
    let (mut tree, mut keys) = (Tree::new(), BTreeSet::new());
    let mut open = vec![(String::new(), 0)];
    while let Some((path, depth)) = open.pop() {
        let mut held = Vec::new();
        names.shuffle(random);
        for name in &names[..random.random_range(0..names.len())] {
            if depth < 3 && random.random_bool(0.4) {
                held.push(format!("{name}/"));
                open.push((format!("{path}{name}/"), depth + 1));
            } else {
                held.push((*name).to_owned());
                keys.insert(format!("{path}{name}"));
            }
        }
        if held.is_empty() && !path.is_empty() {
            keys.insert(path.clone());
        }
        let wire: String =
            percent_encoding::utf8_percent_encode(&path, percent_encoding::NON_ALPHANUMERIC).to_string();
        let wire = wire.replace("%2F", "/").replace("%2E", ".").replace("%2D", "-");
        tree.insert(wire, held);
    }
    (tree, keys)
}

#[tokio::test]
async fn any_tree_comes_in_the_order_of_an_object_store_from_any_key_on() {
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..3 {
        let (tree, all) = random_tree(&mut random);
        let shelf = Shelf::of(tree);
        let store = shelf.store(3, folder::MOST);
        let expected: Vec<&String> = all.iter().collect();
        let listed = keys(&store, ListRequest::default()).await.unwrap();
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "seed {seed}");
        for start in all.iter().map(String::as_str).chain(["a/", "a/a", "b0", "zz"]) {
            let expected: Vec<&String> = all.iter().filter(|key| key.as_str() > start).collect();
            let listed = keys(&store, after(start)).await.unwrap();
            assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "after {start:?}, seed {seed}");
        }
    }
}

#[tokio::test]
async fn a_large_folder_is_read_once_by_all_who_list_parts_of_it() {
    let mut random = StdRng::seed_from_u64(1);
    let shelf = Shelf::of(Tree::from([(String::new(), flat(1000, &mut random))]));
    let store = shelf.store(100, folder::MOST);
    let mut first = store.list(ListRequest::default());
    assert_eq!(first.next().await.unwrap().unwrap().entries.len(), 100);
    let (one, other) = tokio::join!(keys(&store, after("n00500")), keys(&store, after("n00900")));
    assert_eq!((one.unwrap().len(), other.unwrap().len()), (499, 99));
    assert_eq!(shelf.state().asked.len(), 10);
    drop(first);
    // Nobody has it any more: it is read as it is now.
    shelf.state().tree.insert(String::new(), flat(1001, &mut random));
    assert_eq!(keys(&store, after("n00998")).await.unwrap(), ["n00999", "n01000"]);
}

#[tokio::test]
async fn two_who_come_at_once_read_it_once() {
    let mut random = StdRng::seed_from_u64(2);
    let shelf = Shelf::of(Tree::from([(String::new(), flat(1000, &mut random))]));
    let store = shelf.store(100, folder::MOST);
    let (mut one, mut other) = (store.list(ListRequest::default()), store.list(after("n00500")));
    let (first, second) = tokio::join!(one.next(), other.next());
    assert_eq!(first.unwrap().unwrap().entries[0].key, "n00000".into());
    assert_eq!(second.unwrap().unwrap().entries[0].key, "n00501".into());
    assert_eq!(shelf.state().asked.len(), 10);
}

#[tokio::test]
async fn a_reading_that_broke_off_goes_on_where_it_was() {
    let mut random = StdRng::seed_from_u64(3);
    let shelf = Shelf::of(Tree::from([(String::new(), flat(1000, &mut random))]));
    let store = shelf.store(100, folder::MOST);
    shelf.state().fails_at = Some(600);
    let failed = keys(&store, ListRequest::default()).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::ServiceFailure, "{failed}");
    assert_eq!(keys(&store, ListRequest::default()).await.unwrap().len(), 1000);
    let places: Vec<usize> = shelf.state().asked.iter().map(|(_, from)| *from).collect();
    assert_eq!(places, [0, 100, 200, 300, 400, 500, 600, 600, 700, 800, 900]);
}

#[tokio::test]
async fn a_folder_that_is_not_found_in_its_middle_never_passes_for_whole() {
    let mut random = StdRng::seed_from_u64(5);
    let tree = Tree::from([
        (String::new(), vec!["d/".to_owned(), "z".to_owned()]),
        ("d/".to_owned(), flat(1000, &mut random)),
    ]);
    // Held whole, and given out as it comes.
    for held_most in [folder::MOST, 4_000] {
        let shelf = Shelf::of(tree.clone());
        let store = shelf.store(100, held_most);
        shelf.state().fails_at = Some(600);
        shelf.state().fails_as_gone = true;
        let failed = keys(&store, ListRequest::default()).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Protocol, "{failed}");
        assert!(retryable(failed.kind()) && failed.code() == "40400001", "{failed}");
        assert!(failed.message().contains("\"d/\" broke off in the middle"), "{failed}");
        assert_eq!(keys(&store, ListRequest::default()).await.unwrap().len(), 1001);
    }
}

#[tokio::test]
async fn what_was_found_before_a_failure_is_given_out_before_it() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let tree = Tree::from([
        (String::new(), names(&["b/", "a"])),
        ("b/".to_owned(), names(&["0", "1", "2", "3", "4"])),
    ]);
    let shelf = Shelf::of(tree);
    let store = shelf.store(3, folder::MOST);
    shelf.state().fails_at = Some(3);
    let mut pages = store.list(ListRequest::default());
    assert_eq!(pages.next().await.unwrap().unwrap().entries.len(), 1);
    assert!(pages.next().await.unwrap().is_err());
    assert!(pages.next().await.is_none());
    assert_eq!(keys(&store, after("a")).await.unwrap(), ["b/0", "b/1", "b/2", "b/3", "b/4"]);
}

#[tokio::test]
async fn a_folder_too_large_to_hold_is_given_out_as_it_comes_and_nothing_is_lost() {
    let mut random = StdRng::seed_from_u64(4);
    let mut names = flat(1000, &mut random);
    names.insert(700, "inner/".to_owned());
    let inner = vec!["x".to_owned(), "y".to_owned()];
    let shelf = Shelf::of(Tree::from([(String::new(), names), ("inner/".to_owned(), inner)]));
    let store = shelf.store(100, 4_000);
    let listed = keys(&store, ListRequest::default()).await.unwrap();
    assert!(!listed.is_sorted(), "whoever wants them sorted sees that they are not");
    let unique: BTreeSet<&String> = listed.iter().collect();
    assert_eq!((listed.len(), unique.len()), (1002, 1002));
    assert!(unique.contains(&"inner/y".to_owned()));
    let pages = shelf.state().asked.iter().filter(|(path, _)| path.is_empty()).count();
    assert_eq!(pages, 11, "each page is asked for once");
}

#[tokio::test]
async fn where_no_folder_is_there_are_no_keys() {
    let shelf = Shelf::of(Tree::from([(String::new(), vec!["a".to_owned()])]));
    let store = shelf.store(3, folder::MOST);
    for under in ["no/", "a/b/", "a//b/", "../", "./"] {
        let request = ListRequest { under: under.into(), ..ListRequest::default() };
        assert!(keys(&store, request).await.unwrap().is_empty(), "{under}");
    }
    assert!(shelf.state().asked.iter().all(|(path, _)| !path.contains("..") && !path.contains("//")));
}
