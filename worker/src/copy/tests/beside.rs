//! What travels beside the bytes: what a job asks for, what types keep, and what becomes of the rest.

use conf::carry::{Carry, Symlinks};
use proptest::prelude::*;
use storage::ErrorKind;

use super::*;

fn line(carry: Carry) -> Line {
    let mut line = Line::new();
    line.job.transfer.carry = carry;
    line
}

fn store(like: EndpointType) -> MemoryStore {
    let mut store = MemoryStore::new();
    store.like = Some(like);
    store
}

#[tokio::test(start_paused = true)]
async fn tags_and_access_lists_travel_where_the_job_asks_for_them() {
    for size in [1000, 230_000] {
        let mut line = line(Carry { tags: true, acl: true, ..Carry::default() });
        line.destination.like = Some(EndpointType::Oss);
        line.source.insert_beside("k", &[("team", "a b"), ("mail", "x@y")], "public-read");
        let record = line.record("k", bytes(size)).await;
        assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{record:?}");
        let (tags, acl, _) = line.destination.beside("k");
        assert_eq!((tags.len(), acl.as_deref()), (2, Some("public-read")));
        assert_eq!(record.not_carried, ["tags mail: oss takes letters, digits, spaces and +-=._:/"]);
        assert_eq!((line.source.count(Op::Tags), line.source.count(Op::Acl)), (1, 1));
        assert_eq!((line.source.count(Op::Head), line.destination.count(Op::Head)), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_source_does_not_tell_or_the_destination_does_not_have_is_said() {
    let line = line(Carry { tags: true, acl: true, ..Carry::default() });
    line.source.insert_beside("k", &[("a", "b")], "authenticated-read");
    line.source.fail_next(Op::Tags, None, 1, ErrorKind::AccessDenied);
    let record = line.record("k", bytes(10)).await;
    assert_eq!(record.outcome(), v1::Outcome::Succeeded);
    assert_eq!(record.not_carried.len(), 2, "{record:?}");
    assert!(record.not_carried[0].starts_with("tags: cannot read the tags of"), "{record:?}");
    assert_eq!(record.not_carried[1], "acl authenticated-read: oss has no such list");
    // A service that is in trouble is asked again.
    line.source.fail_next(Op::Tags, None, 2, ErrorKind::ServiceFailure);
    let record = line.record("k", bytes(10)).await;
    assert_eq!((record.attempts, line.destination.beside("k").0.len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn classes_are_mapped_as_the_job_says() {
    let classes =
        [("GLACIER_IR", "IA"), ("STANDARD", "Standard2")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let line = line(Carry { storage_classes: classes.into(), ..Carry::default() });
    for (class, written) in
        [(Some("GLACIER_IR"), Some("IA")), (None, Some("Standard2")), (Some("OTHER"), None)]
    {
        let class = class.map(str::to_owned);
        let stored = Stored { data: bytes(10), headers: Headers::default(), modified_ms: 5_000, class };
        line.source.insert_stored("k", stored);
        let record = recorded(line.moved(&line.source.entry("k").unwrap()).await);
        assert_eq!(record.outcome(), v1::Outcome::Succeeded);
        assert_eq!(line.destination.get("k").unwrap().class.as_deref(), written);
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_is_made_anew_and_read_back_or_its_target_is_read() {
    let carried = line(Carry { symlinks: Symlinks::Carry, ..Carry::default() });
    carried.source.insert_link("link", "dir/target");
    let entry = carried.source.entry("link").unwrap();
    let record = recorded(carried.moved(&entry).await);
    assert_eq!((record.outcome(), record.proof.as_str()), (v1::Outcome::Succeeded, "readback"), "{record:?}");
    assert_eq!(carried.destination.beside("link").2, Some("dir/target".into()));
    assert_eq!(carried.calls(), (vec![Op::Link], vec![Op::PutLink, Op::Link]));

    let read = line(Carry::default());
    read.source.insert_link("link", "dir/target");
    let record = recorded(read.moved(&entry).await);
    assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{record:?}");
    assert!(record.note.contains("content of its target"), "{record:?}");
    assert_eq!((read.source.count(Op::Link), read.destination.beside("link").2), (0, None));
}

#[tokio::test(start_paused = true)]
async fn missing_directory_markers_are_made_once_and_none_is_written_over() {
    let line = line(Carry { make_markers: true, ..Carry::default() });
    line.destination.insert("a/", "what stands there");
    let mover = line.mover();
    for key in ["a/b/c", "a/b/d", "a/e/", "f"] {
        line.source.insert(key, "");
        let entry = line.source.entry(key).unwrap();
        let record = recorded(mover.move_object(0, &entry, None, &line.saver).await);
        assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{record:?}");
    }
    let keys: Vec<String> = line.destination.keys().iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["a/", "a/b/", "a/b/c", "a/b/d", "a/e/", "f"]);
    assert_eq!(line.destination.get("a/").unwrap().data, "what stands there");
    assert_eq!(line.destination.count(Op::Put), 4 + 2, "each marker once");
}

#[tokio::test(start_paused = true)]
async fn directory_markers_are_made_for_lines_of_a_list_links_and_what_is_there_already() {
    let carry = Carry { make_markers: true, symlinks: Symlinks::Carry, ..Carry::default() };
    let mut line = line(carry);
    line.source.insert("of/a/list", bytes(10));
    line.source.insert_link("of/links/one", "of/a/list");
    line.source.insert("was/there", bytes(10));
    line.destination.insert("was/there", bytes(10));
    line.job.transfer.skip_existing = true;
    let mut entries = ["of/a/list", "of/links/one", "was/there"].map(|key| line.source.entry(key).unwrap());
    entries[0].size_unknown = true;
    entries[2].existing = Existing::Present { size: 10, modified_ms: Some(i64::MAX), etag: None };
    let mover = line.mover();
    for (entry, outcome) in
        entries.iter().zip([v1::Outcome::Succeeded, v1::Outcome::Succeeded, v1::Outcome::Skipped])
    {
        let record = recorded(mover.move_object(0, entry, None, &line.saver).await);
        assert_eq!(record.outcome(), outcome, "{record:?}");
    }
    let keys: Vec<String> = line.destination.keys().iter().map(ToString::to_string).collect();
    for marker in ["of/", "of/a/", "of/links/", "was/"] {
        assert!(keys.iter().any(|key| key == marker), "{marker} is not in {keys:?}");
    }
    // An audit writes nothing.
    let before = line.destination.count(Op::Put);
    line.job.kind = JobKind::Audit;
    line.source.insert("new/place", bytes(1));
    let entry = line.source.entry("was/there").unwrap();
    recorded(line.moved(&entry).await);
    assert_eq!(line.destination.count(Op::Put), before);
}

#[tokio::test(start_paused = true)]
async fn metadata_that_is_too_large_fails_the_object_and_our_own_never_makes_it_so() {
    let mut line = line(Carry::default());
    line.job.destination.kind = EndpointType::S3;
    line.destination.like = Some(EndpointType::S3);
    for (size, outcome) in [(2048, v1::Outcome::Succeeded), (2049, v1::Outcome::Failed)] {
        let user = vec![("a".to_owned(), "x".repeat(size - 1))];
        let headers = Headers { user, ..Headers::default() };
        let stored = Stored { data: bytes(10), headers, modified_ms: 5_000, class: None };
        line.source.insert_stored("k", stored);
        let record = recorded(line.moved(&line.source.entry("k").unwrap()).await);
        assert_eq!(record.outcome(), outcome, "{record:?}");
        let said = if size == 2048 { record.not_carried.concat() } else { record.text };
        assert!(
            said.contains(if size == 2048 { "metadata mtime: it is left out" } else { "takes at most 2048" }),
            "{said}"
        );
    }
}

fn headers() -> impl Strategy<Value = Headers> {
    let plain = || prop::option::of("[ -~]{1,30}");
    let any = || prop::option::of("(?s).{1,20}");
    let user = prop::collection::btree_map("[a-z0-9._-]{1,10}", "(?s).{0,30}", 0..5);
    (plain(), plain(), plain(), any(), plain(), any(), user).prop_map(|(a, b, c, d, e, f, user)| Headers {
        content_type: a,
        content_encoding: b,
        content_language: c,
        content_disposition: d,
        cache_control: e,
        expires: f,
        user: user.into_iter().collect(),
    })
}

/// Each property by the name that notes begin with, metadata by its names; `mtime` is the job's own.
fn flat(headers: &Headers) -> Vec<(String, String)> {
    let named = storage::fidelity::HEADERS.iter().zip(headers.content());
    let content = named.filter_map(|((_, name), value)| Some(((*name).to_owned(), value?.to_owned())));
    let user = headers.user.iter().filter(|(name, _)| name != "mtime");
    content.chain(user.map(|(name, value)| (format!("metadata {name}"), value.clone()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// From S3 to each type and back: all of it comes back, or a record names what did not. Nothing is added.
    #[test]
    fn there_and_back_is_the_identity_or_is_named(
        key in "[a-zA-Zäöü /+%]{1,20}[a-z]", given in headers(), data in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let key = key.trim_start_matches('/').to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let kinds = EndpointType::NAMES.iter().map(|(kind, _)| *kind).filter(|kind| *kind != EndpointType::Http);
        for kind in kinds {
            let (start, middle, end) = (store(EndpointType::S3), store(kind), store(EndpointType::S3));
            let stored = Stored { data: data.clone().into(), headers: given.clone(), modified_ms: 5_000, class: None };
            start.insert_stored(key.as_str(), stored);
            let hop = |from: &MemoryStore, to: &MemoryStore, kind| {
                let mut line = Line { source: from.clone(), destination: to.clone(), ..Line::new() };
                line.job.destination = Endpoint { kind, ..Endpoint::default() };
                let entry = line.source.entry(key.as_str()).unwrap();
                let record = recorded(runtime.block_on(line.moved(&entry)));
                assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{record:?}");
                record.not_carried
            };
            let mut notes = hop(&start, &middle, kind);
            notes.extend(hop(&middle, &end, EndpointType::S3));
            let found = end.get(key.as_str()).unwrap();
            prop_assert_eq!(&found.data[..], &data[..]);
            let (before, after) = (flat(&given), flat(&found.headers));
            for pair in &before {
                let name = pair.0.strip_prefix("metadata ").unwrap_or(&pair.0);
                let named = |note: &String| note.split([' ', ',', ':']).any(|word| word == name);
                let by_name = kind == EndpointType::Local && pair.0 == "content-type";
                prop_assert!(after.contains(pair) || notes.iter().any(named) || by_name, "{pair:?} by {kind:?}: {notes:?}");
            }
            for pair in after.iter().filter(|pair| !before.contains(pair)) {
                prop_assert!(!notes.is_empty() || kind == EndpointType::Local, "{pair:?} by {kind:?} out of nothing");
            }
        }
    }
}
