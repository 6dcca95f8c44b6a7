//! Writes: nothing is visible before it is complete, and what is visible is what was sent.

use bytes::Bytes;
use storage::destination::Whole;
use storage::{ErrorKind, Headers, Payload, PutOptions, Unwanted};

use crate::world::World;

fn headers() -> Headers {
    let text = |value: &str| Some(value.to_owned());
    Headers {
        content_type: text("text/x-test; charset=utf-8"),
        content_encoding: text("gzip"),
        content_language: text("de"),
        content_disposition: text("attachment; filename=\"a b.txt\""),
        cache_control: text("max-age=60"),
        expires: text("Wed, 21 Oct 2026 07:28:00 GMT"),
        user: vec![("colour".into(), "dark red".into()), ("x-y".into(), "1".into())],
    }
}

pub(crate) async fn content_headers_and_metadata_arrive(world: World) {
    if !world.can.keeps_headers {
        return;
    }
    world.put_with("put", "content", headers()).await.unwrap();
    let parts = world.parts();
    let size = parts.iter().map(|part| part.len() as u64).sum();
    let options = PutOptions { size, headers: headers(), ..PutOptions::default() };
    let upload = world.destination.begin(&"large".into(), &options).await.unwrap();
    let mut done = Vec::new();
    for index in 0..parts.len() {
        done.push(world.part(&upload, &parts, index).await);
    }
    world.destination.complete(&upload, &options, &done, &world.whole(&parts)).await.unwrap();
    for key in ["put", "large"] {
        let mut found = world.source.head(&key.into()).await.unwrap().headers;
        // Not every service gives back every header; none may give back another one.
        for (got, sent) in [
            (&mut found.content_language, headers().content_language),
            (&mut found.expires, headers().expires),
        ] {
            if got.is_none() {
                *got = sent;
            }
        }
        assert_eq!(found, headers(), "{key}");
        let version = world.listed(key).await;
        let read = world.source.read(&key.into(), None, &version).await.unwrap();
        assert_eq!(read.meta.headers.user, headers().user, "a read tells it as well");
    }
}

pub(crate) async fn what_cannot_be_carried_is_said(world: World) {
    let written = world.put_with("x", "content", headers()).await.unwrap();
    assert_eq!(written.not_carried.is_empty(), world.can.keeps_headers, "{:?}", written.not_carried);
}

pub(crate) async fn a_second_write_replaces_the_first(world: World) {
    world.put("x", "the first, which is longer").await.unwrap();
    world.put("x", "second").await.unwrap();
    assert_eq!(world.all().await, ["x"]);
    assert_eq!(world.read("x").await.unwrap(), b"second");
}

pub(crate) async fn the_destination_states_the_checksum_of_what_it_holds(world: World) {
    let content = Payload::new(vec![Bytes::from(vec![7; 300_000])]);
    let options = PutOptions { size: content.len(), ..PutOptions::default() };
    let written = world.destination.put(&"x".into(), &options, &content).await.unwrap();
    let stated = written.stated;
    use crc_fast::CrcAlgorithm::{Crc32Iscsi, Crc32IsoHdlc, Crc64Nvme, Crc64Xz};
    for (value, algorithm) in [
        (stated.crc64nvme, Crc64Nvme),
        (stated.crc64ecma, Crc64Xz),
        (stated.crc32c.map(u64::from), Crc32Iscsi),
        (stated.crc32.map(u64::from), Crc32IsoHdlc),
    ] {
        assert!(value.is_none_or(|value| value == content.crc(algorithm)), "{algorithm:?}");
    }
    assert!(stated.md5.is_none_or(|md5| md5 == content.md5()));
    if world.limits().etag_is_md5 && world.can.states_etags && world.can.etags_are_md5 {
        assert_eq!(written.etag.map(|etag| etag.to_lowercase()), Some(hex::encode(content.md5())));
    }
    let narrow = stated.crc32c.is_some() || stated.crc32.is_some();
    let stated_crc = [stated.crc64nvme.is_some(), stated.crc64ecma.is_some(), narrow];
    assert_eq!(stated_crc.contains(&true), world.limits().crc.is_some(), "as its limits say");
}

pub(crate) async fn many_chunks_make_one_object(world: World) {
    let chunks: Vec<Bytes> = (0..200_u8).map(|n| Bytes::from(vec![n; usize::from(n) * 50])).collect();
    let payload = Payload::new(chunks.clone());
    let options = PutOptions { size: payload.len(), ..PutOptions::default() };
    world.destination.put(&"x".into(), &options, &payload).await.unwrap();
    assert!(world.read("x").await.unwrap() == chunks.concat());
}

pub(crate) async fn an_upload_is_invisible_until_it_is_complete(world: World) {
    let parts = world.parts();
    let (upload, options) = world.begin("d/x", &parts).await;
    let mut done = Vec::new();
    // In any order.
    for index in [2, 0, 1] {
        done.push(world.part(&upload, &parts, index).await);
        assert!(!world.all().await.contains(&"d/x".to_owned()));
        assert_eq!(world.source.head(&"d/x".into()).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    done.sort_by_key(|part| part.number);
    let whole = world.whole(&parts);
    let written = world.destination.complete(&upload, &options, &done, &whole).await.unwrap();
    assert!(world.read("d/x").await.unwrap() == parts.concat());
    if let (Some(stated), Some(crc_fast::CrcAlgorithm::Crc64Nvme)) =
        (written.stated.crc64nvme, world.limits().crc)
    {
        assert_eq!(Some(stated), whole.crc);
    }
    assert_eq!(world.all().await, ["d/x"]);
}

pub(crate) async fn an_upload_goes_on_from_its_recorded_parts(world: World) {
    let parts = world.parts();
    let (upload, options) = world.begin("x", &parts).await;
    let first = world.part(&upload, &parts, 0).await;
    let third = world.part(&upload, &parts, 2).await;
    let recorded = [first.clone(), third.clone()];
    assert_eq!(world.destination.parts(&upload, &recorded).await.unwrap(), recorded);
    // A record of something else does not count.
    let other =
        storage::PartDone { etag: "00000000000000000000000000000000".into(), crc: Some(1), ..first.clone() };
    let kept = world.destination.parts(&upload, &[other, third.clone()]).await.unwrap();
    if world.can.keeps_books {
        assert_eq!(kept, std::slice::from_ref(&third));
    }
    let second = world.part(&upload, &parts, 1).await;
    let done = [first, second, third];
    world.destination.complete(&upload, &options, &done, &world.whole(&parts)).await.unwrap();
    assert!(world.read("x").await.unwrap() == parts.concat());
}

pub(crate) async fn a_part_that_is_sent_again_replaces_the_first(world: World) {
    let parts = world.parts();
    let (upload, options) = world.begin("x", &parts).await;
    let mut wrong = parts.clone();
    wrong[0] = Bytes::from(vec![99; parts[0].len()]);
    let old = world.part(&upload, &wrong, 0).await;
    let mut done = Vec::new();
    for index in 0..parts.len() {
        done.push(world.part(&upload, &parts, index).await);
    }
    if world.can.keeps_books {
        assert!(world.destination.parts(&upload, &[old]).await.unwrap().is_empty());
    }
    world.destination.complete(&upload, &options, &done, &world.whole(&parts)).await.unwrap();
    assert!(world.read("x").await.unwrap() == parts.concat());
}

pub(crate) async fn a_wrong_whole_is_never_visible(world: World) {
    if !world.can.checks_whole {
        return;
    }
    let parts = world.parts();
    let (upload, options) = world.begin("x", &parts).await;
    let mut done = Vec::new();
    for index in 0..parts.len() {
        done.push(world.part(&upload, &parts, index).await);
    }
    let whole = world.whole(&parts);
    let Some(crc) = whole.crc else { return };
    let wrong = Whole { crc: Some(crc ^ 1), ..whole };
    match world.destination.complete(&upload, &options, &done, &wrong).await {
        Err(_) => assert!(world.all().await.is_empty()),
        // It is visible, but what is stated tells: the caller compares.
        Ok(written) => {
            let stated = written.stated;
            assert!(stated.crc64ecma == Some(crc) || stated.crc64nvme == Some(crc), "{stated:?}");
        }
    }
}

pub(crate) async fn an_aborted_upload_is_gone(world: World) {
    let parts = world.parts();
    let (upload, options) = world.begin("x", &parts).await;
    let done = world.part(&upload, &parts, 0).await;
    world.destination.abort(&Unwanted::Known(upload.clone())).await.unwrap();
    if !world.can.keeps_books {
        return;
    }
    world.destination.abort(&Unwanted::Known(upload.clone())).await.unwrap();
    let listed = world.destination.parts(&upload, std::slice::from_ref(&done)).await;
    assert_eq!(listed.unwrap_err().kind(), ErrorKind::UploadNotFound);
    let whole = world.whole(&parts[..1]);
    let completed = world.destination.complete(&upload, &options, &[done], &whole).await;
    assert_eq!(completed.unwrap_err().kind(), ErrorKind::UploadNotFound);
    assert!(world.all().await.is_empty());
}

pub(crate) async fn an_upload_over_an_object_leaves_it_until_the_end(world: World) {
    world.put("x", "what was there").await.unwrap();
    let parts = world.parts();
    let (upload, options) = world.begin("x", &parts).await;
    let mut done = Vec::new();
    for index in 0..parts.len() {
        done.push(world.part(&upload, &parts, index).await);
    }
    assert_eq!(world.read("x").await.unwrap(), b"what was there");
    world.destination.complete(&upload, &options, &done, &world.whole(&parts)).await.unwrap();
    assert!(world.read("x").await.unwrap() == parts.concat());
}

pub(crate) async fn uploads_whose_ids_were_lost_go_and_no_others(world: World) {
    if !world.can.lists_uploads {
        return;
    }
    let parts = world.parts();
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let (lost, _) = world.begin("x", &parts).await;
    let (longer, _) = world.begin("x/y", &parts).await;
    let (wanted, _) = world.begin("x", &parts).await;
    let unknown = |since_ms| Unwanted::Unknown { key: "x".into(), since_ms, wanted: wanted.id.clone() };
    // What was begun long before may be somebody else's.
    assert_eq!(world.destination.abort(&unknown(now_ms + 3_600_000)).await.unwrap(), 0);
    assert_eq!(world.destination.abort(&unknown(now_ms)).await.unwrap(), 1);
    let gone = world.destination.parts(&lost, &[]).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::UploadNotFound);
    for stays in [longer, wanted] {
        world.part(&stays, &parts, 0).await;
        world.destination.abort(&Unwanted::Known(stays)).await.unwrap();
    }
}
