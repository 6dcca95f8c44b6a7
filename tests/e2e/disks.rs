//! Disks that are full or read-only, at each place where something is written. Needs root, for the mounts.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tests::family::{Dialect, Server};
use tests::home::{Home, Said};
use tests::place::{self, Disk};
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::world::Side;

const PLAN: &str = "small:1200";
const OBJECTS: usize = 1200;
const STATE: &str = "master/state";

/// False where mounts are not allowed; says so.
#[allow(clippy::print_stdout, reason = "who runs the tests has to know what was not tested")]
fn mounts() -> bool {
    let allowed = place::own_mounts();
    if !allowed {
        println!("NOT TESTED: a full disk needs a mount namespace, and only root gets one");
    }
    allowed
}

struct Stage {
    home: Home,
    server: Server,
    destination: Side,
    _tree: TempDir,
}

impl Stage {
    /// From a directory to the test server.
    fn new() -> Stage {
        let tree = TempDir::new().unwrap();
        let source = Side::local(tree.path());
        source.seed(PLAN);
        let server = Server::start(Dialect::Oss, ACCESS_KEY, SECRET_KEY);
        server.make_bucket("bucket");
        let destination = Side::oss(&server.endpoint(), "bucket", "");
        let home = Home::new();
        let stage = Stage { home, server, destination, _tree: tree };
        stage.write_job(&source);
        stage
    }

    fn write_job(&self, source: &Side) {
        self.home.job(source, &self.destination, "[task]\nobject_count_limit = 10\n");
    }

    /// An import whose disk is full after so many writes at the destination; when it has ended.
    fn import_until_full(&self, disk: &Disk, puts: usize) -> Said {
        let mut command = self.home.command(&["--no-input", "import", "--restart"]);
        let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        self.server.wait_for(|request| request.method == "PUT", puts).expect("the import moves objects");
        disk.fill();
        let output = running.wait_with_output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Everything arrived and is recorded once; nothing is left over.
    fn must_be_complete(&self) {
        self.destination.must_equal_bare(PLAN);
        let stat = self.home.json(&["stat", "local_test"]);
        assert_eq!(
            (&stat["state"], &stat["objects"]["succeeded"]),
            (&"succeeded".into(), &OBJECTS.into()),
            "{stat}"
        );
        let mut keys: BTreeMap<String, usize> = BTreeMap::new();
        for record in self.home.report("local_test").iter().skip(1) {
            *keys.entry(record["key"].to_string()).or_default() += 1;
        }
        assert_eq!(keys.len(), OBJECTS);
        assert!(keys.values().all(|times| *times == 1), "recorded twice");
        assert_eq!(leftovers(self.home.path()), Vec::<String>::new());
    }
}

fn leftovers(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.ends_with(".tmp") || name.ends_with(".copying") || name.ends_with(".original") {
            found.push(path.display().to_string());
        }
        if path.is_dir() {
            found.extend(leftovers(&path));
        }
    }
    found
}

/// The disk of `place` is full in the middle: the import ends with 1, names the path and the command; that
/// command completes the job.
#[track_caller]
fn a_full_disk_at(place: &str, kib: u32, named: &str) {
    let stage = Stage::new();
    let conf: Vec<(&str, String)> = ["conf/sys.toml", "conf/local_job.toml"]
        .map(|name| (name, std::fs::read_to_string(stage.home.path().join(name)).unwrap()))
        .into();
    let disk = Disk::mount(&stage.home.path().join(place), kib);
    conf.iter().for_each(|(name, text)| stage.home.write(name, text));
    for puts in [40, 400] {
        let said = stage.import_until_full(&disk, puts);
        let text = format!("{}{}", said.out, said.err);
        if place == STATE && said.code == 0 {
            // The state writes into the room that it has, as long as that will do.
            disk.free();
            stage.must_be_complete();
            stage.server.forget_requests();
            continue;
        }
        assert_eq!(said.code, 1, "{place}: {text}");
        for word in [named, "No space left", "make room", "import --resume"] {
            assert!(text.to_lowercase().contains(&word.to_lowercase()), "{place}: no {word:?} in {text}");
        }
        // As long as there is no room the command says the same again, and harms nothing.
        let again = stage.home.run(&["--no-input", "import", "--resume"]);
        assert!(again.code == 1 || place == STATE, "{place}: {}{}", again.out, again.err);
        let stat = stage.home.run(&["stat", "local_test"]);
        let says_why =
            ["no room beside the state", "MiB", "make room"].iter().all(|word| stat.err.contains(word));
        // In the state itself sled needs a little.
        let may_not = stat.code == 1 && (says_why || place == STATE && stat.err.contains("No space left"));
        assert!(
            if place.is_empty() { stat.code == 1 && says_why } else { stat.code == 0 || may_not },
            "{place}: {stat:?}"
        );
        disk.free();
        let stat = stage.home.json(&["stat", "local_test"]);
        assert_eq!(stat["objects"]["failed"], 0, "{stat}");
        stage.home.import(0, &["--resume"]);
        stage.must_be_complete();
        stage.server.forget_requests();
    }
}

#[test]
fn a_full_disk_under_the_whole_home_costs_nothing_but_time() {
    if mounts() {
        a_full_disk_at("", 12_000, "/master/");
    }
}

#[test]
fn a_full_disk_under_the_state_costs_nothing_but_time() {
    if mounts() {
        a_full_disk_at(STATE, 8_000, STATE);
    }
}

#[test]
fn a_full_disk_under_manifests_and_audit_files_pauses_the_job() {
    if mounts() {
        a_full_disk_at("master/jobs", 4_000, "/local_test/");
    }
}

#[test]
fn a_full_disk_under_the_logs_stops_nothing() {
    if !mounts() {
        return;
    }
    let stage = Stage::new();
    let disk = Disk::mount(&stage.home.path().join("logs"), 64);
    disk.fill();
    stage.home.import(0, &["--restart"]);
    stage.must_be_complete();
    // The same for processes of their own, whose error output is there as well.
    stage.home.expect(0, &["--no-input", "clean", "local_test"]);
    let job = stage.home.path().join("conf/local_job.toml").display().to_string();
    stage.home.expect(0, &["-v", "start"]);
    stage.home.expect(0, &["submit", &job]);
    stage
        .home
        .wait_for("the job is done", || stage.home.json(&["stat", "local_test"])["state"] == "succeeded");
    disk.free();
    stage.home.expect(0, &["stop"]);
    stage.must_be_complete();
    let log = std::fs::read_to_string(stage.home.path().join("logs/master.log")).unwrap();
    assert!(log.contains("log lines were lost"), "{log}");
}

#[test]
fn a_service_whose_state_has_no_room_ends_and_goes_on_at_the_next_start() {
    if !mounts() {
        return;
    }
    let stage = Stage::new();
    let disk = Disk::mount(&stage.home.path().join("master/state"), 8_000);
    let job = stage.home.path().join("conf/local_job.toml").display().to_string();
    stage.home.expect(0, &["start"]);
    stage.home.expect(0, &["submit", &job]);
    stage.server.wait_for(|request| request.method == "PUT", 300).expect("the job moves objects");
    disk.fill();
    let ended = || !stage.home.path().join("run/master.pid").exists();
    let done = || stage.home.json(&["stat", "local_test"])["state"] == "succeeded";
    stage.home.wait_for("the master ends, or has room enough", || ended() || done());
    if !ended() {
        disk.free();
        stage.home.expect(0, &["stop"]);
        return stage.must_be_complete();
    }
    let said = stage.home.run(&["pause", "local_test"]);
    assert!(said.code == 4 && said.err.contains("brigade start"), "{}", said.err);
    let log = std::fs::read_to_string(stage.home.path().join("logs/master.log")).unwrap();
    assert!(log.contains("No space left"), "{log}");
    disk.free();
    stage.home.expect(0, &["start"]);
    stage
        .home
        .wait_for("the job is done", || stage.home.json(&["stat", "local_test"])["state"] == "succeeded");
    stage.home.expect(0, &["stop"]);
    stage.must_be_complete();
}

/// From one directory to another.
fn copy() -> (Home, Side, TempDir, TempDir) {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let source = Side::local(from.path());
    source.seed(PLAN);
    let destination = Side::local(to.path());
    let home = Home::new();
    // Slow enough for something to happen in the middle.
    let conf = "[task]\nobject_count_limit = 100\n[transfer]\nrequests_per_s = 900\n";
    home.job(&source, &destination, conf);
    (home, destination, from, to)
}

fn files_below(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}

/// The import was stopped by its destination: it says why, and fails no object.
#[track_caller]
fn must_be_paused(home: &Home, running: std::process::Child, words: &[&str]) {
    let output = running.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    let stat: Value = home.json(&["stat", "local_test"]);
    assert_eq!((&stat["state"], &stat["objects"]["failed"]), (&"paused".into(), &0.into()), "{stat}");
}

fn start_and_wait_for_files(home: &Home, to: &std::path::Path) -> std::process::Child {
    let mut command = home.command(&["--no-input", "import", "--restart"]);
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    home.wait_for("files arrive", || files_below(to) > 100);
    running
}

#[test]
fn a_full_disk_at_a_local_destination_fails_no_object() {
    if !mounts() {
        return;
    }
    let (home, destination, _from, to) = copy();
    let disk = Disk::mount(to.path(), 200_000);
    let running = start_and_wait_for_files(&home, to.path());
    disk.fill();
    let path = to.path().display().to_string();
    must_be_paused(&home, running, &[&path, "No space left", "Make room", "import --resume"]);
    disk.free();
    home.import(0, &["--resume"]);
    destination.must_equal_bare(PLAN);
    assert_eq!(leftovers(to.path()), Vec::<String>::new());
}

#[test]
fn a_local_destination_that_becomes_read_only_fails_no_object() {
    if !mounts() {
        return;
    }
    let (home, destination, _from, to) = copy();
    let running = start_and_wait_for_files(&home, to.path());
    place::make_read_only(to.path());
    let path = to.path().display().to_string();
    must_be_paused(&home, running, &[&path, "Read-only", "writable", "import --resume"]);
    place::make_writable(to.path());
    home.import(0, &["--resume"]);
    destination.must_equal_bare(PLAN);
}

#[test]
fn a_home_that_cannot_be_written_is_named_and_nothing_begins() {
    if !mounts() {
        return;
    }
    let (home, destination, _from, to) = copy();
    let path = home.path().display().to_string();
    place::make_read_only(home.path());
    for args in [&["--no-input", "import"][..], &["start"]] {
        let said = home.expect(1, args);
        assert!(said.err.contains(&path) && said.err.contains("Read-only"), "{}", said.err);
    }
    assert_eq!(files_below(to.path()), 0);
    place::make_writable(home.path());
    home.import(0, &[]);
    destination.must_equal_bare(PLAN);
    // What an import says at its end can be read again.
    place::make_read_only(home.path());
    let said = home.run(&["stat", "local_test"]);
    assert!(said.code == 1 && said.err.contains(&path), "{}", said.err);
    place::make_writable(home.path());
    home.expect(0, &["stat", "local_test"]);
}

#[test]
fn a_report_that_has_no_room_leaves_the_one_that_was_there() {
    if !mounts() {
        return;
    }
    let (home, _destination, from, _to) = copy();
    home.import(0, &["--restart"]);
    let disk = Disk::mount(&from.path().join("reports"), 3_000);
    let out = from.path().join("reports/r.jsonl").display().to_string();
    home.expect(0, &["report", "local_test", "--out", &out]);
    let before = std::fs::read(&out).unwrap();
    disk.fill();
    let said = home.expect(1, &["report", "local_test", "--out", &out]);
    assert!(said.err.contains(&out) && said.err.contains("make room"), "{}", said.err);
    assert_eq!(std::fs::read(&out).unwrap(), before);
    assert_eq!(leftovers(from.path()), Vec::<String>::new());
    disk.free();
    home.expect(0, &["report", "--check", &out]);
    // The scratch file of a report is in run/.
    let run = Disk::mount(&home.path().join("run"), 4_000);
    run.fill();
    let said = home.expect(1, &["report", "local_test", "--out", &out]);
    assert!(said.err.contains("run"), "{}", said.err);
    run.free();
    home.expect(0, &["report", "local_test", "--out", &out]);
}

/// Of two keys that are one name to the disk the first is there, and the second failed; nothing is claimed.
#[test]
#[allow(clippy::print_stdout, reason = "who runs the tests has to know what was not tested")]
fn of_two_keys_that_a_disk_takes_for_one_the_second_fails_and_says_which_is_there() {
    if !mounts() {
        return;
    }
    let scratch = TempDir::new().unwrap();
    let Some(folding) = place::folding(scratch.path()) else {
        println!("NOT TESTED: this machine mounts no file system that ignores letter case");
        return;
    };
    let (kind, to) = (folding.kind, folding.path.as_path());
    let from = TempDir::new().unwrap();
    let write = |name: &str| {
        let path = from.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    };
    ["A.txt", "a.txt", "D/x", "d/y", "b", "what?"].iter().for_each(|name| write(name));
    std::fs::write(from.path().join("Large"), vec![1; 12 << 20]).unwrap();
    std::fs::write(from.path().join("large"), vec![2; 12 << 20]).unwrap();
    let home = Home::new();
    home.job(&Side::local(from.path()), &Side::local(to), "[task]\nobject_count_limit = 100\n");
    let said = home.import(3, &["--restart"]);
    let pairs = [("A.txt", "a.txt"), ("D/x", "d/y"), ("Large", "large")];
    let report = home.report("local_test");
    let record =
        |key: &str| report.iter().find(|record| record["key"] == key).unwrap_or_else(|| panic!("{key}"));
    for (first, second) in pairs {
        let states = [first, second].map(|key| record(key)["outcome"].as_str().unwrap().to_owned());
        let lost = if states[0] == "failed" { first } else { second };
        assert!(states.contains(&"succeeded".to_owned()), "{kind}: {report:?}");
        assert_ne!(states[0], states[1], "{kind}: {first} and {second} are one name: {report:?}");
        let why = record(lost).to_string();
        assert!(why.contains("stands there as") && why.contains("takes for the same name"), "{why}");
    }
    assert_eq!(record("b")["outcome"], "succeeded", "{kind}");
    // What is there is what its record says.
    for key in ["A.txt", "a.txt", "Large", "large", "D/x", "d/y"] {
        if record(key)["outcome"] == "succeeded" {
            assert_eq!(std::fs::read(to.join(key)).unwrap(), std::fs::read(from.path().join(key)).unwrap());
        }
    }
    assert_eq!(leftovers(to), Vec::<String>::new());
    // A second time nothing changes its place, and the reason is the same.
    let again = home.import(3, &["--restart"]);
    assert!(!again.err.contains("Input/output"), "{} {}", said.err, again.err);
    for key in ["A.txt", "a.txt", "D/x", "d/y"] {
        let second = home.report("local_test");
        let second = second.iter().find(|record| record["key"] == key).unwrap();
        assert_eq!(second["outcome"], record(key)["outcome"], "{kind}: {key}");
    }
}
