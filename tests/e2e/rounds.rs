//! Rounds of an incremental job: each moves what is new or changed and nothing else, whatever dies in them or
//! between them. Later rounds are due at once for the test (`BRIGADE_ROUNDS`).

use std::collections::{BTreeMap, BTreeSet};
use std::process::Child;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proto::breakpoint::{
    COMMITTED, COMPLETED, HANDED_OUT, MANIFEST_WRITTEN, NOT_SETTLED, PART_UPLOADED, RECORDED, SETTLED,
};
use proto::v1::{AuditRecord, Outcome};
use serde_json::Value;
use tests::crash::{BUCKET, End, Objects, files, objects, temporaries};
use tests::family::{Action, Dialect, Fault, Object};
use tests::home::Home;

const JOB: &str = "local_test";
const START: [&str; 3] = ["--no-input", "import", "--restart"];
const RESUME: [&str; 3] = ["--no-input", "import", "--resume"];
const CONF: &str = "type = \"import\"\nincremental = true\ninterval = \"15m\"\n[task]\nobject_count_limit = 12\n[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n";

/// An incremental job between two ends, and what the source has now.
struct Line {
    home: Home,
    from: End,
    to: End,
    now: Objects,
    /// Deleted at the source since they were moved.
    gone: Objects,
}

impl Line {
    fn new(from: End, to: End) -> Line {
        let (home, now) = (Home::new(), objects(40, 1, 5_300_000));
        home.job(&from.side(), &to.side(), CONF);
        let line = Line { home, from, to, now, gone: Objects::new() };
        line.now.iter().for_each(|(key, data)| line.put(key, data, 0));
        line
    }

    /// An import that goes on until its round is over, and then waits.
    fn runs_until(&self, args: &[&str], round: u32) -> Child {
        let mut command = self.home.command(args);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let running = command.env("BRIGADE_ROUNDS", round.to_string()).spawn().unwrap();
        self.home.wait_for("the round is over", || {
            let stat = self.stat();
            stat["round"] == round && stat["state"] == "waiting"
        });
        running
    }

    fn stat(&self) -> Value {
        let said = self.home.run(&["--output", "json", "stat", JOB]);
        serde_json::from_str(&said.out).unwrap_or_default()
    }

    /// An import up to the end of this round, stopped while it waits; gives what stands then.
    fn round(&self, args: &[&str], round: u32) -> Value {
        let running = self.runs_until(args, round);
        let stat = self.stat();
        kill(Pid::from_raw(running.id() as i32), Signal::SIGINT).unwrap();
        let output = running.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("--resume"), "{said}");
        stat
    }

    /// Something is new, changed with the same size and another one, deleted, and renamed. Gives the keys that
    /// have to be moved.
    fn change(&mut self, turn: u8) -> BTreeSet<String> {
        let keys: Vec<String> = self.now.keys().cloned().collect();
        let nth = |n: usize| keys[n].clone();
        let size = |key: &str| self.now[key].len();
        let mut fresh = Objects::new();
        fresh.insert(format!("d00/new-{turn}.bin"), vec![turn; 300].into());
        fresh.insert(nth(3), vec![turn; size(&nth(3))].into());
        fresh.insert(nth(5), vec![turn; 3500 + usize::from(turn)].into());
        fresh.insert("large/0.bin".into(), vec![turn; 5_300_000].into());
        fresh.insert(format!("renamed-{turn}.bin"), self.now[&nth(9)].clone());
        for key in [nth(9), nth(11)] {
            self.from.remove(&key);
            let data = self.now.remove(&key).unwrap();
            self.gone.insert(key, data);
        }
        for (key, data) in &fresh {
            self.put(key, data, turn);
        }
        self.now.extend(fresh.clone());
        fresh.into_keys().collect()
    }

    /// With the time of its turn: no two versions have the same one, and none is younger than its copy.
    fn put(&self, key: &str, data: &Bytes, turn: u8) {
        let ago = 600 - 20 * u64::from(turn);
        match &self.from {
            End::Server(server) => {
                let mut object = Object::new(data.clone());
                object.modified = Timestamp::now() - SignedDuration::from_secs(ago as i64);
                server.insert(BUCKET, key.as_bytes(), object);
            }
            End::Tree(dir) => {
                self.from.fill(&Objects::from([(key.to_owned(), data.clone())]));
                let file = std::fs::File::options().write(true).open(dir.path().join(key)).unwrap();
                file.set_modified(SystemTime::now() - Duration::from_secs(ago)).unwrap();
            }
        }
    }

    /// The records of a round, by key; each object has one.
    fn records(&self, round: u32) -> BTreeMap<String, AuditRecord> {
        let audit = files(&self.home.path().join("master/jobs").join(JOB).join("audit"));
        let name = format!("r{round}-");
        let of_it =
            audit.into_iter().filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&name));
        let mut records = BTreeMap::new();
        for record in
            of_it.flat_map(|path| proto::audit::decode(&std::fs::read(path).unwrap()).unwrap().records)
        {
            let earlier = records.insert(String::from_utf8(record.key.clone()).unwrap(), record);
            assert!(earlier.is_none(), "recorded twice in round {round}: {earlier:?}");
        }
        records
    }

    fn keys_of(&self, round: u32, outcome: Outcome) -> BTreeSet<String> {
        let records = self.records(round).into_iter();
        records.filter(|(_, record)| record.outcome() == outcome).map(|(key, _)| key).collect()
    }

    /// Both ends are equal, but for what was deleted at the source, which stays; nothing is left behind.
    fn must_be_whole(&self, round: u32) {
        let there = self.to.objects();
        let mut wanted = self.gone.clone();
        wanted.extend(self.now.clone());
        assert!(there.keys().eq(wanted.keys()), "{:?}\n{:?}", there.keys(), wanted.keys());
        let differs: Vec<_> =
            there.iter().filter(|(key, data)| wanted[*key] != *data).map(|(key, _)| key).collect();
        assert_eq!(differs, Vec::<&String>::new(), "other bytes");
        let recorded = self.records(round);
        assert!(recorded.keys().eq(self.now.keys()), "round {round} records what the source has");
        assert!(recorded.values().all(|record| record.outcome() != Outcome::Failed));
        assert_eq!((self.to.leavings(), temporaries(self.home.path())), (Vec::new(), Vec::new()));
    }
}

/// Keys that were written, and keys that were read.
fn touched(line: &Line) -> (BTreeSet<String>, BTreeSet<String>) {
    let keys = |end: &End, methods: &[&str]| match end {
        End::Tree(_) => BTreeSet::new(),
        End::Server(server) => {
            let requests = server.requests().into_iter();
            let fits = requests.filter(|one| methods.contains(&one.method.as_str()) && !one.key.is_empty());
            fits.map(|one| String::from_utf8(one.key).unwrap()).collect()
        }
    };
    (keys(&line.to, &["PUT", "POST", "DELETE"]), keys(&line.from, &["GET"]))
}

fn forget(line: &Line) {
    for end in [&line.from, &line.to] {
        if let End::Server(server) = end {
            server.forget_requests();
        }
    }
}

#[test]
fn a_round_moves_what_is_new_or_changed_and_nothing_else() {
    let ends: [fn() -> End; 3] = [End::tree, || End::server(Dialect::Oss), || End::server(Dialect::S3)];
    for (from, to) in [(0, 1), (1, 0), (1, 2), (0, 0)] {
        let mut line = Line::new(ends[from](), ends[to]());
        let stat = line.round(&START, 1);
        line.must_be_whole(1);
        assert_eq!((&stat["objects"]["succeeded"], &stat["objects"]["failed"]), (&41.into(), &0.into()));

        let changed = line.change(1);
        forget(&line);
        let stat = line.round(&RESUME, 2);
        line.must_be_whole(2);
        assert_eq!(line.keys_of(2, Outcome::Succeeded), changed);
        let (written, read) = touched(&line);
        assert!(to == 0 || written == changed, "{written:?}");
        assert!(from == 0 || read == changed, "{read:?}");
        let objects = &stat["objects"];
        let counts = ["succeeded", "skipped", "failed"].map(|name| objects[name].as_u64().unwrap_or(99));
        assert_eq!(counts, [41 + changed.len() as u64, 41 - 2 - 3, 0], "{stat}");

        // Nothing is changed: nothing is read, nothing is written.
        forget(&line);
        line.round(&RESUME, 3);
        line.must_be_whole(3);
        assert_eq!(touched(&line), Default::default());
        assert_eq!(line.keys_of(3, Outcome::Succeeded), BTreeSet::new());
    }
}

#[test]
fn a_job_that_is_killed_in_its_rounds_and_between_them_loses_nothing() {
    let places =
        [MANIFEST_WRITTEN, COMMITTED, HANDED_OUT, RECORDED, NOT_SETTLED, SETTLED, PART_UPLOADED, COMPLETED];
    for from in [End::tree(), End::server(Dialect::Oss)] {
        let mut line = Line::new(from, End::server(Dialect::S3));
        let mut running = line.runs_until(&START, 1);
        for (place, round) in places.into_iter().zip(2..) {
            // Between two rounds.
            running.kill().unwrap();
            running.wait().unwrap();
            let changed = line.change(round as u8);
            let mut command = line.home.command(&RESUME);
            command.env("BRIGADE_ROUNDS", round.to_string()).env("BRIGADE_BREAKPOINT", place);
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), None, "{place}: {}", String::from_utf8_lossy(&output.stderr));
            running = line.runs_until(&RESUME, round);
            line.must_be_whole(round);
            let moved = line.keys_of(round, Outcome::Succeeded);
            assert!(moved.is_subset(&changed), "{place}: {moved:?} of {changed:?}");
        }
        running.kill().unwrap();
        running.wait().unwrap();
    }
}

#[test]
fn what_failed_in_a_round_is_moved_by_the_next_one_also_where_a_wrong_write_looks_right() {
    let mut line = Line::new(End::tree(), End::server(Dialect::Oss));
    let keys: Vec<String> = line.now.keys().cloned().collect();
    let server = line.to.as_server();
    let plan = |key: &String, times, action| {
        server.plan(Fault { method: "PUT", contains: key.clone(), skip: 0, times, action });
    };
    plan(&keys[4], 100, Action::Status(403, "AccessDenied", None));
    plan(&keys[6], 3, Action::StoreWrong(0));
    let stat = line.round(&START, 1);
    assert_eq!((&stat["objects"]["failed"], &stat["objects"]["succeeded"]), (&2.into(), &39.into()));
    let codes: Vec<String> = line.records(1).into_values().map(|record| record.code).collect();
    assert_eq!((codes[4].as_str(), codes[6].as_str()), ("ACCESS_DENIED", "CHECKSUM_NOT_MATCH"));
    assert_ne!(line.to.objects()[&keys[6]], line.now[&keys[6]], "the wrong write stands");
    line.to.as_server().heal();
    line.round(&RESUME, 2);
    line.must_be_whole(2);
    assert_eq!(line.keys_of(2, Outcome::Succeeded), BTreeSet::from([keys[4].clone(), keys[6].clone()]));
    // They stay in the record of the first round, until somebody retries that.
    let changed = line.change(3);
    let mut running = line.runs_until(&RESUME, 3);
    line.must_be_whole(3);
    assert_eq!(line.keys_of(3, Outcome::Succeeded).difference(&changed).collect::<Vec<_>>(), [&keys[6]]);
    line.home.expect(0, &["retry", JOB]);
    line.home.wait_for("it is retried", || {
        line.stat()["objects"]["failed"] == 0 && line.stat()["state"] == "waiting"
    });
    running.kill().unwrap();
    running.wait().unwrap();
    line.round(&RESUME, 4);
    line.must_be_whole(4);
    assert_eq!(line.keys_of(4, Outcome::Succeeded), BTreeSet::new());
}
