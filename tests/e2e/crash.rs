//! Kills at random moments. A seed chooses the job, which processes die, when and how often; then the one
//! command that the user needs, and everything is checked. A seed that fails is printed:
//!
//!     BRIGADE_SEEDS=17..18 cargo test -p tests --test e2e --all-features -- random_kills
//!
//! `BRIGADE_SEEDS=1000..4000` is a longer run; `BRIGADE_SIDE_BY_SIDE=1` changes how many run at a time.

use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::crash::{End, Objects, must_be_true, must_be_whole, objects};
use tests::family::Dialect;
use tests::home::Home;
use tests::random::{Random, play};

const JOB: &str = "local_test";
const ROLES: [&str; 3] = ["master", "tracker", "worker"];

/// What a seed says.
struct Scenario {
    random: Random,
    home: Home,
    from: End,
    to: End,
    all: Objects,
    /// Kills so far, for people.
    told: Vec<String>,
}

impl Scenario {
    fn new(seed: u64) -> Scenario {
        let mut random = Random::new(seed);
        let small = random.below(260) as usize;
        let large = [0, 0, 1, 2][random.below(4) as usize];
        let all = objects(small, large, 5_300_000);
        let end = |kind| match kind {
            0 => End::tree(),
            1 => End::server(Dialect::S3),
            _ => End::server(Dialect::Oss),
        };
        let (from, to) = (end(random.below(4)), end(random.below(4)));
        from.fill(&all);
        // Something older may stand there, so that files are replaced.
        if random.below(4) == 0 {
            to.fill(
                &all.keys().filter(|_| random.below(3) == 0).map(|key| (key.clone(), "old".into())).collect(),
            );
        }
        let home = Home::new();
        let count = 5 + random.below(60);
        let threads = 1 + random.below(6);
        let conf = format!(
            "[task]\nobject_count_limit = {count}\n[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\nparts_in_flight = 2\n",
        );
        home.job(&from.side(), &to.side(), &conf);
        home.write(
            "conf/sys.toml",
            &format!("master_address = \"127.0.0.1:0\"\ntracker_address = \"127.0.0.1:0\"\nlease = \"3s\"\n[worker]\ntask_threads = {threads}\n"),
        );
        Scenario { random, home, from, to, all, told: Vec::new() }
    }

    /// A moment: some requests from now, some more bytes in the home, or some milliseconds. Returns at once when
    /// `over`.
    fn wait_for_a_moment(&mut self, over: &mut dyn FnMut() -> bool) {
        let requests = |end: &End| match end {
            End::Server(server) => server.requests().len(),
            End::Tree(_) => 0,
        };
        let seen = |scenario: &Scenario| requests(&scenario.from) + requests(&scenario.to);
        let begun = Instant::now();
        let (at, kind) = (seen(self), self.random.below(3));
        let (more, bytes) =
            (self.random.below(2 * self.all.len() as u64 + 10) as usize, self.random.below(20_000));
        let long = Duration::from_millis(if kind == 0 { self.random.below(400) } else { 1500 });
        let log = self.home.path().join("master/state/db");
        let size = || std::fs::metadata(&log).map_or(0, |meta| meta.len());
        let start = size();
        while begun.elapsed() < long && !over() {
            if kind == 1 && seen(self) >= at + more || kind == 2 && size() >= start + bytes {
                break;
            }
            std::thread::park_timeout(Duration::from_micros(300));
        }
        self.told.push(format!("{:?} after {} requests", begun.elapsed(), seen(self) - at));
    }

    /// The whole import dies some times; then `import --resume`.
    fn whole_import(&mut self) {
        for nth in 0..1 + self.random.below(3) {
            let way = if nth == 0 { "--restart" } else { "--resume" };
            let mut running = self.home.spawn(&["--no-input", "import", way]);
            self.wait_for_a_moment(&mut || running.try_wait().is_ok_and(|ended| ended.is_some()));
            end(&mut running);
            must_be_true(&self.home, JOB, &self.to, &self.all);
        }
        self.home.import(0, &["--resume"]);
    }

    /// Roles of the service die, one or several at once, and whoever talks to them; then `start`.
    fn service(&mut self) {
        let job = self.home.path().join("conf/local_job.toml").display().to_string();
        self.home.expect(0, &["start"]);
        let mut console = self.home.spawn(&["submit", &job]);
        for _ in 0..1 + self.random.below(3) {
            self.wait_for_a_moment(&mut || false);
            let mut chosen = 1 + self.random.below(15);
            if chosen & 8 != 0 {
                end(&mut console);
            }
            if chosen & 7 == 0 {
                chosen |= 1 << self.random.below(3);
            }
            for (bit, role) in ROLES.iter().enumerate().filter(|(bit, _)| chosen & (1 << bit) != 0) {
                self.told.push(format!("kill {role} ({bit})"));
                self.kill_role(role);
            }
            must_be_true(&self.home, JOB, &self.to, &self.all);
            self.home.expect(0, &["start"]);
        }
        let _ = console.wait();
        // A submit that died may or may not have been taken: only the user can know that it is to be given again.
        if self.home.run(&["stat", JOB]).code != 0 {
            self.home.expect(0, &["submit", &job]);
        }
        self.home.wait_for("succeeded", || self.home.json(&["stat", JOB])["state"] == "succeeded");
        self.home.expect(0, &["stop"]);
    }

    fn kill_role(&self, role: &str) {
        let pid =
            std::fs::read_to_string(self.home.path().join(format!("run/{role}.pid"))).unwrap_or_default();
        if let Some(pid) = pid.split_whitespace().next().and_then(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    fn run(&mut self) {
        match self.random.below(4) {
            0 => self.service(),
            _ => self.whole_import(),
        }
        must_be_whole(&self.home, JOB, &self.to, &self.all);
    }
}

fn end(running: &mut Child) {
    let _ = running.kill();
    let _ = running.wait();
}

#[test]
fn random_kills_lose_nothing_double_nothing_and_leave_nothing() {
    let seeds = play("0..200", Scenario::new, Scenario::run, |scenario, seed| {
        keep(scenario, seed);
        format!("{:?}", scenario.told)
    });
    println!("seeds {seeds:?}: all went on and are whole");
}

/// The home of a seed that failed, where `BRIGADE_KEEP` says.
fn keep(scenario: &Scenario, seed: u64) {
    let Some(place) = std::env::var_os("BRIGADE_KEEP") else { return };
    let to = std::path::Path::new(&place).join(seed.to_string());
    let _ = std::process::Command::new("cp").arg("-r").arg(scenario.home.path()).arg(to).status();
}
