//! Whole objects, ranges, versions.

use storage::{ErrorKind, Version};

use crate::world::{World, body};

fn content(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n ^ (n >> 8)) as u8).collect()
}

pub(crate) async fn an_object_is_read_whole(world: World) {
    let content = content(2_500_000);
    world.put("x", content.clone()).await.unwrap();
    let version = world.listed("x").await;
    let read = world.source.read(&"x".into(), None, &version).await.unwrap();
    assert_eq!(read.meta.size, content.len() as u64);
    assert!(body(read).await.unwrap() == content);
}

pub(crate) async fn an_empty_object_has_no_bytes(world: World) {
    world.put("x", "").await.unwrap();
    assert_eq!(world.listed("x").await.size, 0);
    assert_eq!(world.read("x").await.unwrap(), b"");
}

pub(crate) async fn ranges_are_exactly_what_was_asked_for(world: World) {
    let content = content(2_500_000);
    world.put("x", content.clone()).await.unwrap();
    let version = world.listed("x").await;
    for range in [0..1, 0..2_500_000, 17..4_000, 999_999..2_200_001, 2_499_999..2_500_000] {
        let read = world.source.read(&"x".into(), Some(range.clone()), &version).await.unwrap();
        assert_eq!(read.meta.size, content.len() as u64, "the size is the whole object's");
        assert!(body(read).await.unwrap() == content[range.start as usize..range.end as usize], "{range:?}");
    }
    let behind = world.source.read(&"x".into(), Some(2_500_000..2_500_001), &version).await;
    assert!(behind.is_err(), "a range behind the end");
}

pub(crate) async fn another_version_is_never_read(world: World) {
    world.put("x", "first").await.unwrap();
    let first = world.listed("x").await;
    world.put("x", "the second").await.unwrap();
    let stale = if world.can.conditional_reads {
        first
    } else {
        // Only what the adapter itself can find out.
        Version { etag: None, ..first }
    };
    let read = match world.source.read(&"x".into(), None, &stale).await {
        Ok(read) => body(read).await.map(drop),
        Err(error) => Err(error),
    };
    assert_eq!(read.unwrap_err().kind(), ErrorKind::PreconditionFailed);
    assert_eq!(world.read("x").await.unwrap(), b"the second");
}

pub(crate) async fn what_is_not_there_is_not_found(world: World) {
    world.put("there", "x").await.unwrap();
    let version = world.listed("there").await;
    for key in ["gone", "there/below", "no/such/thing"] {
        let read = world.source.read(&key.into(), None, &version).await.map(drop).unwrap_err();
        let head = world.source.head(&key.into()).await.unwrap_err();
        assert_eq!((read.kind(), head.kind()), (ErrorKind::NotFound, ErrorKind::NotFound), "{key}");
        assert!(read.to_string().contains(key), "{read}");
    }
}
