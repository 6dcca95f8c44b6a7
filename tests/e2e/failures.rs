//! Jobs in which nearly every object fails: what is said stays short, what is kept stays in proportion, and the
//! retry works. `BRIGADE_OBJECTS=100000` before the command is the longer run.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use nix::sys::resource::{UsageWho, getrusage};
use tests::crash::{BUCKET, End, Expected, Objects, files, must_be_whole_after};
use tests::family::{Action, Dialect, Fault, Object};
use tests::home::{Home, Said};

fn objects() -> usize {
    std::env::var("BRIGADE_OBJECTS").map_or(20_000, |text| text.parse().unwrap())
}

/// What a person or a log is given, however many objects failed.
const SHORT: usize = 3_000;

#[track_caller]
fn must_be_short(what: &str, said: &Said) {
    let size = said.out.len() + said.err.len();
    assert!(size < SHORT, "{what} says {size} bytes: {}{}", said.out, said.err);
}

fn size_of(folder: &Path) -> u64 {
    files(folder).iter().map(|path| path.metadata().map_or(0, |meta| meta.size())).sum()
}

/// Keeps each figure within what it may be, and prints it.
#[track_caller]
fn within(what: &str, figure: u64, most: u64) {
    println!("{what}: {figure} (at most {most})");
    assert!(figure <= most, "{what}: {figure}, more than {most}");
}

/// Stat, log and report of a job in which so many objects failed with this code.
#[track_caller]
fn must_be_usable(home: &Home, failed: usize, code: &str) {
    let begun = Instant::now();
    let said = home.expect(0, &["stat", "local_test"]);
    within("stat, ms", begun.elapsed().as_millis() as u64, 2_000 + failed as u64 / 20);
    must_be_short("stat", &said);
    assert!(said.out.contains(code), "{}", said.out);
    let stat = home.json(&["stat", "local_test"]);
    assert_eq!((&stat["state"], &stat["objects"]["failed"]), (&"failed".into(), &failed.into()), "{stat}");
    let out = home.path().join("failed.csv");
    let begun = Instant::now();
    let args = ["report", "local_test", "--failed", "--format", "csv", "--out", &out.display().to_string()];
    must_be_short("report", &home.expect(0, &args));
    within("report, ms", begun.elapsed().as_millis() as u64, 3_000 + failed as u64);
    let text = std::fs::read_to_string(&out).unwrap();
    let lines = text.lines().filter(|line| line.contains(code) && !line.starts_with('#')).count();
    assert_eq!(lines, failed);
    std::fs::remove_file(&out).unwrap();
    within("logs, bytes", size_of(&home.path().join("logs")), 1 << 20);
    let folder = home.path().join("master/jobs/local_test/failed_tasks");
    let lists = files(&folder).into_iter().filter(|path| path.ends_with("error.list"));
    let listed: usize = lists.map(|list| std::fs::read_to_string(list).unwrap().lines().count()).sum();
    assert_eq!(listed, failed, "in error.list");
    within(
        "what is kept of each failed object, bytes",
        size_of(&home.path().join("master")) / failed as u64,
        1_500,
    );
}

#[test]
fn a_job_of_which_nearly_nothing_arrives_stays_usable_and_its_retry_moves_it() {
    let (from, to) = (End::server(Dialect::S3), End::server(Dialect::Oss));
    let name = |at: usize| format!("d/{at:06}{}", if at.is_multiple_of(20) { "-good" } else { "-bad" });
    let all: Objects = (0..objects()).map(|at| (name(at), Bytes::from(format!("object {at}")))).collect();
    from.fill(&all);
    let refuse = Action::Status(400, "InvalidArgument", None);
    to.as_server().plan(Fault {
        method: "PUT",
        contains: "-bad".into(),
        skip: 0,
        times: u32::MAX,
        action: refuse,
    });
    let home = Home::new();
    home.job(&from.side(), &to.side(), "");
    let failed = all.keys().filter(|key| key.ends_with("-bad")).count();
    home.expect(0, &["start"]);
    home.expect(0, &["submit"]);
    let state = || home.json(&["stat", "local_test"])["state"].clone();
    home.wait_for("the job ends", || matches!(state().as_str(), Some("failed" | "paused")));
    must_be_usable(&home, failed, "UPLOAD_FAILED");
    to.as_server().heal();
    let begun = Instant::now();
    let said = home.expect(0, &["retry", "local_test"]);
    within("retry, ms", begun.elapsed().as_millis() as u64, 3_000 + failed as u64 / 20);
    must_be_short("retry", &said);
    home.wait_for("the job is done", || state() == "succeeded");
    home.expect(0, &["stop"]);
    must_be_whole_after(&home, "local_test", &to, &all, Expected { failed_before: failed });
    assert!(!home.path().join("master/jobs/local_test/failed_tasks").exists());
}

#[test]
fn a_destination_that_can_hold_no_name_at_all_fails_each_by_name_in_bounded_memory() {
    let (from, to) = (End::server(Dialect::S3), End::tree());
    for at in 0..objects() {
        from.as_server().insert(BUCKET, format!("d//{at:06}").as_bytes(), Object::new("content"));
    }
    let home = Home::new();
    home.job(&from.side(), &to.side(), "");
    let begun = Instant::now();
    let said = home.import(3, &["--retry", "1"]);
    within("import with one retry, ms", begun.elapsed().as_millis() as u64, 20_000 + 2 * objects() as u64);
    let most = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() as u64 >> 10;
    println!("largest process so far: {most} MiB");
    must_be_short("import", &said);
    must_be_usable(&home, objects(), "INVALID_NAME");
    assert_eq!(to.objects(), Objects::new());
}
