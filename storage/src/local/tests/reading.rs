use bytes::Bytes;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;
use crate::source::Read;

async fn bytes(read: Read) -> Result<Vec<u8>, Error> {
    let chunks: Vec<Bytes> = read.body.try_collect().await?;
    Ok(chunks.concat())
}

#[tokio::test]
async fn the_version_that_was_listed_is_read_and_no_other() {
    let root = tree(&["a.json"]);
    let source = source(root.path());
    let listed = version(&one(&*source, "a.json").await);
    let read = source.read(&"a.json".into(), None, &listed).await.unwrap();
    assert_eq!(read.meta.headers.content_type.as_deref(), Some("application/json"));
    assert_eq!(bytes(read).await.unwrap(), b"a.json");
    fs::write(root.path().join("a.json"), "longer than before").unwrap();
    let error = source.read(&"a.json".into(), None, &listed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
    fs::remove_file(root.path().join("a.json")).unwrap();
    let error = source.read(&"a.json".into(), None, &listed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_never_taken_for_whole() {
    let full = vec![7; 3 << 20];
    for change in [&b"short"[..], &vec![8; 3 << 20], &vec![9; 4 << 20]] {
        let root = tree(&[]);
        let path = root.path().join("large");
        fs::write(&path, &full).unwrap();
        let source = source(root.path());
        let listed = version(&one(&*source, "large").await);
        let mut read = source.read(&"large".into(), None, &listed).await.unwrap();
        assert_eq!(read.body.try_next().await.unwrap().unwrap().len(), 1 << 20);
        // A later time, also where the file system's clock is coarse.
        fs::write(&path, change).unwrap();
        let later = std::time::SystemTime::now() + Duration::from_secs(5);
        fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        let error = bytes(read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{} bytes", change.len());
    }
}

#[tokio::test]
async fn ranges_are_read_in_place() {
    let root = tree(&[]);
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    fs::write(root.path().join("x"), &content).unwrap();
    let source = source(root.path());
    let listed = version(&one(&*source, "x").await);
    for range in [0..1, 5..17, 1_000_000..2_500_000, 2_999_999..3_000_000, 2_999_990..9_000_000] {
        let read = source.read(&"x".into(), Some(range.clone()), &listed).await.unwrap();
        assert_eq!(read.meta.size, 3_000_000);
        let end = range.end.min(3_000_000) as usize;
        assert_eq!(bytes(read).await.unwrap(), content[range.start as usize..end]);
    }
    assert!(source.read(&"x".into(), Some(3_000_000..3_000_001), &listed).await.is_err());
}

#[tokio::test]
async fn only_files_below_the_root_are_read() {
    let outside = tree(&["secret"]);
    let root = tree(&["a", "d/x"]);
    symlink(outside.path().join("secret"), root.path().join("link")).unwrap();
    symlink(outside.path(), root.path().join("linked")).unwrap();
    mkfifo(&root.path().join("pipe"), Mode::S_IRWXU).unwrap();
    let source = source(root.path());
    let up = format!("../{}/secret", outside.path().file_name().unwrap().display());
    for key in ["link", "linked/secret", "pipe", "d", &up, "/etc/passwd", "a/../a", "a/"] {
        let key = ObjectKey::from(key);
        let read = source.read(&key, None, &Version::default()).await.map(drop);
        let head = source.head(&key).await.map(drop);
        for kind in [read.unwrap_err().kind(), head.unwrap_err().kind()] {
            assert!(matches!(kind, ErrorKind::NotFound | ErrorKind::InvalidName), "{key:?}: {kind:?}");
        }
    }
}

#[tokio::test]
async fn a_file_that_was_changed_just_now_is_read_when_the_next_change_would_show() {
    let root = tree(&["a"]);
    let source = source(root.path());
    let path = root.path().join("a");
    for turn in 0..5u8 {
        fs::write(&path, [turn; 8]).unwrap();
        let listed = version(&one(&*source, "a").await);
        let read = source.read(&"a".into(), None, &listed).await.unwrap();
        drop(read);
        // In the same tick a change with the same size would leave the same times.
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        assert!(changed.elapsed().unwrap() >= Duration::from_millis(10), "turn {turn}");
    }
}
