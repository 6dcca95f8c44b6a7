//! Scans of jobs that change keys: no two objects ever get one name, whatever the rules, the order of the service
//! and the kills are.

use std::collections::BTreeMap;

use conf::rename::{Mapped, Mapping, Rename};
use proto::manifest::Entry;

use super::*;
use crate::scan::ledger::NewTask;

fn rule(pattern: &str, to: &str) -> Rename {
    Rename { pattern: pattern.into(), to: to.into() }
}

fn renaming(rules: Vec<Rename>, threads: u32, count: u32) -> JobConf {
    JobConf { rename: rules, ..job(threads, count) }
}

/// All entries in the order of the tasks.
fn entries(book: &Book) -> Vec<Entry> {
    book.tasks.lock().unwrap().iter().flat_map(|task| task.entries.clone()).collect()
}

/// Name at the destination to the key that has it; checks that there is one, and that each other one is refused
/// with both names.
fn owners(book: &Book, mapping: &Mapping) -> BTreeMap<ObjectKey, ObjectKey> {
    let all = entries(book);
    let mut owners = BTreeMap::new();
    for entry in all.iter().filter(|entry| entry.refused.is_none()) {
        match mapping.map(entry.key.to_str().unwrap()) {
            Mapped::Same => assert_eq!(entry.to, None),
            Mapped::To(to) => assert_eq!(entry.target().to_str(), Some(&*to)),
            Mapped::Refused(why) => panic!("{}: {why}", entry.key),
        }
        let before = owners.insert(entry.target().clone(), entry.key.clone());
        assert_eq!(before, None, "{} has two owners", entry.target());
    }
    for entry in all {
        let Some(why) = entry.refused else { continue };
        match mapping.map(entry.key.to_str().unwrap()) {
            Mapped::Refused(own) => assert_eq!(why, own),
            Mapped::To(_) | Mapped::Same => {
                let target = entry.to.as_ref().unwrap_or(&entry.key);
                let owner = owners.get(target).unwrap_or_else(|| panic!("{} lost nothing", entry.key));
                assert!(why.contains(&format!("{target:?}")) && why.contains(&format!("{owner:?}")), "{why}");
            }
        }
    }
    owners
}

fn rules() -> impl Strategy<Value = Vec<Rename>> {
    let pattern =
        prop::sample::select(vec!["a", "b+", "^", "^[ab]/", "/", "(.)/(.)", "^(.*)c$", "[abc]", "x"]);
    let to = prop::sample::select(vec!["", "a", "b", "a/", "$0$0", "c"]);
    prop::collection::vec((pattern, to).prop_map(|(pattern, to)| rule(pattern, to)), 1..4)
}

fn keys() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[abc/]{1,6}", 1..120)
}

fn order() -> impl Strategy<Value = fn(&ObjectKey, &ObjectKey) -> std::cmp::Ordering> {
    prop_oneof![
        Just(by_bytes as fn(&_, &_) -> _),
        Just(by_folder as fn(&_, &_) -> _),
        Just(by_noise as fn(&_, &_) -> _)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_key_is_in_a_task_once_and_no_two_have_one_name(
        rules in rules(), keys in keys(), order in order(), page in 1usize..40, threads in 1u32..6, count in 1u32..30,
        deaths in prop::collection::vec((1u64..4, any::<bool>()), 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mapping = Mapping::new(&rules).unwrap();
            let job = renaming(rules, threads, count);
            let service = Service::new(keys.iter(), order, page);
            let mut book = Arc::new(Book::new());
            for (at, after) in deaths {
                book = Arc::new(Arc::try_unwrap(book).unwrap().reopened(at, after));
                if let Ok(end) = scan(&job, &service, &book).await {
                    assert!(matches!(end, ScanEnd::Complete(_)));
                }
            }
            book = Arc::new(Arc::try_unwrap(book).unwrap().reopened(0, false));
            scan(&job, &service, &book).await.unwrap();
            assert_eq!(book.keys(), service.keys());
            let owners = owners(&book, &mapping);
            // The first key of each name has it.
            let mut first = BTreeMap::new();
            for key in service.keys() {
                let name = match mapping.map(key.to_str().unwrap()) {
                    Mapped::Same => key.clone(),
                    Mapped::To(to) => ObjectKey::new(to),
                    Mapped::Refused(_) => continue,
                };
                first.entry(name).or_insert(key);
            }
            assert_eq!(owners, first);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_an_earlier_round_gave_stays_with_its_owner() {
    let service = Service::new(["a b", "a-b", "c d"], by_bytes, 10);
    let earlier = |key: &str, to: &str| Entry { to: Some(ObjectKey::from(to)), ..fake::entry(key) };
    let refused = Entry { refused: Some("why".into()), ..earlier("c/d", "c_d") };
    // `a_b` was made of a key that is gone by now; `c/d` never got the name.
    let book = Arc::new(Book { earlier: vec![fake::entry("a_b"), refused], ..Book::new() });
    scan(&renaming(vec![rule("[ /-]", "_")], 2, 10), &service, &book).await.unwrap();
    let fate: Vec<(String, bool)> =
        entries(&book).iter().map(|entry| (entry.key.to_string(), entry.refused.is_some())).collect();
    assert_eq!(fate, [("a b".into(), true), ("a-b".into(), true), ("c d".into(), false)]);
    let why = entries(&book)[0].refused.clone().unwrap();
    assert!(why.contains("\"a_b\" is also that of \"a_b\""), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_between_two_runs_takes_no_name_that_was_given() {
    let service = Service::new([" bx", "b\tx", "b x", "b-x", "z"], by_bytes, 10);
    let job = renaming(vec![rule("[ -]", "")], 1, 1);
    // The run that was killed knew neither of the first two, which are before the one that has the name.
    let given = Entry { to: Some(ObjectKey::from("bx")), ..fake::entry("b x") };
    let state = ScanState { last_task: 1, objects: 1, bytes: given.size, ..ScanState::default() };
    let task = NewTask { number: 1, bytes: given.size, entries: vec![given] };
    let book = Book { tasks: vec![task].into(), state: state.into(), ..Book::new() };
    let book = Arc::new(book);
    scan(&job, &service, &book).await.unwrap();
    let owners = owners(&book, &Mapping::new(&job.rename).unwrap());
    assert_eq!(owners[&ObjectKey::from("bx")], ObjectKey::from("b x"));
    assert_eq!(book.keys(), service.keys());
}

#[tokio::test(start_paused = true)]
async fn the_destination_is_looked_at_under_the_new_names() {
    let there = Service::new(["new/1", "new/3", "old/2"], by_bytes, 2);
    let service = Service::new(["a", "old/1", "old/2", "old/3"], by_bytes, 2);
    let book = Arc::new(Book::new());
    let job = renaming(vec![rule("^old/", "new/"), rule("^a$", "zz")], 2, 10);
    scan_with(&job, &service, Some(&there), &book, &CancellationToken::new()).await.unwrap();
    let found: Vec<(String, bool)> = entries(&book)
        .iter()
        .map(|entry| (entry.target().to_string(), matches!(entry.existing, Existing::Present { .. })))
        .collect();
    assert_eq!(
        found,
        [("new/1".into(), true), ("new/2".into(), false), ("new/3".into(), true), ("zz".into(), false)]
    );
}

#[tokio::test]
async fn keys_of_a_list_are_mapped_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list");
    std::fs::write(&list, "b 1\nnot there\na\nb-1\n").unwrap();
    let service = Service { latency: Duration::ZERO, ..Service::new(["a", "b 1", "b-1", "c"], by_bytes, 10) };
    let mut job = renaming(vec![rule("[ -]", "_")], 2, 10);
    job.source.key_list = Some(list);
    let book = Arc::new(Book::new());
    scan(&job, &service, &book).await.unwrap();
    let fate: Vec<(String, String, bool)> = entries(&book)
        .iter()
        .map(|entry| (entry.key.to_string(), entry.target().to_string(), entry.refused.is_some()))
        .collect();
    let line = |key: &str, to: &str, refused| (key.to_owned(), to.to_owned(), refused);
    assert_eq!(
        fate,
        [
            line("a", "a", false),
            line("b 1", "b_1", false),
            line("b-1", "b_1", true),
            line("not there", "not_there", false)
        ]
    );
}
