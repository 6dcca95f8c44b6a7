//! Lists of URLs: every line is answered for, through kills; domains stay apart; another list is not gone on with.

use super::*;
use conf::job::EndpointType;

fn list_job(lines: &str, count: u32, dir: &Path) -> JobConf {
    let path = dir.join("list");
    std::fs::write(&path, lines).unwrap();
    let mut job = job(4, count);
    job.source.kind = EndpointType::Http;
    job.source.key_list = Some(path);
    job
}

#[tokio::test]
async fn every_line_is_in_one_task_through_kills() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for i in 0..3000 {
        lines += &match i % 100 {
            7 => format!("bad-{i}\n"),
            8 => "\r\n".to_owned(),
            9 => format!("http://a/ k{:04}\n", i - 5),
            10 => format!("http://b/ k{:04}\n", i - 5),
            _ => format!("http://a/ k{i:04}\r\n"),
        };
    }
    let job = list_job(&lines, 700, dir.path());
    let service = flat(0);
    let mut book = Book::new();
    // How many commits there are depends on how quick they are: the first one always dies, the last scan never.
    for dies_at in [1, 1, 2, 0] {
        book = book.reopened(dies_at, dies_at == 2);
        let shared = Arc::new(book);
        let died = scan(&job, &service, &shared).await.is_err();
        assert!(died || dies_at != 1);
        assert!(!died || dies_at != 0);
        book = Arc::try_unwrap(shared).unwrap();
    }
    let tasks = book.tasks.lock().unwrap();
    let entries: Vec<_> = tasks.iter().flat_map(|task| &task.entries).collect();
    let bad = |entry: &&&proto::manifest::Entry| entry.refused.is_some();
    // 30 of each: bad, blank, the same URL again (left out), another URL of the same key (recorded as bad).
    assert_eq!(entries.iter().filter(bad).count(), 60);
    let good: Vec<_> = entries.iter().filter(|entry| entry.refused.is_none()).collect();
    assert_eq!(good.len(), 3000 - 4 * 30);
    assert!(good.iter().all(|entry| entry.size_unknown && entry.origin.as_deref() == Some("http://a/")));
    assert!(good.is_sorted_by(|a, b| a.key < b.key), "the order of the list, each once");
    let why = entries[7].refused.clone().unwrap();
    assert!(why.starts_with("line 8 of the list: it has 1 columns"), "{why}");
    let clash = entries.iter().filter(bad).nth(1).unwrap().refused.clone().unwrap();
    assert!(clash.contains("line 11 of the list: line 6 gives the key \"k0005\""), "{clash}");
    let state = book.state();
    assert_eq!((state.unknown, state.objects, state.bytes), (2940, 2940, 0));
    assert_eq!(state.warnings.len(), 3, "{:?}", state.warnings);
}

#[tokio::test]
async fn a_list_that_was_changed_is_not_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..30_000).map(|i| format!("http://a/ {i}\n")).collect();
    let job = list_job(&lines, 700, dir.path());
    let service = flat(0);
    let book = Arc::new(Book::new().reopened(1, true));
    assert!(scan(&job, &service, &book).await.is_err());
    assert!(book.state().lines > 0);
    let book = Arc::new(Arc::try_unwrap(book).unwrap().reopened(0, false));
    let other = list_job(&lines.replace(" 29999\n", " 30000\n"), 700, dir.path());
    let error = scan(&other, &service, &book).await.unwrap_err();
    assert!(matches!(&error, ScanError::Changed(text) if text.contains("was changed")), "{error}");
    let job = list_job(&lines, 700, dir.path());
    scan(&job, &service, &book).await.unwrap();
    assert_eq!(book.state().objects, 30_000);
}

#[tokio::test]
async fn a_domain_begins_a_task_until_that_makes_far_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let counts =
        |book: &Book| book.tasks.lock().unwrap().iter().map(|task| task.entries.len()).collect::<Vec<_>>();
    let job =
        list_job("http://a/ 1\nhttp://A/ 2\nhttps://a/ 3\nhttp://b/ 4\nhttp://b:80/ 5\n", 700, dir.path());
    let book = Arc::new(Book::new());
    scan(&job, &flat(0), &book).await.unwrap();
    assert_eq!(counts(&book), [2, 1, 1, 1]);
    let mixed: String = (0..5000).map(|i| format!("http://{}/ {i}\n", i % 2)).collect();
    let job = list_job(&mixed, 700, dir.path());
    let book = Arc::new(Book::new());
    scan(&job, &flat(0), &book).await.unwrap();
    assert_eq!(counts(&book).iter().sum::<usize>(), 5000);
    assert!(counts(&book).len() < 1000 + 4000 / 100 + 2, "{} tasks", counts(&book).len());
    assert!(book.state().warnings[0].contains("sort it by domain"), "{:?}", book.state().warnings);
}

#[tokio::test]
async fn a_list_that_is_not_there_is_an_error_and_an_empty_one_is_no_object() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = list_job("\n", 700, dir.path());
    let book = Arc::new(Book::new());
    scan(&job, &flat(0), &book).await.unwrap();
    assert!(book.state().done && book.keys().is_empty());
    job.source.key_list = Some(dir.path().join("none"));
    assert!(matches!(scan(&job, &flat(0), &Arc::new(Book::new())).await, Err(ScanError::File { .. })));
}
