//! The process dies at each named place (`proto::breakpoint`); one command goes on, and everything is as if
//! nothing had happened.

use std::time::Duration;

use proto::breakpoint::{
    AUDIT_HALF, BEGUN, CLEAN_ABORTED, CLEAN_BEGUN, CLEAN_FILES, CLEAN_HALF, COMMIT_APPLIED, COMMIT_FLUSHED,
    COMMITTED, COMPLETED, HANDED_OUT, ID_SAVED, INTENDED, MANIFEST_WRITTEN, NOT_NAMED, NOT_RENAMED,
    NOT_SETTLED, PART_UPLOADED, RECORDED, RETRIED, SEALED, SETTLED,
};
use tests::crash::{BUCKET, End, Objects, must_be_true, must_be_whole, objects};
use tests::family::{Action, Dialect, Fault};
use tests::home::Home;

const JOB: &str = "local_test";
/// Three parts.
const LARGE: usize = 11_000_000;
const CONF: &str = "[task]\nobject_count_limit = 40\n[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\nparts_in_flight = 2\n";

/// An import between two ends.
struct Line {
    home: Home,
    from: End,
    to: End,
    all: Objects,
}

impl Line {
    fn new(to: End) -> Line {
        Line::with(to, objects(110, 2, LARGE))
    }

    fn with(to: End, all: Objects) -> Line {
        let (home, from) = (Home::new(), End::server(Dialect::Oss));
        from.fill(&all);
        home.job(&from.side(), &to.side(), CONF);
        Line { home, from, to, all }
    }

    /// Runs a command that dies at this place.
    #[track_caller]
    fn dies(&self, place: &str, args: &[&str]) {
        let output = self.home.command(args).env("BRIGADE_BREAKPOINT", place).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), None, "{place:?} was not reached by {args:?}: {said}");
        must_be_true(&self.home, JOB, &self.to, &self.all);
    }

    #[track_caller]
    fn goes_on(&self) {
        self.home.import(0, &["--resume"]);
        must_be_whole(&self.home, JOB, &self.to, &self.all);
    }
}

const START: [&str; 3] = ["--no-input", "import", "--restart"];
const RESUME: [&str; 3] = ["--no-input", "import", "--resume"];

#[test]
fn an_import_that_dies_anywhere_in_the_master_goes_on() {
    for place in [MANIFEST_WRITTEN, COMMITTED, SEALED, HANDED_OUT, AUDIT_HALF, RECORDED, SETTLED] {
        for nth in [1, 2] {
            // A job is sealed once.
            if place == SEALED && nth == 2 {
                continue;
            }
            let line = Line::new(End::server(Dialect::Oss));
            line.dies(&format!("{place}#{nth}"), &START);
            line.goes_on();
        }
    }
}

#[test]
fn an_import_that_dies_in_the_middle_of_any_commit_goes_on() {
    // One after the other on the same job: each time a little further.
    for place in [COMMIT_APPLIED, COMMIT_FLUSHED] {
        let line = Line::new(End::server(Dialect::Oss));
        line.dies(&format!("{place}#1"), &START);
        for nth in [2, 3, 4, 5, 7, 9] {
            line.dies(&format!("{place}#{nth}"), &RESUME);
        }
        line.goes_on();
    }
}

#[test]
fn an_import_that_dies_anywhere_in_the_worker_goes_on() {
    for place in [NOT_SETTLED, INTENDED, BEGUN, PART_UPLOADED, COMPLETED] {
        for nth in [1, 2] {
            let line = Line::new(End::server(Dialect::Oss));
            line.dies(&format!("{place}#{nth}"), &START);
            if place == BEGUN {
                assert!(!line.to.leavings().is_empty(), "an upload that nobody knows is open");
            }
            line.goes_on();
        }
    }
}

#[test]
fn an_import_to_files_that_dies_anywhere_leaves_none_that_is_not_whole() {
    for place in [NOT_NAMED, INTENDED, BEGUN, PART_UPLOADED, COMPLETED] {
        let line = Line::new(End::tree());
        line.dies(place, &START);
        line.goes_on();
    }
    // Over a file that is there.
    let line = Line::new(End::tree());
    line.to.fill(&line.all.keys().map(|key| (key.clone(), "old".into())).collect());
    line.dies(NOT_RENAMED, &START);
    assert!(!line.to.leavings().is_empty(), "a temporary file is there");
    line.goes_on();
}

#[test]
fn dying_at_the_same_place_again_and_again_leaves_no_more_than_dying_once() {
    let line = Line::new(End::server(Dialect::Oss));
    line.dies(BEGUN, &START);
    for _ in 0..2 {
        line.dies(BEGUN, &RESUME);
    }
    line.dies(ID_SAVED, &RESUME);
    line.goes_on();
}

#[test]
fn an_import_that_is_killed_while_a_complete_is_unanswered_sees_that_it_was_done() {
    let line = Line::with(End::server(Dialect::Oss), objects(0, 1, LARGE));
    let server = line.to.as_server();
    let action = Action::DelayAnswer(Duration::from_secs(3600));
    server.plan(Fault { method: "POST", contains: "uploadId".into(), skip: 0, times: 1, action });
    let mut running = line.home.spawn(&START);
    line.home.wait_for("the object is there", || server.object(BUCKET, b"large/0.bin").is_some());
    running.kill().unwrap();
    running.wait().unwrap();
    server.forget_requests();
    line.goes_on();
    let parts = server.requests().into_iter().filter(|request| request.query.contains("partNumber")).count();
    assert_eq!(parts, 0, "it was complete");
}

#[test]
fn a_lost_answer_to_create_leaves_no_upload() {
    let line = Line::with(End::server(Dialect::Oss), objects(0, 1, LARGE));
    let server = line.to.as_server();
    for action in [Action::LoseAnswer, Action::LoseAnswer] {
        server.plan(Fault { method: "POST", contains: "uploads".into(), skip: 0, times: 1, action });
    }
    line.home.import(0, &["--restart"]);
    must_be_whole(&line.home, JOB, &line.to, &line.all);
}

#[test]
fn cleaning_after_any_death_leaves_no_upload_and_no_file() {
    for to in [|| End::server(Dialect::Oss), End::tree as fn() -> End] {
        for place in [INTENDED, BEGUN, PART_UPLOADED] {
            let line = Line::new(to());
            line.dies(place, &START);
            line.home.expect(0, &["start"]);
            line.home.expect(0, &["--no-input", "clean", "--force", JOB]);
            line.home.expect(0, &["stop"]);
            assert_eq!(line.to.leavings(), Vec::<String>::new(), "{place}");
            assert!(!line.home.path().join("master/jobs").join(JOB).exists());
        }
    }
}

#[test]
fn a_clean_that_dies_half_way_is_finished_by_the_next_start() {
    for place in [CLEAN_BEGUN, CLEAN_ABORTED, CLEAN_HALF, CLEAN_FILES] {
        let line = Line::new(End::server(Dialect::Oss));
        line.dies(PART_UPLOADED, &START);
        line.dies(place, &START);
        // The name may be used again, and the old job is gone for good.
        line.home.import(0, &["--restart"]);
        must_be_whole(&line.home, JOB, &line.to, &line.all);
    }
}

#[test]
fn a_retry_that_dies_half_way_is_done_once() {
    for place in [RETRIED, COMMIT_APPLIED, COMMIT_FLUSHED] {
        let line = Line::new(End::server(Dialect::Oss));
        let server = line.to.as_server();
        let action = Action::Status(403, "AccessDenied", None);
        server.plan(Fault { method: "PUT", contains: "o-00017".into(), skip: 0, times: 1000, action });
        line.home.import(3, &["--restart"]);
        server.heal();
        let place = if place == RETRIED { place.to_owned() } else { format!("{place}#1") };
        line.dies(&place, &["--no-input", "import", "--resume", "--retry", "1"]);
        line.home.import(0, &["--resume", "--retry", "1"]);
        let failed = tests::crash::Expected { failed_before: 1 };
        tests::crash::must_be_whole_after(&line.home, JOB, &line.to, &line.all, failed);
    }
}

#[test]
fn new_keys_of_access_that_are_sealed_and_not_stored_are_taken_over_by_the_next_import() {
    let line = Line::new(End::server(Dialect::Oss));
    line.dies(&format!("{RECORDED}#1"), &START);
    // Something that may change while the job lives.
    let file = line.home.path().join("conf/local_job.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("parts_in_flight = 2", "parts_in_flight = 2\nrequests_per_s = 5000"))
        .unwrap();
    line.dies(SEALED, &RESUME);
    let said = line.home.import(0, &["--resume"]);
    assert!(said.err.contains("requests_per_s"), "{}", said.err);
    must_be_whole(&line.home, JOB, &line.to, &line.all);
}

#[test]
fn no_source_is_written_to() {
    let line = Line::new(End::server(Dialect::Oss));
    line.dies(PART_UPLOADED, &START);
    line.goes_on();
    let writes = line
        .from
        .as_server()
        .requests()
        .into_iter()
        .filter(|request| request.method != "GET" && request.method != "HEAD");
    assert_eq!(writes.count(), 0);
}
