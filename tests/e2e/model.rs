//! Foreign writers against a reference model. A seed chooses two ends, a job, and what others do to both ends
//! between its rounds and in their middle; the history of what lived when (`tests::writers`) says what may be
//! recorded and what may stand at the destination. When the writers stop, one more run makes the ends equal.
//!
//! The writers come before a request of a bucket is answered, or before its answer is sent; between two trees they
//! run beside the import. A seed that fails is printed:
//!
//!     BRIGADE_SEEDS=17..18 cargo test -p tests --test e2e --all-features -- model
//!
//! `BRIGADE_SEEDS=1000..2000` is a longer run; `BRIGADE_SIDE_BY_SIDE=1` changes how many run at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto::breakpoint as places;
use serde_json::Value;
use tests::crash::{End, Objects};
use tests::family::{Action, Change, Dialect, Fault};
use tests::home::Home;
use tests::random::{Random, play};
use tests::writers::{LARGE_KEY, Moment, Writers};

mod truth;

const JOB: &str = "local_test";
const START: [&str; 5] = ["--output", "json", "--no-input", "import", "--restart"];
const RESUME: [&str; 5] = ["--output", "json", "--no-input", "import", "--resume"];
const RETRY: [&str; 7] = ["--output", "json", "--no-input", "import", "--resume", "--retry", "1"];

/// Where a job dies, and how often it may come there first.
const DEATHS: [(&str, u64); 8] = [
    (places::RECORDED, 4),
    (places::NOT_SETTLED, 3),
    (places::MANIFEST_WRITTEN, 3),
    (places::COMMITTED, 3),
    (places::HANDED_OUT, 3),
    (places::PART_UPLOADED, 3),
    (places::COMPLETED, 1),
    (places::BEGUN, 1),
];

/// One job at a time between two ends that others write to.
struct Scenario {
    random: Random,
    home: Home,
    writers: Arc<Writers>,
    skips: bool,
    /// Since when the job could see the source.
    begun: Moment,
    /// What stood at the destination then.
    before: Objects,
    /// Records that were looked at, by audit file.
    seen: BTreeMap<PathBuf, usize>,
    /// It died in its middle.
    died: bool,
}

/// What a command is to meet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weather {
    Calm,
    Busy,
}

impl Scenario {
    fn new(seed: u64) -> Scenario {
        let mut random = Random::new(seed.wrapping_mul(0x5851_F42D));
        let end = |kind| match kind {
            0 | 1 => End::tree(),
            2 => End::server(Dialect::S3),
            _ => End::server(Dialect::Oss),
        };
        let (from, to) = (end(random.below(4)), end(random.below(4)));
        let count = 5 + random.below(40);
        let skips = random.below(2) == 0;
        let mut writers = Writers::new(from, to, random.number(), count);
        // A foreign copy of the right size that is newer is left alone: that is what the setting says.
        writers.same_size = !skips;
        writers.large = random.below(4) == 0;
        if writers.large {
            writers.create_large();
        }
        let home = Home::new();
        home.write("conf/local_job.toml", &job(&mut random, &writers, skips));
        let threads = 1 + random.below(6);
        let addresses =
            "master_address = \"127.0.0.1:0\"\ntracker_address = \"127.0.0.1:0\"\nlease = \"3s\"\n";
        home.write("conf/sys.toml", &format!("{addresses}[worker]\ntask_threads = {threads}\n"));
        let (writers, before, seen) = (Arc::new(writers), Objects::new(), BTreeMap::new());
        Scenario { random, home, writers, skips, begun: 0, before, seen, died: false }
    }

    fn run(&mut self) {
        for _ in 0..1 + self.random.below(2) {
            self.round(Weather::Busy);
            for _ in 0..self.random.below(8) {
                self.writers.at_source();
            }
            for _ in 0..self.random.below(3) {
                self.writers.at_destination();
            }
        }
        self.round(Weather::Calm);
        self.must_be_equal();
    }

    /// A job anew, and perhaps a retry of what failed in it.
    fn round(&mut self, weather: Weather) {
        self.begun = self.writers.history().now();
        self.before = self.writers.destination.objects();
        self.seen.clear();
        self.died = false;
        let document = if weather == Weather::Busy && self.random.below(4) == 0 {
            self.dies();
            self.command(&RESUME, weather)
        } else {
            self.command(&START, weather)
        };
        let failed = self.check(&document, self.begun);
        if weather == Weather::Busy && failed > 0 && self.random.below(2) == 0 {
            let since = self.writers.history().now();
            let document = self.command(&RETRY, weather);
            self.check(&document, since);
        }
    }

    /// Starts the job, which dies at some place if it comes there.
    fn dies(&mut self) {
        let (place, most) = DEATHS[self.random.below(DEATHS.len() as u64) as usize];
        let nth = 1 + self.random.below(most);
        let place = format!("{place}#{nth}");
        self.tell(&format!("starts, and dies at {place}"));
        self.plan();
        let beside = Beside::start(&self.writers);
        let output = self.home.command(&START).env("BRIGADE_BREAKPOINT", &place).output().unwrap();
        drop(beside);
        self.heal();
        self.died = true;
        assert!(output.status.code().is_none_or(|code| code == 0 || code == 3), "{output:?}");
    }

    /// Runs it to its end and gives what it says.
    fn command(&mut self, args: &[&str], weather: Weather) -> Value {
        self.tell(&args[3..].join(" "));
        let mut beside = None;
        if weather == Weather::Busy {
            self.plan();
            beside = Some(Beside::start(&self.writers));
        }
        let said = self.home.run(args);
        drop(beside);
        self.heal();
        let document: Value = serde_json::from_str(&said.out)
            .unwrap_or_else(|error| panic!("{error}: {} {}", said.out, said.err));
        let expected = if document["objects"]["failed"] == 0 { (0, "succeeded") } else { (3, "failed") };
        assert_eq!(
            (said.code, document["state"].as_str().unwrap_or_default()),
            expected,
            "{document} {}",
            said.err
        );
        document
    }

    fn tell(&self, what: &str) {
        let history = &mut self.writers.history();
        let line = format!("{} --- {what}", history.now());
        history.told.push(line);
    }

    /// Others come in the middle: at some requests of either end.
    fn plan(&mut self) {
        self.plan_between_parts();
        for end in [true, false] {
            let mut skip = 0;
            for _ in 0..self.random.below(9) {
                skip += self.random.below(12) as u32;
                let (times, answered) = (1 + self.random.below(2), self.random.below(3) == 0);
                let of_source = self.random.below(4) > 0;
                let writers = Arc::downgrade(&self.writers);
                let change = Change::new(move || {
                    let Some(writers) = writers.upgrade() else { return };
                    (0..times)
                        .for_each(|_| if of_source { writers.at_source() } else { writers.at_destination() });
                });
                let action = if answered { Action::AnswerThen(change) } else { Action::Then(change) };
                if let End::Server(server) =
                    if end { &self.writers.source } else { &self.writers.destination }
                {
                    server.plan(Fault { method: "", contains: String::new(), skip, times: 1, action });
                }
            }
        }
    }

    /// Somebody comes between two parts of the large object.
    fn plan_between_parts(&mut self) {
        if !self.writers.large || self.random.below(2) == 0 {
            return;
        }
        let (skip, weak) = (1 + self.random.below(3) as u32, Arc::downgrade(&self.writers));
        let change = Change::new(move || {
            weak.upgrade().iter().for_each(|writers| writers.overwrite_at_source(LARGE_KEY));
        });
        for (end, method) in [(&self.writers.source, "GET"), (&self.writers.destination, "PUT")] {
            if let End::Server(server) = end {
                let (contains, action) = (LARGE_KEY.to_owned(), Action::Then(change.clone()));
                server.plan(Fault { method, contains, skip, times: 1, action });
                return;
            }
        }
    }

    fn heal(&self) {
        for end in [&self.writers.source, &self.writers.destination] {
            if let End::Server(server) = end {
                server.heal();
            }
        }
    }
}

/// The job file.
fn job(random: &mut Random, writers: &Writers, skips: bool) -> String {
    let (count, page) = (3 + random.below(30), 3 + random.below(20));
    format!(
        "name = \"{JOB}\"\n{}list_page = {page}\n{}[task]\nobject_count_limit = {count}\n[transfer]\nskip_existing = {skips}\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\nparts_in_flight = 2\n",
        writers.source.side().section("source"),
        writers.destination.side().section("destination"),
    )
}

/// Writers beside an import between two trees, where no request tells them when.
struct Beside {
    over: Arc<AtomicBool>,
    running: Option<std::thread::JoinHandle<()>>,
}

impl Beside {
    fn start(writers: &Arc<Writers>) -> Beside {
        let over = Arc::new(AtomicBool::new(false));
        if matches!(writers.source, End::Server(_)) || matches!(writers.destination, End::Server(_)) {
            return Beside { over, running: None };
        }
        let (writers, stop) = (writers.clone(), over.clone());
        let running = std::thread::spawn(move || {
            let mut turn = 0;
            while !stop.load(Ordering::Relaxed) && turn < 60 {
                turn += 1;
                if turn % 4 == 0 {
                    writers.at_destination()
                } else {
                    writers.at_source()
                }
                std::thread::park_timeout(Duration::from_millis(8));
            }
        });
        Beside { over, running: Some(running) }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(running) = self.running.take() {
            running.thread().unpark();
            assert!(running.join().is_ok(), "the writers failed");
        }
    }
}

#[test]
fn whatever_others_write_what_is_moved_is_a_version_that_lived_and_what_is_recorded_is_true() {
    let seeds = play("0..40", Scenario::new, Scenario::run, |scenario, _| {
        scenario.writers.history().told.join("\n  ")
    });
    println!("seeds {seeds:?}: all true, and equal in the end");
}
