//! Between two real directories, opened as a job opens them.

use std::path::Path;

use super::*;

fn mover(from: &Path, to: &Path) -> Mover {
    let mut job = Line::new().job;
    job.source = Endpoint { path: from.to_owned(), ..Endpoint::default() };
    job.destination = Endpoint { path: to.to_owned(), prefix: "in/".into(), ..Endpoint::default() };
    Mover::open(job, Arc::new(Engine::new(&SysConf::default(), "w1")), Arc::default()).unwrap()
}

async fn entry(mover: &Mover, key: &str) -> Entry {
    let meta = mover.source.head(&key.into()).await.unwrap();
    Entry { key: key.into(), ..as_listed(&Entry::default(), meta) }
}

#[tokio::test]
async fn files_of_all_sizes_arrive_with_their_times() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mover = mover(from.path(), to.path());
    for (key, size) in [("empty", 0), ("a/b c+%20", 1000), ("a/large", 230_000)] {
        let path = from.path().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes(size)).unwrap();
        let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(1_354_040_105_123);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        let entry = entry(&mover, key).await;
        let saver = Books::default();
        let record = recorded(mover.move_object(0, &entry, None, &saver).await);
        assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{record:?}");
        assert_eq!((record.proof.as_str(), record.note.as_str()), ("crc64nvme", ""), "{record:?}");
        assert_eq!(record.destination_key, format!("in/{key}").into_bytes());
        let there = to.path().join("in").join(key);
        assert_eq!(std::fs::read(&there).unwrap(), bytes(size));
        assert_eq!(std::fs::metadata(&there).unwrap().modified().unwrap(), time);
    }
    let activity = mover.activity("copy_test");
    assert_eq!((activity.bytes_read, activity.bytes_written), (231_000, 231_000));
    let count = |side: &str, kind: &str| {
        let line = activity.requests.iter().find(|line| line.side == side && line.kind == kind);
        line.map_or(0, |line| line.count)
    };
    assert_eq!((count("source", "get"), count("destination", "put")), (7, 2));
    assert_eq!((count("destination", "part"), count("destination", "multipart")), (5, 2));
}

#[tokio::test]
async fn a_file_that_goes_or_shrinks_is_said_by_its_code() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mover = mover(from.path(), to.path());
    std::fs::write(from.path().join("k"), bytes(1000)).unwrap();
    let entry = entry(&mover, "k").await;
    let saver = Books::default();
    std::fs::write(from.path().join("k"), bytes(10)).unwrap();
    assert_eq!(recorded(mover.move_object(0, &entry, None, &saver).await).code, "SOURCE_CHANGED");
    std::fs::remove_file(from.path().join("k")).unwrap();
    assert_eq!(recorded(mover.move_object(0, &entry, None, &saver).await).code, "SOURCE_GONE");
    std::fs::remove_dir_all(from.path()).unwrap();
    let moved = mover.move_object(0, &entry, None, &saver).await;
    assert!(matches!(moved, Moved::Suspend { .. }), "{moved:?}");
}
