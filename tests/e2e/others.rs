//! A destination that others write to as well: what they do in the middle has a known outcome, and what is theirs
//! stays.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proto::breakpoint::{NOT_NAMED, NOT_RENAMED, PART_UPLOADED};
use tests::crash::{BUCKET, End, Objects, files, recorded};
use tests::family::{Action, Change, Dialect, Fault, Object, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

const JOB: &str = "local_test";
const SMALL: &str = "a/small.bin";
const LARGE: &str = "b/large.bin";
const PARTS: &str = "multipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\nparts_in_flight = 1\n";

/// A tree with a small object and one of three parts, and an import of it.
struct Line {
    home: Home,
    all: Objects,
    _from: End,
}

impl Line {
    fn new(to: &Side, transfer: &str) -> Line {
        let (home, from) = (Home::new(), End::tree());
        let data = |letter: u8, size: usize| Bytes::from(vec![letter; size]);
        let all = Objects::from([(SMALL.into(), data(b's', 3000)), (LARGE.into(), data(b'l', 11_000_000))]);
        from.fill(&all);
        home.job(&from.side(), to, &format!("[transfer]\n{PARTS}{transfer}"));
        Line { home, all, _from: from }
    }

    /// What is recorded as moved: key and size.
    fn moved(&self) -> Vec<String> {
        recorded(&self.home, JOB).0.into_keys().collect()
    }

    fn code(&self, key: &str) -> String {
        let records = self.home.report(JOB);
        let of_it = records.iter().find(|record| record["key"] == key).unwrap();
        of_it["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Everything is as the source has it, and of ours nothing is left.
    fn is_whole(&self, there: &Objects) {
        for (key, data) in &self.all {
            assert!(there.get(key) == Some(data), "{key}");
        }
    }
}

fn bucket(dialect: Dialect) -> (Arc<Server>, Side) {
    let server = Arc::new(Server::start(dialect, ACCESS_KEY, SECRET_KEY));
    server.make_bucket(BUCKET);
    let endpoint = server.endpoint();
    let side = if dialect == Dialect::Oss {
        Side::oss(&endpoint, BUCKET, "")
    } else {
        Side::s3(&endpoint, BUCKET, "")
    };
    (server, side)
}

fn objects(server: &Server) -> Objects {
    let data = |key: &[u8]| server.object(BUCKET, key).map(|object| object.data);
    let keys = server.keys(BUCKET).into_iter();
    keys.filter_map(|key| Some((String::from_utf8(key.clone()).unwrap(), data(&key)?))).collect()
}

/// What somebody else does.
fn by(server: &Arc<Server>, change: impl Fn(&Server) + Send + Sync + 'static) -> Change {
    let weak = Arc::downgrade(server);
    Change::new(move || weak.upgrade().iter().for_each(|server| change(server)))
}

fn foreign(key: &'static str, size: usize) -> impl Fn(&Server) {
    move |server| server.insert(BUCKET, key.as_bytes(), Object::new(vec![b'f'; size]))
}

fn plan(server: &Server, method: &'static str, contains: &str, action: Action) {
    server.plan(Fault { method, contains: contains.into(), skip: 0, times: 1, action });
}

#[test]
fn what_is_overwritten_or_deleted_after_its_write_was_moved_and_the_next_run_moves_it_again() {
    for dialect in [Dialect::Oss, Dialect::S3] {
        let (to, side) = bucket(dialect);
        let line = Line::new(&side, "");
        plan(&to, "PUT", SMALL, Action::AnswerThen(by(&to, foreign(SMALL, 3000))));
        plan(&to, "POST", "uploadId", Action::AnswerThen(by(&to, |to| to.remove(BUCKET, LARGE.as_bytes()))));
        line.home.import(0, &["--restart"]);
        // The record says what was proved when it was written; nobody watches the destination after that.
        assert_eq!(line.moved(), [SMALL, LARGE]);
        assert_eq!(
            objects(&to).into_iter().collect::<Vec<_>>(),
            [(SMALL.to_owned(), Bytes::from(vec![b'f'; 3000]))]
        );
        assert!(to.uploads(BUCKET).is_empty());
        line.home.import(0, &["--restart"]);
        line.is_whole(&objects(&to));
    }
}

#[test]
fn what_is_overwritten_or_deleted_before_it_is_read_back_is_not_proved() {
    for dialect in [Dialect::Oss, Dialect::S3] {
        for gone in [false, true] {
            for key in [SMALL, LARGE] {
                let (to, side) = bucket(dialect);
                let line = Line::new(&side, "verify = \"full\"\n");
                let change = by(&to, move |to| match gone {
                    true => to.remove(BUCKET, key.as_bytes()),
                    false => foreign(key, if key == SMALL { 3000 } else { 11_000_000 })(to),
                });
                let (method, contains) = if key == SMALL { ("PUT", SMALL) } else { ("POST", "uploadId") };
                plan(&to, method, contains, Action::AnswerThen(change));
                line.home.import(3, &["--restart"]);
                assert_eq!(line.code(key), "UPLOAD_FAILED", "{key}, gone: {gone}");
                assert_eq!(line.moved().len(), 1);
                line.home.import(0, &["--resume", "--retry", "1"]);
                line.is_whole(&objects(&to));
                assert!(to.uploads(BUCKET).is_empty());
            }
        }
    }
}

#[test]
fn what_is_overwritten_or_deleted_after_a_complete_whose_answer_is_lost_is_written_again() {
    for gone in [false, true] {
        let (to, side) = bucket(Dialect::Oss);
        let line = Line::new(&side, "");
        plan(&to, "POST", "uploadId", Action::LoseAnswer);
        let change = by(&to, move |to| match gone {
            true => to.remove(BUCKET, LARGE.as_bytes()),
            false => foreign(LARGE, 11_000_000)(to),
        });
        plan(&to, "POST", "uploadId", Action::Then(change));
        line.home.import(0, &["--restart"]);
        line.is_whole(&objects(&to));
        assert!(to.uploads(BUCKET).is_empty());
    }
}

#[test]
fn an_upload_of_the_same_key_by_somebody_else_stays_open() {
    for dialect in [Dialect::Oss, Dialect::S3] {
        let (to, side) = bucket(dialect);
        let line = Line::new(&side, "");
        let before = to.begin_upload(BUCKET, LARGE.as_bytes(), 0);
        plan(
            &to,
            "PUT",
            "partNumber=2",
            Action::Then(by(&to, |to| drop(to.begin_upload(BUCKET, LARGE.as_bytes(), 0)))),
        );
        line.home.import(0, &["--restart"]);
        line.is_whole(&objects(&to));
        let open = to.uploads(BUCKET);
        assert_eq!(open.len(), 2, "{open:?}");
        assert!(open.iter().any(|(_, id)| *id == before));
    }
}

#[test]
fn where_ours_was_lost_an_older_upload_of_the_same_key_and_those_of_other_keys_stay_open() {
    let (to, side) = bucket(Dialect::Oss);
    let line = Line::new(&side, "");
    let older = to.begin_upload(BUCKET, LARGE.as_bytes(), 3600);
    let other = to.begin_upload(BUCKET, b"b/large.bin.bak", 0);
    plan(&to, "POST", "uploads", Action::LoseAnswer);
    line.home.import(0, &["--restart"]);
    line.is_whole(&objects(&to));
    let mut open: Vec<String> = to.uploads(BUCKET).into_iter().map(|(_, id)| id).collect();
    open.sort();
    let mut wanted = vec![older, other];
    wanted.sort();
    assert_eq!(open, wanted, "ours is gone, and only ours");
}

/// Everything below a directory, by path.
fn tree(root: &Path) -> Objects {
    let key = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
    files(root).into_iter().map(|path| (key(&path), std::fs::read(&path).unwrap().into())).collect()
}

/// An import to a tree, in whose middle somebody runs a command there.
fn import_with(line: &Line, place: &str, code: Option<i32>, command: &str, to: &Path) {
    let mut import = line.home.command(&["--no-input", "import", "--restart"]);
    import.env("BRIGADE_BREAKPOINT", place);
    if code.is_some() {
        let told = line.home.path().join("told");
        import.env("BRIGADE_MEANWHILE", format!("cd {}; {command}; touch {}", to.display(), told.display()));
    }
    let output = import.output().unwrap();
    assert_eq!(output.status.code(), code, "{command}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(code.is_none() || line.home.path().join("told").exists(), "{place} was not reached");
}

#[test]
fn foreign_files_that_look_temporary_stay_also_after_a_death() {
    let to = tempfile::tempdir().unwrap();
    let line = Line::new(&Side::local(to.path()), "");
    let names = [
        ".brigade-00000000deadbeef.tmp",
        "b/.brigade-0badcafe00000001.tmp",
        "b/.brigade-.tmp",
        "b/x.tmp",
        "~",
    ];
    let theirs: Objects = names.into_iter().map(|name| (name.to_owned(), Bytes::from("theirs"))).collect();
    for (name, data) in &theirs {
        std::fs::create_dir_all(to.path().join(name).parent().unwrap()).unwrap();
        std::fs::write(to.path().join(name), data).unwrap();
    }
    import_with(&line, PART_UPLOADED, None, "", to.path());
    assert!(tree(to.path()).len() > theirs.len(), "ours is there, too");
    line.home.import(0, &["--resume"]);
    let mut wanted = theirs;
    wanted.extend(line.all.clone());
    assert!(tree(to.path()) == wanted, "{:?}", tree(to.path()).keys());
    // Cleaned by force, with a file of ours under way.
    import_with(&line, PART_UPLOADED, None, "", to.path());
    line.home.expect(0, &["start"]);
    line.home.expect(0, &["--no-input", "clean", "--force", JOB]);
    line.home.expect(0, &["stop"]);
    assert!(tree(to.path()) == wanted, "{:?}", tree(to.path()).keys());
}

#[test]
fn a_temporary_file_or_its_directory_that_somebody_takes_away_is_made_anew() {
    for command in ["rm b/.brigade-*.tmp", "rm -r b", "mv b elsewhere; mkdir b"] {
        let to = tempfile::tempdir().unwrap();
        let line = Line::new(&Side::local(to.path()), "");
        import_with(&line, &format!("{PART_UPLOADED}#2"), Some(0), command, to.path());
        line.is_whole(&tree(to.path()));
        assert!(!to.path().join("b").read_dir().unwrap().flatten().any(|name| name.path().ends_with(".tmp")));
    }
}

#[test]
fn a_directory_that_somebody_takes_away_in_the_last_moment_is_made_anew() {
    for (place, before) in [(NOT_NAMED, false), (NOT_RENAMED, true)] {
        let to = tempfile::tempdir().unwrap();
        let line = Line::new(&Side::local(to.path()), "");
        if before {
            std::fs::create_dir_all(to.path().join("a")).unwrap();
            std::fs::write(to.path().join(SMALL), "old").unwrap();
        }
        // One object at a time: nobody else is in these directories.
        let addresses = "master_address = \"127.0.0.1:0\"\ntracker_address = \"127.0.0.1:0\"\n";
        line.home.write("conf/sys.toml", &format!("{addresses}[worker]\ntask_threads = 1\n"));
        import_with(&line, place, Some(0), "rm -rf a b", to.path());
        line.is_whole(&tree(to.path()));
    }
}

#[test]
fn a_name_that_somebody_takes_in_the_last_moment() {
    let old = |to: &Path| {
        std::fs::create_dir_all(to.join("a")).unwrap();
        std::fs::write(to.join(SMALL), "old").unwrap();
    };
    // A file: it is replaced, as one that was there before.
    let to = tempfile::tempdir().unwrap();
    let line = Line::new(&Side::local(to.path()), "");
    import_with(&line, NOT_NAMED, Some(0), "mkdir -p a b; echo theirs > a/small.bin", to.path());
    line.is_whole(&tree(to.path()));
    // A directory: the object fails by name, and the directory stays.
    let to = tempfile::tempdir().unwrap();
    let line = Line::new(&Side::local(to.path()), "");
    old(to.path());
    let command = "rm a/small.bin; mkdir a/small.bin; echo theirs > a/small.bin/x";
    import_with(&line, NOT_RENAMED, Some(3), command, to.path());
    assert_eq!(line.code(SMALL), "INVALID_NAME");
    let there = tree(to.path());
    assert_eq!(there.keys().collect::<Vec<_>>(), ["a/small.bin/x", LARGE], "nothing of ours is left");
}
