//! A change in the middle of one body: of an object that is longer than several reads, in one request.

use std::process::Output;
use std::sync::Arc;

use bytes::Bytes;
use proto::breakpoint::PIECE_READ;
use tests::crash::{BUCKET, End, Objects, recorded};
use tests::family::{Action, Change, Dialect, Fault, Object, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

const JOB: &str = "local_test";
/// Six pieces of a file, and many frames of an answer; below the threshold of parts.
const SIZE: usize = 6_000_000;
const KEY: &str = "live.bin";

fn version(letter: u8, size: usize) -> Bytes {
    vec![letter; size].into()
}

/// The code of the one record; empty where it succeeded.
fn code(home: &Home) -> String {
    let records = home.report(JOB);
    let of_it: Vec<_> = records.iter().filter(|record| record["key"] == KEY).collect();
    assert_eq!(of_it.len(), 1, "{of_it:?}");
    of_it[0]["code"].as_str().unwrap_or_default().to_owned()
}

/// An import in whose middle somebody runs a command, after three pieces of the file.
fn import_with(home: &Home, command: &str) -> Output {
    let mut import = home.command(&["--no-input", "import", "--restart"]);
    import.env("BRIGADE_BREAKPOINT", format!("{PIECE_READ}#3")).env("BRIGADE_MEANWHILE", command);
    import.output().unwrap()
}

#[test]
fn a_file_that_changes_in_the_middle_of_its_reading_is_not_mixed() {
    // `$f` is the file, `$n` another one of the same size.
    let changes = [
        ("cat $n > $f", ""),
        ("dd if=$n of=$f conv=notrunc status=none", ""),
        ("cp -p $f $f.old; dd if=$n of=$f conv=notrunc status=none; touch -r $f.old $f; rm $f.old", ""),
        ("touch -r $f $n; mv $n $f", ""),
        ("printf more >> $f", ""),
        ("truncate -s 100 $f", ""),
        ("truncate -s 5500000 $f", ""),
        ("rm $f", "gone"),
        ("mv $f $f.moved", "gone"),
        ("rm $f; mkdir $f", "gone"),
    ];
    for ((change, after), tree) in changes.into_iter().zip([true, false].into_iter().cycle()) {
        let to = if tree { End::tree() } else { End::server(Dialect::Oss) };
        let (from, home) = (End::tree(), Home::new());
        from.fill(&Objects::from([(KEY.to_owned(), version(b'a', SIZE))]));
        let End::Tree(dir) = &from else { return };
        let (file, other) = (dir.path().join(KEY), home.path().join("other.bin"));
        std::fs::write(&other, version(b'b', SIZE)).unwrap();
        home.job(&from.side(), &to.side(), "");
        let command = format!("f={}; n={}; {change}", file.display(), other.display());
        let output = import_with(&home, &command);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{change}: {said}");
        assert_eq!(code(&home), "SOURCE_CHANGED", "{change}");
        assert!(to.objects().is_empty() && to.leavings().is_empty(), "{change}");
        let _ = std::fs::remove_file(&other);
        if after == "gone" {
            home.import(3, &["--resume", "--retry", "1"]);
            assert_eq!(code(&home), "SOURCE_GONE", "{change}");
        } else {
            home.import(0, &["--resume", "--retry", "1"]);
            assert!(to.objects()[KEY] == std::fs::read(&file).unwrap(), "{change}");
        }
    }
}

#[test]
fn a_file_whose_attributes_change_while_it_is_read_is_read_once_more_by_a_retry() {
    let (from, to, home) = (End::tree(), End::tree(), Home::new());
    from.fill(&Objects::from([(KEY.to_owned(), version(b'a', SIZE))]));
    let End::Tree(dir) = &from else { return };
    home.job(&from.side(), &to.side(), "");
    let output = import_with(&home, &format!("chmod 600 {}", dir.path().join(KEY).display()));
    assert_eq!(output.status.code(), Some(3));
    home.import(0, &["--resume", "--retry", "1"]);
    assert!(to.objects()[KEY] == version(b'a', SIZE));
}

/// A bucket with the object, whose reading meets this.
fn bucket(
    dialect: Dialect,
    etag: &str,
    action: impl Fn(Change) -> Action,
    change: fn(&Server),
) -> Arc<Server> {
    let server = Arc::new(Server::start(dialect, ACCESS_KEY, SECRET_KEY));
    server.make_bucket(BUCKET);
    let mut object = Object::new(version(b'a', SIZE));
    object.etag.push_str(etag);
    server.insert(BUCKET, KEY.as_bytes(), object);
    let weak = Arc::downgrade(&server);
    let change = Change::new(move || weak.upgrade().iter().for_each(|server| change(server)));
    server.plan(Fault { method: "GET", contains: KEY.into(), skip: 0, times: 1, action: action(change) });
    server
}

fn side(server: &Server) -> Side {
    Side::of(server, BUCKET, "")
}

fn put(server: &Server, letter: u8, size: usize) {
    server.insert(BUCKET, KEY.as_bytes(), Object::new(version(letter, size)));
}

/// What somebody does to the object, and its name.
type Doing = (&'static str, fn(&Server));

const CHANGES: [Doing; 4] = [
    ("same size", |server| put(server, b'b', SIZE)),
    ("longer", |server| put(server, b'b', SIZE + 100)),
    ("shorter", |server| put(server, b'b', SIZE / 2 + 1)),
    ("gone", |server| server.remove(BUCKET, KEY.as_bytes())),
];

#[test]
fn an_object_whose_service_sends_on_what_is_there_now_is_not_mixed() {
    for dialect in [Dialect::Oss, Dialect::S3] {
        for (name, change) in CHANGES {
            let from = bucket(dialect, "", |change| Action::ThenMidBody(3_000_000, change), change);
            let (to, home) = (End::server(Dialect::S3), Home::new());
            home.job(&side(&from), &to.side(), "");
            home.import(3, &["--restart"]);
            let expected = if name == "gone" { "SOURCE_GONE" } else { "SOURCE_CHANGED" };
            assert_eq!(code(&home), expected, "{name}, {dialect:?}");
            assert!(to.objects().is_empty() && to.leavings().is_empty(), "{name}, {dialect:?}");
            if name != "gone" {
                home.import(0, &["--resume", "--retry", "1"]);
                assert!(to.objects()[KEY] == from.object(BUCKET, KEY.as_bytes()).unwrap().data, "{name}");
            }
        }
    }
}

#[test]
fn an_object_that_is_overwritten_while_its_old_version_is_sent_arrives_as_it_was_and_then_as_it_is() {
    for dialect in [Dialect::Oss, Dialect::S3] {
        let from = bucket(dialect, "", Action::AnswerThen, |server| put(server, b'b', SIZE));
        let (to, home) = (End::tree(), Home::new());
        home.job(&side(&from), &to.side(), "");
        home.import(0, &["--restart"]);
        assert!(to.objects()[KEY] == version(b'a', SIZE), "one version, whole");
        assert_eq!(recorded(&home, JOB).0[KEY][0].size, SIZE as u64);
        home.import(0, &["--restart"]);
        assert!(to.objects()[KEY] == version(b'b', SIZE));
    }
}

#[test]
fn a_range_that_is_sent_while_its_object_is_overwritten_ends_the_upload_with_the_next_range() {
    const PARTS: &str =
        "[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\nparts_in_flight = 1\n";
    for (name, change) in CHANGES {
        let from = bucket(Dialect::S3, "-2", Action::AnswerThen, change);
        let (to, home) = (End::server(Dialect::Oss), Home::new());
        home.job(&side(&from), &to.side(), PARTS);
        home.import(3, &["--restart"]);
        assert_eq!(code(&home), if name == "gone" { "SOURCE_GONE" } else { "SOURCE_CHANGED" }, "{name}");
        assert!(to.objects().is_empty() && to.leavings().is_empty(), "{name}");
        let read = from.requests().into_iter().filter(|one| !one.range.is_empty() && one.method == "GET");
        assert_eq!(read.count(), 2, "{name}: the first range was sent, the second refused");
    }
}
