//! Archived objects: left alone, or asked for once and waited for without a worker, whatever dies meanwhile. Time is
//! the test's: a look is due after `BRIGADE_LOOK_MS`, and a restore ends when the test says so.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proto::breakpoint::{ASKED_FOR, HANDED_OUT, NOT_SETTLED, PARKED};
use serde_json::Value;
use tests::family::{Action, Dialect, Fault, Object, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

const JOB: &str = "local_test";
const START: [&str; 3] = ["--no-input", "import", "--restart"];
const RESUME: [&str; 3] = ["--no-input", "import", "--resume"];
/// Plain objects, and archived ones.
const PLAIN: usize = 20;
const ARCHIVED: usize = 10;

struct Line {
    home: Home,
    from: Server,
    to: Server,
}

fn server(dialect: Dialect) -> Server {
    let server = Server::start(dialect, ACCESS_KEY, SECRET_KEY);
    server.make_bucket("bucket");
    server
}

fn key(n: usize) -> String {
    format!("o-{n:03}")
}

/// The archived ones are the last.
fn class(dialect: Dialect, n: usize) -> &'static str {
    match (dialect, n % 2) {
        _ if n < PLAIN => "Standard",
        (Dialect::Oss, 0) => "Archive",
        (Dialect::Oss, _) => "ColdArchive",
        (Dialect::Cos, 0) => "ARCHIVE",
        (_, 0) => "GLACIER",
        (_, _) => "DEEP_ARCHIVE",
    }
}

impl Line {
    /// `policy`: keys of the source.
    fn new(dialect: Dialect, policy: &str) -> Line {
        let (from, to) = (server(dialect), server(Dialect::S3));
        for n in 0..PLAIN + ARCHIVED {
            let class = class(dialect, n).to_owned();
            from.insert("bucket", key(n).as_bytes(), Object { class, ..Object::new(format!("content {n}")) });
        }
        let line = Line { home: Home::new(), from, to };
        line.job(policy, "[task]\nobject_count_limit = 8\n");
        line
    }

    fn job(&self, policy: &str, more: &str) {
        let source = Side::of(&self.from, "bucket", "");
        let destination = Side::s3(&self.to.endpoint(), "bucket", "").section("destination");
        let source = source.section("source");
        self.home
            .write("conf/local_job.toml", &format!("name = {JOB:?}\n{source}{policy}\n{destination}{more}"));
    }

    fn command(&self, args: &[&str], look_ms: &str) -> std::process::Command {
        let mut command = self.home.command(args);
        command.env("BRIGADE_LOOK_MS", look_ms).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn spawn(&self, args: &[&str]) -> Child {
        self.command(args, "100").spawn().unwrap()
    }

    fn stat(&self) -> Value {
        let said = self.home.run(&["--output", "json", "stat", JOB]);
        serde_json::from_str(&said.out).unwrap_or_default()
    }

    fn waits_for(&self, objects: usize) -> Value {
        self.home.wait_for("they wait", || {
            let stat = self.stat();
            stat["waiting"]["objects"] == objects && stat["tasks"]["dispatched"] == 0
        });
        self.stat()
    }

    /// Requests of this kind at the source, by key.
    fn requests(&self, method: &str, query: &str) -> BTreeMap<Vec<u8>, usize> {
        let mut found = BTreeMap::new();
        for request in self.from.requests() {
            if request.method == method && request.query.starts_with(query) && !request.key.is_empty() {
                *found.entry(request.key).or_default() += 1;
            }
        }
        found
    }

    fn thaw(&self, numbers: std::ops::Range<usize>) {
        numbers.for_each(|n| self.from.thaw("bucket", key(n).as_bytes()));
    }

    /// All objects are there, each was asked for once, and nothing was said twice.
    fn must_be_whole(&self) {
        for n in 0..PLAIN + ARCHIVED {
            let there =
                self.to.object("bucket", key(n).as_bytes()).unwrap_or_else(|| panic!("{n} is missing"));
            assert_eq!(there.data, format!("content {n}"));
        }
        assert_eq!(self.from.wishes("bucket").len(), ARCHIVED);
        assert_eq!(self.from.needless_wishes(), 0, "nobody asks for what was asked for");
        let stat = self.stat();
        assert_eq!(stat["state"], "succeeded", "{stat}");
        assert_eq!(stat["objects"]["succeeded"], PLAIN + ARCHIVED, "{stat}");
        assert!(stat["waiting"].is_null(), "{stat}");
    }
}

fn interrupt(mut running: Child) -> Option<i32> {
    kill(Pid::from_raw(running.id() as i32), Signal::SIGINT).unwrap();
    running.wait().unwrap().code()
}

#[test]
fn archived_objects_fail_or_are_left_alone_as_the_job_says() {
    for dialect in [Dialect::S3, Dialect::Oss] {
        let line = Line::new(dialect, "");
        line.home.import(3, &["--restart"]);
        let stat = line.stat();
        assert_eq!(stat["failures"][0]["name"], "ARCHIVED", "{stat}");
        assert_eq!(stat["failures"][0]["objects"], ARCHIVED, "{stat}");

        line.job("on_archived = \"skip\"", "");
        line.from.thaw("bucket", key(PLAIN).as_bytes());
        line.home.import(0, &["--restart"]);
        let stat = line.stat();
        // One was restored by somebody: it is no reason to leave it.
        assert_eq!(stat["objects"]["skipped"], ARCHIVED - 1, "{stat}");
        assert_eq!(stat["objects"]["succeeded"], PLAIN + 1, "{stat}");
        let records = line.home.report(JOB);
        let left = records.iter().find(|record| record["key"] == key(PLAIN + 1)).unwrap();
        assert_eq!((&left["outcome"], &left["proof"]), (&"skipped".into(), &"archived".into()), "{left}");
        assert!(left["note"].as_str().unwrap().contains(class(dialect, PLAIN + 1)), "{left}");
        assert!(line.requests("POST", "restore").is_empty(), "nobody asked for anything");
    }
}

#[test]
fn archived_objects_are_asked_for_once_and_moved_when_they_can_be_read() {
    for (dialect, tier) in [(Dialect::S3, "bulk"), (Dialect::Oss, "standard"), (Dialect::Cos, "bulk")] {
        let policy = format!("on_archived = \"restore\"\nrestore_tier = {tier:?}\nrestore_days = 3");
        let line = Line::new(dialect, &policy);
        let mut running = line.spawn(&START);
        line.home.wait_for("they wait", || {
            let stat = line.stat();
            stat["waiting"]["objects"] == ARCHIVED && stat["objects"]["succeeded"] == PLAIN
        });
        // They are looked at again and again, nobody asks twice, and no read is tried in vain.
        line.from.forget_requests();
        line.from.wait_for(|request| request.method == "HEAD", 3 * ARCHIVED).expect("they are looked at");
        assert!(line.requests("POST", "restore").is_empty());
        assert!(line.requests("GET", "").is_empty());
        let stat = line.stat();
        assert_eq!((&stat["state"], &stat["objects"]["failed"]), (&"running".into(), &0.into()), "{stat}");
        assert_eq!(stat["objects"]["succeeded"], PLAIN, "{stat}");
        assert!(stat["waiting"]["since"].is_string(), "{stat}");
        let restores = stat["requests"].as_array().unwrap().iter().find(|line| line["kind"] == "restore");
        assert_eq!(restores.map(|line| &line["count"]), Some(&ARCHIVED.into()), "{stat}");
        let said = line.home.run(&["stat", JOB]).out;
        assert!(said.contains("10 objects for a restore at the source since"), "{said}");

        line.thaw(PLAIN..PLAIN + 4);
        line.home.wait_for("four are moved", || line.stat()["objects"]["succeeded"] == PLAIN + 4);
        assert!(running.try_wait().unwrap().is_none(), "six still wait");
        line.thaw(PLAIN + 4..PLAIN + ARCHIVED);
        assert_eq!(running.wait().unwrap().code(), Some(0));
        let wishes = line.from.wishes("bucket");
        assert_eq!((wishes.len(), line.from.needless_wishes()), (ARCHIVED, 0));
        for (key, body) in wishes {
            assert!(body.contains("<Days>3</Days>"), "{body}");
            let one_speed = class_of(&line, &key) == "Archive";
            let words = if tier == "bulk" { "<Tier>Bulk</Tier>" } else { "<Tier>Standard</Tier>" };
            assert_eq!(body.contains(words), !one_speed, "{body}");
        }
    }
}

fn class_of(line: &Line, key: &[u8]) -> String {
    line.from.object("bucket", key).unwrap().class
}

#[test]
fn whatever_dies_while_objects_wait_asks_for_none_of_them_twice() {
    let places = [
        ASKED_FOR.to_owned(),
        PARKED.to_owned(),
        format!("{PARKED}#3"),
        format!("{NOT_SETTLED}#3"),
        format!("{HANDED_OUT}#3"),
    ];
    let line = Line::new(Dialect::S3, "on_archived = \"restore\"");
    for (turn, place) in places.iter().enumerate() {
        let way = if turn == 0 { START } else { RESUME };
        let mut running = line.command(&way, "100").env("BRIGADE_BREAKPOINT", place).spawn().unwrap();
        let mut status = None;
        line.home.wait_for(place, || {
            status = running.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.and_then(|status| status.code()), None, "{place:?} was not reached");
    }
    // Killed while all of them wait; what waits is known before anybody looks.
    let mut running = line.command(&RESUME, "3600000").spawn().unwrap();
    let before = line.waits_for(ARCHIVED);
    running.kill().unwrap();
    running.wait().unwrap();
    let after = line.stat();
    assert_eq!(after["waiting"]["objects"], ARCHIVED, "{after}");
    assert_eq!(after["waiting"]["since"], before["waiting"]["since"], "{after}");
    assert_ne!(after["state"], "succeeded");
    line.thaw(PLAIN..PLAIN + ARCHIVED);

    // They are looked at in an hour, or when somebody asks for it.
    let mut running = line.command(&RESUME, "3600000").spawn().unwrap();
    line.home.wait_for("it runs", || line.stat()["state"] == "running");
    assert_eq!(line.stat()["waiting"]["objects"], ARCHIVED);
    line.home.expect(0, &["retry", JOB]);
    assert_eq!(running.wait().unwrap().code(), Some(0));
    line.must_be_whole();
}

#[test]
fn a_job_that_waits_can_be_stopped_paused_and_cleaned() {
    let line = Line::new(Dialect::Oss, "on_archived = \"restore\"");
    let running = line.command(&START, "3600000").spawn().unwrap();
    line.waits_for(ARCHIVED);
    assert_eq!(interrupt(running), Some(1));

    line.home.expect(0, &["start"]);
    line.home.expect(0, &["--no-input", "pause", JOB]);
    let stat = line.stat();
    assert_eq!((&stat["state"], &stat["waiting"]["objects"]), (&"paused".into(), &ARCHIVED.into()), "{stat}");
    line.home.expect(0, &["resume", JOB]);
    line.thaw(PLAIN..PLAIN + 5);
    line.home.expect(0, &["retry", JOB]);
    line.home.wait_for("five are moved", || line.stat()["objects"]["succeeded"] == PLAIN + 5);
    line.home.expect(0, &["--no-input", "pause", JOB]);
    line.home.expect(0, &["--no-input", "clean", JOB]);
    assert!(!line.home.path().join("master/jobs").join(JOB).exists());
    line.home.expect(0, &["stop"]);
}

#[test]
fn a_read_that_is_refused_as_archived_is_enough_to_wait() {
    let line = Line::new(Dialect::S3, "on_archived = \"restore\"");
    // The listing does not say it of this one; the service says it once.
    let action = Action::Status(403, "InvalidObjectState", None);
    line.from.plan(Fault { method: "GET", contains: key(3), skip: 0, times: 1, action });
    line.thaw(PLAIN..PLAIN + ARCHIVED);
    let status = line.command(&START, "100").status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(line.requests("GET", "")[key(3).as_bytes()], 2);
    assert!(line.requests("POST", "restore").is_empty(), "all of them could be read");
    assert_eq!(line.stat()["objects"]["succeeded"], PLAIN + ARCHIVED);
}

#[test]
fn what_cannot_be_restored_from_here_is_refused_at_the_start() {
    let line = Line::new(Dialect::S3, "on_archived = \"later\"");
    let said = line.home.expect(2, &START).err;
    assert!(said.contains("source.on_archived") && said.contains("restore"), "{said}");
    line.job("on_archived = \"restore\"\nrestore_days = 0", "");
    assert!(line.home.expect(2, &START).err.contains("source.restore_days"));
}

/// Classes of services that speak S3, which this program does not know as archives.
#[test]
fn a_class_that_nobody_knows_is_asked_for_when_reads_are_refused_and_never_for_ever() {
    let line = Line::new(Dialect::S3, "on_archived = \"restore\"");
    let cold = Object { class: "COLD".to_owned(), ..Object::new("content 7") };
    line.from.insert("bucket", key(7).as_bytes(), cold);
    // HEAD says that it can be read, and no restore changes that.
    let action = Action::Status(403, "InvalidObjectState", None);
    line.from.plan(Fault { method: "GET", contains: key(3), skip: 0, times: u32::MAX, action });
    line.thaw(PLAIN..PLAIN + ARCHIVED);
    let mut running = line.spawn(&START);
    line.waits_for(1);
    assert_eq!(line.from.wishes("bucket").len(), 1);
    line.thaw(7..8);
    assert_eq!(running.wait().unwrap().code(), Some(3));
    assert_eq!((line.from.wishes("bucket").len(), line.from.needless_wishes()), (1, 0));
    let stat = line.stat();
    assert_eq!(stat["failures"][0]["name"], "ARCHIVED", "{stat}");
    assert_eq!(
        (&stat["failures"][0]["objects"], &stat["objects"]["failed"]),
        (&1.into(), &1.into()),
        "{stat}"
    );
    let records = line.home.report(JOB);
    let failed = records.iter().find(|record| record["key"] == key(3)).unwrap();
    let text = failed["text"].as_str().unwrap();
    assert!(text.contains("HEAD says that it can be read, GET refuses"), "{text}");
    assert_eq!(line.requests("POST", "restore")[key(3).as_bytes()], 1, "it is asked for once");
}

/// Nobody but HEAD asks then, and its refusal has no body.
#[test]
fn a_token_that_expires_while_objects_wait_pauses_the_job_and_fails_none() {
    let line = Line::new(Dialect::S3, "");
    let token = line.home.path().join("token");
    line.job(&format!("session_token = {{ file = {token:?} }}\non_archived = \"restore\""), "");
    line.home.write("token", "first-token");
    line.from.require_token("first-token");
    let mut running = line.spawn(&START);
    line.waits_for(ARCHIVED);
    line.from.expire_token();
    assert_eq!(running.wait().unwrap().code(), Some(1));
    let stat = line.stat();
    assert_eq!((&stat["state"], &stat["objects"]["failed"]), (&"paused".into(), &0.into()), "{stat}");
    assert!(stat.to_string().contains("ExpiredToken"), "{stat}");
    line.from.require_token("second-token");
    line.home.write("token", "second-token");
    line.thaw(PLAIN..PLAIN + ARCHIVED);
    assert_eq!(line.command(&RESUME, "100").status().unwrap().code(), Some(0));
    line.must_be_whole();
}
