use std::os::unix::ffi::OsStrExt;

use proptest::prelude::{any, prop};
use proptest::{prop_assert_eq, proptest};

use super::*;

#[tokio::test]
async fn a_tree_is_listed_as_an_object_store_would() {
    let root = tree(&["a", "a-b", "a.b", "a0", "b/x", "b/y/z", "b-c", "b0", "empty/"]);
    let listed = keys(&*source(root.path()), ListRequest::default()).await;
    assert_eq!(listed, ["a", "a-b", "a.b", "a0", "b-c", "b/x", "b/y/z", "b0", "empty/"]);
}

#[tokio::test]
async fn a_folded_listing_does_not_descend() {
    let root = tree(&["a", "b/x", "b/y/z", "b-c/d", "c/"]);
    let source = source(root.path());
    let fold = |under: &str, after: Option<&str>| ListRequest {
        under: under.into(),
        after: after.map(Into::into),
        folded: true,
        ..ListRequest::default()
    };
    let listed = |request| async {
        let pages = pages(&*source, request).await.unwrap();
        let entries: Vec<String> = pages.iter().flat_map(|p| &p.entries).map(|e| e.key.to_line()).collect();
        let prefixes: Vec<String> = pages.iter().flat_map(|p| &p.prefixes).map(ObjectKey::to_line).collect();
        (entries.join(" "), prefixes.join(" "))
    };
    assert_eq!(listed(fold("", None)).await, ("a".into(), "b-c/ b/ c/".into()));
    assert_eq!(listed(fold("b", None)).await, (String::new(), "b-c/ b/".into()));
    assert_eq!(listed(fold("b/", None)).await, ("b/x".into(), "b/y/".into()));
    assert_eq!(listed(fold("c/", None)).await, ("c/".into(), String::new()));
    assert_eq!(listed(fold("", Some("b-c/d"))).await, (String::new(), "b/ c/".into()));
}

proptest! {
    #[test]
    fn every_range_of_every_tree_is_the_sorted_keys_in_it(
        names in prop::collection::btree_set("[-./0ab]{1,9}", 1..25),
        under in "[-./0ab]{0,3}",
        after in prop::option::of("[-./0ab]{0,6}"),
        until in prop::option::of("[-./0ab]{1,6}"),
        page in 1_u32..5,
        is_prefix in any::<bool>(),
    ) {
        let root = TempDir::new().unwrap();
        let mut all = Vec::new();
        for name in &names {
            let path = root.path().join(name);
            let safe = crate::local::path::take_apart(name.as_bytes()).is_ok() && !name.ends_with('/');
            if safe && fs::create_dir_all(path.parent().unwrap()).is_ok() && fs::write(&path, "x").is_ok() {
                all.push(name.clone());
            }
        }
        // Directories that stayed empty because a name behind them could not be made.
        for path in everything(root.path()) {
            if path.is_dir() && fs::read_dir(&path).unwrap().next().is_none() {
                all.push(format!("{}/", path.strip_prefix(root.path()).unwrap().display()));
            }
        }
        all.sort();
        let skip = if is_prefix { under.len() } else { 0 };
        let in_range = |key: &&String| {
            key.starts_with(&under)
                && (key.len() > skip || !key.ends_with('/'))
                && after.as_ref().is_none_or(|after| key[skip..] > **after)
                && until.as_ref().is_none_or(|until| key[skip..] < **until)
        };
        let expected: Vec<String> = all.iter().filter(in_range).map(|key| key[skip..].to_owned()).collect();
        let prefix = if is_prefix { under.clone() } else { String::new() };
        let endpoint = Endpoint { prefix, list_page: page, ..endpoint(root.path()) };
        let request = ListRequest {
            under: if is_prefix { ObjectKey::default() } else { under.as_str().into() },
            after: after.as_deref().map(Into::into),
            until: until.as_deref().map(Into::into),
            folded: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let source = open::source(&endpoint, &context()).unwrap();
        prop_assert_eq!(runtime.block_on(keys(&*source, request)), expected);
    }
}

#[tokio::test]
async fn links_and_special_files_are_left_out_and_counted() {
    let root = tree(&["a", "d/x"]);
    symlink("a", root.path().join("link")).unwrap();
    symlink("d", root.path().join("linked")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    let pages = pages(&*source(root.path()), ListRequest::default()).await.unwrap();
    assert_eq!(pages.iter().map(|page| page.special).sum::<u64>(), 3);
    assert_eq!(keys(&*source(root.path()), ListRequest::default()).await, ["a", "d/x"]);
}

#[tokio::test]
async fn followed_links_are_what_they_lead_to_and_loops_end() {
    let root = tree(&["a", "d/x"]);
    symlink("a", root.path().join("link")).unwrap();
    symlink("d", root.path().join("linked")).unwrap();
    symlink("..", root.path().join("d/up")).unwrap();
    symlink("nowhere", root.path().join("dangling")).unwrap();
    let endpoint = Endpoint { follow_symlinks: true, ..endpoint(root.path()) };
    let source = open::source(&endpoint, &context()).unwrap();
    let pages = pages(&*source, ListRequest::default()).await.unwrap();
    assert_eq!(keys(&*source, ListRequest::default()).await, ["a", "d/x", "link", "linked/x"]);
    // The loop from each of the two ways to `d`, and the link to nowhere.
    assert_eq!(pages.iter().map(|page| page.special).sum::<u64>(), 3);
    let inside = ListRequest { under: "d/".into(), ..ListRequest::default() };
    assert_eq!(keys(&*source, inside).await, ["d/x"]);
    let link = one(&*source, "link").await;
    assert!(source.read(&"link".into(), None, &version(&link)).await.is_ok());
}

#[tokio::test]
async fn names_that_are_not_utf8_are_listed_with_their_bytes() {
    let root = tree(&["a"]);
    let name = [b'x', 0xff, b'y'];
    fs::write(root.path().join(std::ffi::OsStr::from_bytes(&name)), "x").unwrap();
    let listed = entries(&*source(root.path()), ListRequest::default()).await;
    assert_eq!(listed.last().unwrap().key.as_bytes(), name);
}

#[tokio::test]
async fn temporary_files_are_not_listed() {
    let root = tree(&["a", ".brigade-0011223344556677.tmp", "d/.brigade-0011223344556677.tmp"]);
    assert_eq!(keys(&*source(root.path()), ListRequest::default()).await, ["a", "d/"]);
}

#[tokio::test]
async fn a_missing_root_is_said_so() {
    let root = tree(&["file"]);
    for name in ["missing", "file"] {
        let source = source(&root.path().join(name));
        for error in [source.check().await, pages(&*source, ListRequest::default()).await.map(drop)] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BucketNotFound);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

/// The listing until `then` happens behind the first key, and on to its end.
async fn listed_while(names: &[&str], then: impl FnOnce(&Path)) -> (Vec<String>, Option<Error>, Vec<String>) {
    let root = tree(names);
    let endpoint = Endpoint { list_page: 1, ..endpoint(root.path()) };
    let source = open::source(&endpoint, &context()).unwrap();
    let mut listing = source.list(ListRequest::default());
    let mut found = vec![listing.try_next().await.unwrap().unwrap().entries[0].key.to_line()];
    then(root.path());
    let error = loop {
        match listing.try_next().await {
            Ok(Some(page)) => found.extend(page.entries.iter().map(|entry| entry.key.to_line())),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    let after = found.last().map(|key| ObjectKey::from(key.as_str()));
    let rest = keys(&*source, ListRequest { after, ..ListRequest::default() }).await;
    (found, error, rest)
}

/// As a release is put in place; where it is deep, nothing of the walk is open but the two levels below.
#[tokio::test]
async fn a_directory_that_is_replaced_while_it_is_listed_is_not_taken_for_ended() {
    for first in ["cur/1", "cur/a/b/1"] {
        for away in [true, false] {
            let (found, error, rest) = listed_while(&[first, "cur/z", "later"], |root| {
                let cur = root.join("cur");
                if away { fs::rename(&cur, root.join("old")) } else { fs::remove_dir_all(&cur) }.unwrap();
                fs::create_dir_all(&cur).unwrap();
                ["y", "z"].iter().for_each(|name| fs::write(cur.join(name), "new").unwrap());
            })
            .await;
            // Names of a directory that was moved away can still be looked at: they are found, or fail as gone.
            if away && first == "cur/1" {
                assert_eq!(found, ["cur/1", "cur/z", "later"]);
                continue;
            }
            assert_eq!(found, [first], "away: {away}");
            let error = error.expect("the rest of cur was passed over in silence");
            assert!(error.kind() == ErrorKind::Broken && error.to_string().contains("cur"), "{error}");
            assert_eq!(rest[..3], ["cur/y", "cur/z", "later"], "away: {away}");
        }
    }
}

#[tokio::test]
async fn a_directory_that_is_taken_away_while_it_is_listed_has_ended() {
    for first in ["cur/1", "cur/a/b/1"] {
        let (found, error, _) =
            listed_while(&[first, "cur/z", "later"], |root| fs::remove_dir_all(root.join("cur")).unwrap())
                .await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(found, [first, "later"]);
    }
}

#[tokio::test]
async fn an_unreadable_directory_ends_the_listing_with_its_name() {
    use std::os::unix::fs::PermissionsExt;
    let root = tree(&["a/x", "b/y"]);
    fs::set_permissions(root.path().join("b"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(root.path().join("b")).is_ok() {
        println!("skipped: permissions do not bind this user");
        return;
    }
    let error = pages(&*source(root.path()), ListRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert!(error.to_string().contains("/b"), "{error}");
}

async fn many_files(n: usize) {
    let root = TempDir::new().unwrap();
    for number in 0..n {
        fs::File::create(root.path().join(format!("{number:07}"))).unwrap();
    }
    let source = source(root.path());
    let before = peak_memory();
    let mut listing = source.list(ListRequest::default());
    let (mut count, mut last) = (0, ObjectKey::default());
    while let Some(page) = listing.try_next().await.unwrap() {
        assert!(page.entries.len() <= 1000);
        assert!(page.entries.is_sorted_by(|a, b| a.key < b.key) && page.entries[0].key > last);
        count += page.entries.len();
        last = page.entries.last().unwrap().key.clone();
    }
    assert_eq!(count, n);
    // Some 16 bytes a name of seven letters, and one page.
    let grown = peak_memory() - before;
    assert!(grown < n * 40 / 1024 + 16 * 1024, "{grown} KiB more for {n} names");
    let after = Some(ObjectKey::from(format!("{:07}", n - 11).as_str()));
    assert_eq!(entries(&*source, ListRequest { after, ..ListRequest::default() }).await.len(), 10);
}

/// KiB that this process held at most so far.
fn peak_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_large_directory_comes_in_pages() {
    many_files(20_000).await;
}

/// A million files: some ten seconds and a million inodes; run it alone with `--ignored`, so that the
/// memory of other tests does not count.
#[tokio::test]
#[ignore = "makes a million files"]
async fn a_directory_of_a_million_files_comes_in_pages() {
    many_files(1_000_000).await;
}
