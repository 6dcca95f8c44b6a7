//! The example of `docs/adapters.md`: it compiles, does what the page says, and stands there word for word.

#![allow(clippy::unwrap_used, reason = "everything here is a test")]

#[path = "example/lines.rs"]
mod lines;

use futures::{StreamExt, TryStreamExt};
use lines::Lines;
use storage::{ErrorKind, ListRequest, Source, Version};

const PAGE: &str = include_str!("../../docs/adapters.md");

fn source(text: &str) -> Lines {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Lines::open(file.path()).unwrap()
}

async fn listed(source: &Lines, request: ListRequest) -> Vec<String> {
    let pages: Vec<_> = source.list(request).try_collect().await.unwrap();
    let entries = pages.into_iter().flat_map(|page| page.entries);
    entries.map(|entry| entry.key.to_str().unwrap().to_owned()).collect()
}

#[test]
fn the_page_shows_the_example_as_it_is() {
    assert!(
        PAGE.contains(include_str!("example/lines.rs")),
        "docs/adapters.md has to hold storage/tests/example/lines.rs"
    );
}

#[tokio::test]
async fn the_example_lists_in_order_and_from_any_key() {
    let many = "line\n".repeat(2500);
    let source = source(&many);
    let all = listed(&source, ListRequest::default()).await;
    assert_eq!((all.len(), all[0].as_str()), (2501, "00000001"));
    assert!(all.is_sorted());
    let from = ListRequest { after: Some("00001500".into()), ..ListRequest::default() };
    assert_eq!(listed(&source, from).await, all[1500..]);
    let under = ListRequest { under: "0000001".into(), ..ListRequest::default() };
    assert_eq!(listed(&source, under).await, all[9..19]);
}

#[tokio::test]
async fn the_example_reads_what_was_listed_and_nothing_else() {
    let source = source("first\nsecond");
    let meta = source.head(&"00000002".into()).await.unwrap();
    let version = Version { size: meta.size, etag: meta.etag.clone(), modified_ms: None };
    let mut read = source.read(&"00000002".into(), Some(1..4), &version).await.unwrap();
    assert_eq!(read.meta, meta);
    assert_eq!(read.body.next().await.unwrap().unwrap().as_ref(), b"eco");
    let refused = source.read(&"00000001".into(), None, &version).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::PreconditionFailed);
    assert_eq!(source.head(&"00000009".into()).await.err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(Lines::open("/nonexistent/lines".as_ref()).err().unwrap().kind(), ErrorKind::BucketNotFound);
}
