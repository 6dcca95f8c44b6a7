use super::*;
use crate::checksum::combine;
use crate::destination::{PartDone, PutOptions, Unwanted, UploadRef, Whole, Written};
use crate::error::Result;
use crate::local::temporary::mark;
use crate::local::{CRC, sweep_temporaries};
use crate::meta::Headers;
use crate::payload::Payload;

async fn put(to: &dyn Destination, key: &str, content: &'static str) -> Result<Written> {
    let options = PutOptions { size: content.len() as u64, ..PutOptions::default() };
    to.put(&key.into(), &options, &content.into()).await
}

#[tokio::test]
async fn a_file_arrives_with_its_time_and_what_it_holds_is_stated() {
    let root = tree(&[]);
    let to = destination(root.path());
    let modified_ms = Some(1_234_567_890_123);
    let user = vec![("mtime".to_owned(), "1".to_owned()), ("owner".to_owned(), "me".to_owned())];
    let options = PutOptions {
        modified_ms,
        size: 3,
        headers: Headers { user, ..Headers::default() },
        ..PutOptions::default()
    };
    let written = to.put(&"d/e/f".into(), &options, &"abc".into()).await.unwrap();
    assert_eq!(written.stated.crc64nvme, Some(Payload::from("abc").crc(CRC)));
    assert_eq!(written.not_carried, ["metadata owner: local has no place for it"]);
    assert_eq!(fs::read(root.path().join("d/e/f")).unwrap(), b"abc");
    let found = one(&*source(root.path()), "d/e/f").await;
    assert_eq!((found.size, found.modified_ms), (3, modified_ms));
}

#[tokio::test]
async fn no_key_leaves_the_root() {
    let outside = tree(&["kept"]);
    let root = tree(&["d/x"]);
    symlink(outside.path(), root.path().join("out")).unwrap();
    symlink("d", root.path().join("in")).unwrap();
    let to = destination(root.path());
    let before = everything(root.path());
    let long = "x".repeat(256);
    for key in
        ["../x", "/etc/x", "a//b", "a/../b", ".", "..", "a/.", "", "/", "//", "a\0b", &long, "out/x", "in/y"]
    {
        let error = put(&*to, key, "x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{key:?}: {error}");
    }
    assert_eq!(everything(root.path()), before);
    assert_eq!(everything(outside.path()), [outside.path().join("kept")]);
}

#[tokio::test]
async fn a_link_in_the_place_of_a_file_is_replaced_not_followed() {
    let outside = tree(&["kept"]);
    let root = tree(&[]);
    symlink(outside.path().join("kept"), root.path().join("a")).unwrap();
    put(&*destination(root.path()), "a", "new").await.unwrap();
    assert_eq!(fs::read(outside.path().join("kept")).unwrap(), b"kept");
    assert_eq!(fs::read(root.path().join("a")).unwrap(), b"new");
}

#[tokio::test]
async fn of_a_file_and_a_directory_of_one_name_the_first_stays() {
    let root = tree(&[]);
    let to = destination(root.path());
    put(&*to, "a", "file").await.unwrap();
    for key in ["a/b", "a/"] {
        let content = if key.ends_with('/') { "" } else { "x" };
        assert_eq!(put(&*to, key, content).await.unwrap_err().kind(), ErrorKind::InvalidName, "{key}");
    }
    put(&*to, "d/x", "inside").await.unwrap();
    assert_eq!(put(&*to, "d", "x").await.unwrap_err().kind(), ErrorKind::InvalidName);
    assert_eq!(fs::read(root.path().join("a")).unwrap(), b"file");
    assert_eq!(fs::read(root.path().join("d/x")).unwrap(), b"inside");
    assert_eq!(everything(root.path()).len(), 3, "no temporary file is left");
}

#[tokio::test]
async fn a_marker_is_a_directory_and_holds_no_content() {
    let root = tree(&[]);
    let to = destination(root.path());
    put(&*to, "d/e/", "").await.unwrap();
    assert!(root.path().join("d/e").is_dir());
    assert_eq!(put(&*to, "f/", "content").await.unwrap_err().kind(), ErrorKind::InvalidName);
    assert_eq!(keys(&*source(root.path()), ListRequest::default()).await, ["d/e/"]);
}

#[tokio::test]
async fn what_must_not_be_overwritten_is_not() {
    let root = tree(&["a"]);
    let endpoint = Endpoint { forbid_overwrite: true, ..endpoint(root.path()) };
    let to = open::destination(&endpoint, &context()).unwrap();
    assert_eq!(put(&*to, "a", "new").await.unwrap_err().kind(), ErrorKind::PreconditionFailed);
    put(&*to, "b", "new").await.unwrap();
    assert_eq!(fs::read(root.path().join("a")).unwrap(), b"a");
    assert_eq!(fs::read(root.path().join("b")).unwrap(), b"new");
    assert_eq!(everything(root.path()).len(), 2);
}

#[tokio::test]
async fn the_root_is_made_by_the_first_look_and_missed_when_it_goes_away() {
    let root = tree(&["file"]);
    let deep = root.path().join("new/root");
    destination(&deep).check().await.unwrap();
    assert!(everything(&deep).is_empty());
    fs::remove_dir(&deep).unwrap();
    assert_eq!(put(&*destination(&deep), "a", "x").await.unwrap_err().kind(), ErrorKind::BucketNotFound);
    let error = destination(&root.path().join("file")).check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BucketNotFound);
}

const PART: usize = 300_000;

async fn upload(to: &dyn Destination, content: &[u8]) -> (UploadRef, PutOptions, Vec<PartDone>) {
    let options = PutOptions { size: content.len() as u64, ..PutOptions::default() };
    let upload = to.begin(&"d/large".into(), &options).await.unwrap();
    let mut parts = Vec::new();
    for (index, piece) in content.chunks(PART).enumerate() {
        let payload = Payload::new(vec![piece.to_vec().into()]);
        parts.push(to.part(&upload, index as u32 + 1, (index * PART) as u64, &payload).await.unwrap());
    }
    (upload, options, parts)
}

fn whole(parts: &[PartDone]) -> Whole {
    let size = parts.iter().map(|part| part.size).sum();
    let crc = combine(CRC, parts.iter().map(|part| (part.crc.unwrap(), part.size)));
    Whole { size, crc, md5: None }
}

#[tokio::test]
async fn parts_that_the_disk_lost_are_not_taken_for_written() {
    let root = tree(&[]);
    let to = destination(root.path());
    let content: Vec<u8> = (0..3 * PART).map(|n| (n / 7) as u8).collect();
    let (upload, options, parts) = upload(&*to, &content).await;
    let file = root.path().join("d").join(&upload.id);
    let mut damaged = fs::read(&file).unwrap();
    damaged[PART] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let kept = to.parts(&upload, &parts).await.unwrap();
    assert_eq!(kept, [parts[0].clone(), parts[2].clone()]);
    let payload = Payload::new(vec![content[PART..2 * PART].to_vec().into()]);
    to.part(&upload, 2, PART as u64, &payload).await.unwrap();
    to.complete(&upload, &options, &parts, &whole(&parts)).await.unwrap();
    assert_eq!(fs::read(root.path().join("d/large")).unwrap(), content);
    assert_eq!(everything(root.path()).len(), 2);
}

#[tokio::test]
async fn an_upload_with_a_gap_is_never_completed() {
    let root = tree(&[]);
    let to = destination(root.path());
    let (upload, options, parts) = upload(&*to, &vec![1; 3 * PART]).await;
    let gap = [parts[0].clone(), parts[2].clone()];
    assert!(to.complete(&upload, &options, &gap, &whole(&parts)).await.is_err());
    assert!(to.complete(&upload, &options, &parts[..2], &whole(&parts[..2])).await.is_err());
    assert!(!root.path().join("d/large").exists());
    to.complete(&upload, &options, &parts, &whole(&parts)).await.unwrap();
}

#[tokio::test]
async fn an_upload_is_named_by_its_file_and_by_nothing_else() {
    let root = tree(&["d/kept"]);
    let to = destination(root.path());
    let key = ObjectKey::from("d/large");
    for id in ["kept", "../d/kept", "", ".brigade-/../kept.tmp", ".brigade-0011223344556677.tmp"] {
        let upload = UploadRef { key: key.clone(), id: id.to_owned() };
        let error = to.part(&upload, 1, 0, &"x".into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UploadNotFound, "{id}");
        to.abort(&Unwanted::Known(upload.clone())).await.unwrap();
    }
    assert_eq!(fs::read(root.path().join("d/kept")).unwrap(), b"d/kept");
}

#[tokio::test]
async fn only_temporary_files_of_the_job_that_nobody_wants_are_swept() {
    let names: Vec<String> = ["mine", "mine", "other"].map(|job| format!("{}00000000.tmp", mark(job))).into();
    let wanted = format!("{}00000001.tmp", mark("mine"));
    let kept = ["a".to_owned(), format!("d/{wanted}"), format!("d/e/{}", names[2])];
    let gone = [names[0].clone(), format!("d/e/{}", names[1])];
    let all: Vec<&str> = kept.iter().chain(&gone).map(String::as_str).collect();
    let root = tree(&all);
    let swept = sweep_temporaries(root.path(), "mine", [wanted].into()).await;
    assert_eq!(swept.unwrap(), 2);
    assert!(kept.iter().all(|name| root.path().join(name).exists()));
    assert!(gone.iter().all(|name| !root.path().join(name).exists()));
    let missing = root.path().join("missing");
    assert_eq!(sweep_temporaries(&missing, "mine", std::collections::BTreeSet::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_full_disk_is_called_by_its_name() {
    let root = tree(&[]);
    let options = PutOptions { size: 1 << 60, ..PutOptions::default() };
    let error = destination(root.path()).begin(&"a".into(), &options).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::DiskFull | ErrorKind::Refused), "{error}");
    assert!(everything(root.path()).is_empty());
}

#[test]
fn a_file_gets_its_name_in_one_step_with_and_without_one_before() {
    use crate::local::temporary::Temporary;
    use crate::local::{At, Tree};
    let at = At { op: crate::error::Op::Put, key: None };
    for create in [Temporary::unnamed, Temporary::create] {
        let root = tree(&["old", "d/x"]);
        let place = Tree::new(&endpoint(root.path()), &context());
        let temporary = |content: &[u8]| {
            let mut temporary = create(&place, at, place.open_root(at).unwrap(), &[]).unwrap();
            std::io::Write::write_all(&mut temporary.file, content).unwrap();
            temporary
        };
        temporary(b"1").publish(&place, at, b"new", false).unwrap();
        temporary(b"2").publish(&place, at, b"old", false).unwrap();
        temporary(b"3").publish(&place, at, b"newer", true).unwrap();
        let refused =
            |name: &[u8], new_only| temporary(b"4").publish(&place, at, name, new_only).unwrap_err().kind();
        assert_eq!(refused(b"new", true), ErrorKind::PreconditionFailed);
        assert_eq!(refused(b"d", false), ErrorKind::InvalidName);
        drop(temporary(b"5"));
        let read = |name: &str| fs::read(root.path().join(name)).unwrap();
        assert_eq!((read("new"), read("old"), read("newer")), (b"1".into(), b"2".into(), b"3".into()));
        assert_eq!(everything(root.path()).len(), 5, "nothing else is left");
    }
}
