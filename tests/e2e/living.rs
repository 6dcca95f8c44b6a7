//! A source, and a destination, that others write to while a job runs: what is moved is one version, the listed
//! one, and what is not says so; the one command that the message names takes what is there now.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proto::breakpoint::PART_UPLOADED;
use tempfile::TempDir;
use tests::family::{Action, Change, Dialect, Fault, Object, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

const SMALL_PARTS: &str =
    "[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\nparts_in_flight = 1\n";

fn oss() -> (Arc<Server>, Side) {
    let server = Server::start(Dialect::Oss, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    let side = Side::oss(&server.endpoint(), "bucket", "");
    (Arc::new(server), side)
}

fn tree() -> (TempDir, Side) {
    let dir = TempDir::new().unwrap();
    let side = Side::local(dir.path());
    (dir, side)
}

/// Before the request that fits, after `skip` others.
fn before(
    server: &Server,
    method: &'static str,
    contains: &str,
    skip: u32,
    change: impl Fn() + Send + Sync + 'static,
) {
    let action = Action::Then(Change::new(change));
    server.plan(Fault { method, contains: contains.into(), skip, times: 1, action });
}

/// Of one letter; large objects differ everywhere.
fn filled(letter: u8, size: usize) -> Vec<u8> {
    vec![letter; size]
}

/// The code of each object; empty where it succeeded.
fn codes(home: &Home) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let records = home.report("local_test");
    let of_objects = records.iter().filter(|record| record["key"].is_string());
    let mut codes: Vec<_> = of_objects.map(|record| (text(&record["key"]), text(&record["code"]))).collect();
    codes.sort();
    codes
}

fn code_of(home: &Home, key: &str) -> String {
    let found = codes(home).into_iter().find(|(name, _)| name == key);
    found.unwrap_or_else(|| panic!("{key} is not recorded")).1
}

/// Overwrites in place, and gives the file its time back.
fn rewrite_with_its_time(path: &Path, data: &[u8]) {
    let modified = std::fs::metadata(path).unwrap().modified().unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, data).unwrap();
    file.set_modified(modified).unwrap();
}

/// Puts another file in the place of this one, with its time.
fn replace_with_its_time(path: &Path, data: &[u8]) {
    let modified = std::fs::metadata(path).unwrap().modified().unwrap();
    let beside = path.with_extension("new");
    std::fs::write(&beside, data).unwrap();
    std::fs::File::options().write(true).open(&beside).unwrap().set_modified(modified).unwrap();
    std::fs::rename(&beside, path).unwrap();
}

fn age(path: &Path, by: Duration) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

fn nothing_is_left(server: &Server) {
    assert!(server.uploads("bucket").is_empty(), "{:?}", server.uploads("bucket"));
}

/// What somebody does to the file `live` between two of its parts, and what has to be recorded then.
fn between_parts(change: fn(&Path), code: &str) {
    let (dir, source) = tree();
    let (to, destination) = oss();
    let live = dir.path().join("live.bin");
    std::fs::write(&live, filled(b'a', 22 << 20)).unwrap();
    std::fs::write(dir.path().join("still.bin"), filled(b's', 22 << 20)).unwrap();
    let file = live.clone();
    before(&to, "PUT", "live.bin", 2, move || change(&file));
    let home = Home::new();
    home.job(&source, &destination, SMALL_PARTS);
    let said = home.import(3, &["--restart"]);
    assert!(said.err.contains("--resume --retry 1"), "{}", said.err);
    assert_eq!(code_of(&home, "live.bin"), code);
    assert_eq!(code_of(&home, "still.bin"), "");
    assert_eq!(to.object("bucket", b"live.bin").map(|object| object.data.len()), None, "never a mixture");
    assert_eq!(to.object("bucket", b"still.bin").unwrap().data, filled(b's', 22 << 20));
    nothing_is_left(&to);
    if code == "SOURCE_CHANGED" {
        home.import(0, &["--resume", "--retry", "1"]);
        assert!(to.object("bucket", b"live.bin").unwrap().data == std::fs::read(&live).unwrap());
        nothing_is_left(&to);
    }
}

#[test]
fn a_file_that_is_overwritten_between_two_parts_is_not_mixed() {
    between_parts(|file| std::fs::write(file, filled(b'b', 22 << 20)).unwrap(), "SOURCE_CHANGED");
}

#[test]
fn a_file_that_is_replaced_between_two_parts_with_the_same_size_and_time_is_not_mixed() {
    between_parts(|file| replace_with_its_time(file, &filled(b'b', 22 << 20)), "SOURCE_CHANGED");
}

#[test]
fn a_file_that_is_rewritten_between_two_parts_with_the_same_size_and_time_is_not_mixed() {
    between_parts(|file| rewrite_with_its_time(file, &filled(b'b', 22 << 20)), "SOURCE_CHANGED");
}

#[test]
fn a_file_that_grows_or_shrinks_between_two_parts_is_not_mixed() {
    between_parts(
        |file| {
            let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
            std::io::Write::write_all(&mut file, b"more").unwrap();
        },
        "SOURCE_CHANGED",
    );
    between_parts(
        |file| std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(100).unwrap(),
        "SOURCE_CHANGED",
    );
}

#[test]
fn a_file_that_goes_between_two_parts_is_said_to_be_gone() {
    between_parts(|file| std::fs::remove_file(file).unwrap(), "SOURCE_GONE");
    between_parts(
        |file| {
            std::fs::remove_file(file).unwrap();
            std::fs::create_dir(file).unwrap();
        },
        "SOURCE_GONE",
    );
    between_parts(|file| std::fs::rename(file, file.with_file_name("elsewhere")).unwrap(), "SOURCE_GONE");
}

#[test]
fn a_file_that_is_replaced_with_the_same_size_and_time_while_its_import_is_dead_is_not_mixed() {
    let (dir, source) = tree();
    let (to, destination) = oss();
    let live = dir.path().join("live.bin");
    std::fs::write(&live, filled(b'a', 22 << 20)).unwrap();
    let home = Home::new();
    home.job(&source, &destination, SMALL_PARTS);
    let mut import = home.command(&["--no-input", "import", "--restart"]);
    let output = import.env("BRIGADE_BREAKPOINT", format!("{PART_UPLOADED}#3")).output().unwrap();
    assert_eq!(output.status.code(), None, "it did not die");
    assert_eq!(to.uploads("bucket").len(), 1, "the upload to go on with");
    replace_with_its_time(&live, &filled(b'b', 22 << 20));
    home.import(0, &["--resume"]);
    assert!(to.object("bucket", b"live.bin").unwrap().data == filled(b'b', 22 << 20), "a mixture");
    assert_eq!(code_of(&home, "live.bin"), "");
    nothing_is_left(&to);
}

#[test]
fn an_object_that_is_overwritten_between_two_ranges_is_not_mixed() {
    for change in ["same size", "other size", "gone"] {
        let ((from, source), (to, destination)) = (oss(), oss());
        from.insert("bucket", b"live.bin", Object::new(filled(b'a', 22 << 20)));
        let bucket = Arc::downgrade(&from);
        before(&from, "GET", "live.bin", 2, move || {
            let Some(bucket) = bucket.upgrade() else { return };
            match change {
                "same size" => bucket.insert("bucket", b"live.bin", Object::new(filled(b'b', 22 << 20))),
                "other size" => bucket.insert("bucket", b"live.bin", Object::new(filled(b'b', 100))),
                _ => bucket.remove("bucket", b"live.bin"),
            }
        });
        let home = Home::new();
        home.job(&source, &destination, SMALL_PARTS);
        home.import(3, &["--restart"]);
        let code = if change == "gone" { "SOURCE_GONE" } else { "SOURCE_CHANGED" };
        assert_eq!(codes(&home), [("live.bin".to_owned(), code.to_owned())], "{change}");
        assert!(to.keys("bucket").is_empty(), "{change}");
        nothing_is_left(&to);
        if change != "gone" {
            home.import(0, &["--resume", "--retry", "1"]);
            let (there, here) = (to.object("bucket", b"live.bin"), from.object("bucket", b"live.bin"));
            assert!(there.unwrap().data == here.unwrap().data, "{change}");
            let stat = home.json(&["stat", "local_test"]);
            assert_eq!((&stat["state"], &stat["objects"]["succeeded"]), (&"succeeded".into(), &1.into()));
        }
    }
}

#[test]
fn what_changes_between_listing_and_reading_has_its_code_and_a_retry_takes_what_is_there() {
    let (dir, source) = tree();
    let (to, destination) = oss();
    let path = |name: &str| dir.path().join(name);
    let names = ["a-first", "grows", "same-size", "shrinks", "gone", "becomes-directory", "moved", "stays"];
    for name in names {
        std::fs::write(path(name), format!("{name} as it was listed")).unwrap();
    }
    std::fs::create_dir(path("folder")).unwrap();
    std::fs::write(path("folder/inside"), "inside").unwrap();
    std::fs::create_dir(path("linked")).unwrap();
    std::fs::write(path("linked/inside"), "inside").unwrap();
    let root = dir.path().to_owned();
    // One object at a time: the first write comes when everything is listed and nothing else is read.
    before(&to, "PUT", "a-first", 0, move || change_all(&root));
    let home = Home::new();
    home.write(
        "conf/sys.toml",
        "master_address = \"127.0.0.1:0\"\ntracker_address = \"127.0.0.1:0\"\n[worker]\ntask_threads = 1\n",
    );
    home.job(&source, &destination, "");
    home.import(3, &["--restart"]);
    let expected = [
        ("a-first", ""),
        ("becomes-directory", "SOURCE_GONE"),
        ("folder/inside", "SOURCE_GONE"),
        ("gone", "SOURCE_GONE"),
        ("grows", "SOURCE_CHANGED"),
        ("linked/inside", "SOURCE_GONE"),
        ("moved", "SOURCE_GONE"),
        ("same-size", "SOURCE_CHANGED"),
        ("shrinks", "SOURCE_CHANGED"),
        ("stays", ""),
    ];
    assert_eq!(codes(&home), expected.map(|(key, code)| (key.to_owned(), code.to_owned())));
    assert_eq!(to.keys("bucket"), [b"a-first".to_vec(), b"stays".to_vec()]);
    // A retry moves what is there now, and goes on saying of the rest that it is gone.
    home.import(3, &["--resume", "--retry", "1"]);
    for name in ["grows", "same-size", "shrinks"] {
        assert_eq!(to.object("bucket", name.as_bytes()).unwrap().data, std::fs::read(path(name)).unwrap());
    }
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!((&stat["objects"]["succeeded"], &stat["objects"]["failed"]), (&5.into(), &5.into()), "{stat}");
}

fn change_all(root: &Path) {
    let path = |name: &str| -> PathBuf { root.join(name) };
    std::fs::write(path("grows"), "more than was listed, and other bytes").unwrap();
    std::fs::write(path("same-size"), "same-size as it WAS listed").unwrap();
    std::fs::write(path("shrinks"), "").unwrap();
    std::fs::remove_file(path("gone")).unwrap();
    std::fs::remove_file(path("becomes-directory")).unwrap();
    std::fs::create_dir(path("becomes-directory")).unwrap();
    std::fs::write(path("becomes-directory/new"), "was not listed").unwrap();
    std::fs::rename(path("moved"), path("moved-here")).unwrap();
    std::fs::remove_dir_all(path("folder")).unwrap();
    std::fs::write(path("folder"), "a file now").unwrap();
    std::fs::rename(path("linked"), root.with_extension("outside")).unwrap();
    symlink(root.with_extension("outside"), path("linked")).unwrap();
}

#[test]
fn a_source_that_changes_before_its_copy_is_written_is_moved_by_the_next_run() {
    let (dir, source) = tree();
    let (to, destination) = oss();
    let (live, old) = (dir.path().join("live"), dir.path().join("old"));
    std::fs::write(&live, "version 1").unwrap();
    std::fs::write(&old, "old").unwrap();
    age(&old, Duration::from_secs(86_400));
    let file = live.clone();
    // It is read already, and not yet written.
    before(&to, "PUT", "live", 0, move || std::fs::write(&file, "version 2").unwrap());
    let home = Home::new();
    home.job(&source, &destination, "[transfer]\nskip_existing = true\n");
    home.import(0, &["--restart"]);
    assert_eq!(to.object("bucket", b"live").unwrap().data, "version 1", "what was listed");
    to.forget_requests();
    home.import(0, &["--restart"]);
    assert_eq!(to.object("bucket", b"live").unwrap().data, "version 2");
    let asked = to.requests().iter().filter(|request| request.method == "HEAD").count();
    assert_eq!(asked, 1, "only the object whose times do not tell");
    home.import(0, &["--restart"]);
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!(stat["objects"]["skipped"], 2, "{stat}");
}
