//! Limits, seen from outside: what passes on the wire, and when requests arrive. In no ten seconds more than 5 %
//! above the limit, and at least 90 % of it while there is work. A program of its own, so that it runs alone: on a
//! machine that is busy with other tests nobody could use a limit.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "what was seen, for whoever runs a test alone")]

use std::time::{Duration, Instant};

use tests::family::{Dialect, Server};
use tests::home::Home;
use tests::servers::{ACCESS_KEY, SECRET_KEY};
use tests::stage::Stage;
use tests::world::Side;

const WINDOW: Duration = Duration::from_secs(10);
/// From the answer of `limit` until every worker has heard of it: a pulse and a heartbeat, on a busy machine.
const HEARD: Duration = Duration::from_secs(4);

/// A limit that changes: from when on which.
struct Limit(Vec<(Instant, f64)>);

impl Limit {
    /// What it allows between two moments.
    fn between(&self, from: Instant, until: Instant) -> f64 {
        let ends = self.0.iter().skip(1).map(|(at, _)| *at).chain([until + WINDOW]);
        let spans = self.0.iter().zip(ends).map(|((at, per_s), end)| {
            until.min(end).saturating_duration_since(from.max(*at)).as_secs_f64() * per_s
        });
        spans.sum()
    }

    /// In no window more than 5 % above.
    fn must_hold(&self, what: &str, log: &[(Instant, u64)]) {
        let (mut passed, mut next, mut worst) = (0, 0, 0.0f64);
        for (from, n) in log {
            while let Some((_, n)) = log.get(next).filter(|(at, _)| *at < *from + WINDOW) {
                passed += n;
                next += 1;
            }
            worst = worst.max(passed as f64 / self.between(*from, *from + WINDOW));
            passed -= n;
        }
        println!("{what}: at most {:.1} % of the limit in ten seconds", worst * 100.0);
        assert!(worst <= 1.05, "{what}: {worst} of the limit in ten seconds");
    }

    /// At least 90 % between two moments.
    fn must_be_used(&self, what: &str, log: &[(Instant, u64)], from: Instant, until: Instant) {
        let passed: u64 = log.iter().filter(|(at, _)| (from..until).contains(at)).map(|(_, n)| n).sum();
        let used = passed as f64 / self.between(from, until);
        let took = until - from;
        println!("{what}: {:.1} % of the limit used in {took:.1?}", used * 100.0);
        assert!(used >= 0.9, "{what}: {used} of the limit used in {took:?}");
    }
}

/// One at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn bytes_of_small_and_large_objects_stay_below_the_limit_and_use_it() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (from, to) in [("s3", "oss"), ("local", "s3s")] {
        let mut stage = Stage::new(from, to);
        stage.set("bytes_per_s = \"4MiB/s\"");
        stage.source.side().seed("flow");
        stage.write_job();
        let begun = Instant::now();
        stage.home.import(0, &[]);
        stage.destination.side().must_equal_bare("flow");
        let limit = Limit(vec![(begun, (4 << 20) as f64)]);
        let mut flows = Vec::new();
        if from != "local" {
            flows.push((format!("{from} -> {to}, read"), stage.source.proxy().answered()));
        }
        flows.push((format!("{from} -> {to}, sent"), stage.destination.proxy().sent()));
        for (what, log) in flows {
            limit.must_hold(&what, &log);
            // What is sent was read before: at first two parts of five MiB are read beside the small objects, at the
            // end one is left to send.
            let ends: Vec<Instant> = log.iter().filter(|(_, n)| *n > 2000).map(|(at, _)| *at).collect();
            let part = Duration::from_millis(1250);
            limit.must_be_used(&what, &log, ends[0] + 4 * part, *ends.last().unwrap() - 2 * part);
        }
    }
}

/// One more worker in a home of its own, as on another host.
fn worker(of: &Home) -> (Home, std::process::Child) {
    let home = Home::new();
    let address = std::fs::read_to_string(of.path().join("run/tracker.address")).unwrap();
    let token = std::fs::read_to_string(of.path().join("run/token")).unwrap();
    home.write("run/tracker.address", &address);
    home.write("conf/sys.toml", &format!("tracker_address = \"{}\"\n", address.trim()));
    home.write("run/token", &token);
    let child = home.spawn(&["serve", "worker"]);
    (home, child)
}

fn end(mut worker: std::process::Child) {
    worker.kill().unwrap();
    worker.wait().unwrap();
}

#[test]
fn requests_of_workers_that_join_stay_below_a_limit_that_changes() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = || {
        let server = Server::start(Dialect::S3, ACCESS_KEY, SECRET_KEY);
        server.make_bucket("bucket");
        let side = Side::s3(&server.endpoint(), "bucket", "");
        (server, side)
    };
    let ((from, source), (to, destination)) = (server(), server());
    source.seed("small:5000");
    let home = Home::new();
    home.job(&source, &destination, "[task]\nobject_count_limit = 150\n[transfer]\nrequests_per_s = 300\n");
    home.expect(0, &["start"]);
    let second = worker(&home);
    home.wait_for("two workers", || {
        home.json(&["stat"])["workers"].as_array().is_some_and(|all| all.len() == 2)
    });
    from.forget_requests();
    let begun = Instant::now();
    home.expect(0, &["submit", &home.path().join("conf/local_job.toml").display().to_string()]);
    to.wait_for(|request| request.method == "PUT", 300).expect("it moves");
    let third = worker(&home);
    let joined = Instant::now();
    to.wait_for(|request| request.method == "PUT", 1400).expect("it moves");
    let slower = Instant::now();
    home.expect(0, &["limit", "local_test", "--requests", "150"]);
    to.wait_for(|request| request.method == "PUT", 2200).expect("it moves");
    let faster = Instant::now();
    home.expect(0, &["limit", "local_test", "--requests", "400"]);
    home.wait_for("the end", || home.json(&["stat", "local_test"])["state"] == "succeeded");
    destination.must_equal("small:5000");
    let is_ours = |request: &&tests::family::Logged| !request.query.contains("comparing");
    let mut log: Vec<(Instant, u64)> =
        from.requests().iter().chain(&to.requests()).filter(is_ours).map(|request| (request.at, 1)).collect();
    log.sort();
    let last = to
        .requests()
        .iter()
        .filter(|request| request.method == "PUT")
        .map(|request| request.at)
        .max()
        .unwrap();
    log.retain(|(at, _)| *at <= last);
    let limit = Limit(vec![(begun, 300.0), (slower + HEARD, 150.0), (faster, 400.0)]);
    limit.must_hold("requests", &log);
    limit.must_be_used("300 a second", &log, joined + HEARD, slower);
    limit.must_be_used("150 a second", &log, slower + HEARD, faster);
    limit.must_be_used("400 a second", &log, faster + HEARD, last - Duration::from_millis(500));
    for (_home, child) in [second, third] {
        end(child);
    }
    home.expect(0, &["stop"]);
}
