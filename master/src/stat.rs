//! How far a job is and how fast: durable counters, and live figures that workers send.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use proto::JobState;
use proto::v1::{JobActivity, JobStat, Limits, RequestCount, WorkerStat};
use storage::Meter;
use tokio::time::Instant;

use crate::book::{Book, Job};
use crate::error::MasterError;
use crate::master::{Master, active};
use crate::store::tally::{Tally, causes};

/// Rates are those of the last so long.
const WINDOW: Duration = Duration::from_secs(10);
/// Without a pulse for so long, what workers said last is old.
const STALE: Duration = Duration::from_secs(5);

/// How a job stands that was under way when its processes ended, in whatever way, and that nobody works on now.
const INTERRUPTED: &str =
    "interrupted: nothing runs on this home; go on with `brigade import --resume`, or with `brigade start`";

/// What the slots of all workers waited for, and how it is called.
const WAITS: [&str; 5] = ["source", "destination", "limit", "throttling", "memory"];

/// Live figures of one job.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    samples: VecDeque<Sample>,
    /// What each worker said last; of those that are gone as well, so that no sum falls back.
    workers: HashMap<String, Said>,
    /// Of the last pulse.
    in_flight_bytes: u64,
    in_flight: u64,
    concurrency: u64,
    cpu: f64,
}

/// The figures of a worker, and when it took them.
#[derive(Debug, Default)]
struct Said {
    at_ms: i64,
    activity: JobActivity,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    bytes: u64,
    objects: u64,
    waits: [u64; 5],
}

/// No worker has done more than this of anything: sums of what workers say stay numbers.
const MOST: u64 = 1 << 50;

/// What a worker says, within what can be.
fn plausible(activity: &JobActivity) -> JobActivity {
    let mut activity = activity.clone();
    let JobActivity { bytes_read, bytes_written, in_flight_objects, in_flight_bytes, concurrency, .. } =
        &mut activity;
    for figure in [bytes_read, bytes_written, in_flight_objects, in_flight_bytes, concurrency] {
        *figure = (*figure).min(MOST);
    }
    let JobActivity { wait_source_us, wait_destination_us, wait_limit_us, .. } = &mut activity;
    for figure in [wait_source_us, wait_destination_us, wait_limit_us] {
        *figure = (*figure).min(MOST);
    }
    for figure in [&mut activity.wait_throttled_us, &mut activity.wait_memory_us] {
        *figure = (*figure).min(MOST);
    }
    for line in &mut activity.requests {
        for figure in [&mut line.count, &mut line.errors, &mut line.throttled] {
            *figure = (*figure).min(MOST);
        }
    }
    activity
}

impl Rates {
    /// One pulse: what each worker does for this job now, and how many objects are recorded.
    pub(crate) fn pulse(&mut self, job: &str, workers: &[WorkerStat], objects: u64, now: Instant) {
        (self.in_flight_bytes, self.in_flight, self.concurrency, self.cpu) = (0, 0, 0, 0.0);
        for worker in workers {
            for activity in worker.activity.iter().filter(|activity| activity.job == job).map(plausible) {
                let activity = &activity;
                self.in_flight_bytes = self.in_flight_bytes.saturating_add(activity.in_flight_bytes);
                self.in_flight += activity.in_flight_objects;
                self.concurrency += activity.concurrency;
                self.cpu = self.cpu.max(worker.cpu_share);
                self.said(worker, activity);
            }
        }
        let sample = Sample { at: now, bytes: self.bytes(), objects, waits: self.waits() };
        self.samples.push_back(sample);
        while self.samples.front().is_some_and(|oldest| now.duration_since(oldest.at) > WINDOW) {
            self.samples.pop_front();
        }
    }

    /// What a worker had done for this job when it settled a task of it.
    pub(crate) fn settled(&mut self, job: &str, worker: &WorkerStat) {
        for activity in worker.activity.iter().filter(|activity| activity.job == job).map(plausible) {
            self.said(worker, &activity);
        }
    }

    /// Pulses are behind settlements: what is older than what is known does not count.
    fn said(&mut self, worker: &WorkerStat, activity: &JobActivity) {
        let known = self.workers.entry(worker.worker.clone()).or_default();
        if worker.last_seen_ms >= known.at_ms {
            *known = Said { at_ms: worker.last_seen_ms, activity: activity.clone() };
        }
    }

    fn activities(&self) -> impl Iterator<Item = &JobActivity> {
        self.workers.values().map(|said| &said.activity)
    }

    fn bytes(&self) -> u64 {
        self.activities().map(|activity| activity.bytes_written.max(activity.bytes_read)).sum()
    }

    fn waits(&self) -> [u64; 5] {
        let mut sum = [0; 5];
        for a in self.activities() {
            let each = [
                a.wait_source_us,
                a.wait_destination_us,
                a.wait_limit_us,
                a.wait_throttled_us,
                a.wait_memory_us,
            ];
            sum.iter_mut().zip(each).for_each(|(sum, one)| *sum += one);
        }
        sum
    }

    /// Bytes and objects a second over the window.
    fn per_second(&self, now: Instant) -> (f64, f64) {
        let fresh = |sample: &&Sample| now.duration_since(sample.at) <= WINDOW;
        let (Some(first), Some(last)) = (self.samples.iter().find(fresh), self.samples.back()) else {
            return (0.0, 0.0);
        };
        let seconds = now.duration_since(first.at).as_secs_f64();
        if seconds < 0.1 {
            return (0.0, 0.0);
        }
        let per_s = |first: u64, last: u64| last.saturating_sub(first) as f64 / seconds;
        (per_s(first.bytes, last.bytes), per_s(first.objects, last.objects))
    }

    /// What held the slots up most within the window.
    fn waited_for(&self) -> &'static str {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else { return "" };
        let waits: Vec<u64> =
            last.waits.iter().zip(first.waits).map(|(last, first)| last.saturating_sub(first)).collect();
        let all: u64 = waits.iter().sum();
        // A limit or a service that slows us down is the cause also where most time passes elsewhere.
        let held = (2..4).filter(|at| waits[*at] > all / 4).max_by_key(|at| waits[*at]);
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        if held.is_none() && self.cpu > 0.9 * cores {
            return "cpu";
        }
        let most = held.or_else(|| (0..waits.len()).max_by_key(|at| waits[*at]));
        most.filter(|at| waits[*at] > 0).and_then(|at| WAITS.get(at)).copied().unwrap_or_default()
    }

    fn requests(&self) -> Requests {
        let mut sum = Requests::default();
        for request in self.activities().flat_map(|activity| &activity.requests) {
            sum.add(request);
        }
        sum
    }
}

/// Requests by side and kind.
#[derive(Default)]
struct Requests(BTreeMap<(String, String), RequestCount>);

impl Requests {
    fn add(&mut self, request: &RequestCount) {
        let key = (request.side.clone(), request.kind.clone());
        let line = self.0.entry(key).or_insert_with(|| RequestCount {
            side: request.side.clone(),
            kind: request.kind.clone(),
            ..RequestCount::default()
        });
        line.count += request.count;
        line.errors += request.errors;
        line.throttled += request.throttled;
    }

    /// The scan's own.
    fn add_meter(&mut self, side: &str, meter: &Option<Meter>) {
        for count in meter.iter().flat_map(Meter::counts) {
            self.add(&RequestCount {
                side: side.into(),
                kind: count.kind.name().into(),
                count: count.requests,
                errors: count.errors,
                throttled: count.throttled,
            });
        }
    }
}

impl Master {
    /// One job.
    pub(crate) fn stat(&self, name: &str) -> Result<JobStat, MasterError> {
        let book = self.book();
        Ok(self.stat_of(&book, book.job(name)?))
    }

    /// All jobs, the workers, and whether a tracker is there.
    pub(crate) fn stat_all(&self) -> (Vec<JobStat>, Vec<WorkerStat>, bool) {
        let book = self.book();
        let jobs = book.jobs.values().map(|job| self.stat_of(&book, job)).collect();
        let (workers, tracker) = present(&book, Instant::now());
        (jobs, workers.to_vec(), tracker)
    }

    fn stat_of(&self, book: &Book, job: &Job) -> JobStat {
        let now = Instant::now();
        let (record, tally) = (&job.record, job.tally());
        let (_, tracker) = present(book, now);
        let running = matches!(record.state(), JobState::Scanning | JobState::Running);
        let (bytes_per_s, objects_per_s) = if running { job.rates.per_second(now) } else { (0.0, 0.0) };
        let in_flight = if tracker && !record.state().ended() { job.rates.in_flight_bytes } else { 0 };
        let mut requests = job.rates.requests();
        requests.add_meter("source", &job.scan.source);
        requests.add_meter("destination", &job.scan.destination);
        let (scan_objects, scan_bytes) = scanned(job);
        let (state, reason) = match record.state() {
            state if self.dormant && active(state) => (JobState::Paused.name(), INTERRUPTED),
            state => (state.name(), record.reason.as_str()),
        };
        let waits = job.waits.sum();
        let mut stat = JobStat {
            job: record.name.clone(),
            r#type: record.kind.clone(),
            state: state.to_owned(),
            reason: reason.to_owned(),
            round: record.round,
            scan_done: job.round.done,
            scan_objects,
            scan_bytes,
            tasks_pending: record.pending,
            tasks_dispatched: record.dispatched,
            tasks_succeeded: record.succeeded,
            tasks_failed: record.failed,
            bytes_in_flight: in_flight,
            bytes_per_s,
            objects_per_s,
            eta_s: running.then(|| eta(job, &tally, in_flight, (bytes_per_s, objects_per_s))).flatten(),
            started_at_ms: record.started_ms,
            finished_at_ms: record.finished_ms,
            requests: requests.0.into_values().collect(),
            limited_by: if running { limited_by(book, job, now) } else { "" }.into(),
            limits: Some(Limits { bytes_per_s: record.bytes_per_s, requests_per_s: record.requests_per_s }),
            priority: record.priority,
            listed_special: record.past_special + job.round.special,
            warnings: job.round.warnings.clone(),
            sizes_unknown: job.round.unknown,
            order_sorted: u64::from(job.round.sorted),
            source: record.source.clone(),
            destination: record.destination.clone(),
            objects_waiting: waits.objects,
            waiting_since_ms: waits.since_ms,
            next_look_ms: waits.next_ms,
            folder: self.home.job(&record.name).display().to_string(),
            ..JobStat::default()
        };
        fill_tally(&mut stat, &tally);
        stat
    }
}

fn fill_tally(stat: &mut JobStat, tally: &Tally) {
    stat.objects_succeeded = tally.succeeded;
    stat.objects_skipped = tally.skipped;
    stat.objects_failed = tally.failed;
    stat.bytes_succeeded = tally.bytes_succeeded;
    stat.bytes_skipped = tally.bytes_skipped;
    stat.bytes_failed = tally.bytes_failed;
    stat.source_proved = tally.source_proved;
    stat.failures = causes(&tally.failures);
    stat.proofs = causes(&tally.proofs);
    stat.objects_incomplete = tally.incomplete;
    stat.not_carried = causes(&tally.not_carried);
}

/// The workers that are there now, and whether the tracker is.
fn present(book: &Book, now: Instant) -> (&[WorkerStat], bool) {
    let tracker = book.pulsed.is_some_and(|at| now.duration_since(at) < STALE);
    (if tracker { &book.workers } else { &[] }, tracker)
}

/// While a scan runs, also what it has found and not put into tasks yet.
fn scanned(job: &Job) -> (u64, u64) {
    let (objects, bytes) = (job.record.objects, job.record.bytes);
    if job.round.done || job.scan.running.is_none() {
        return (objects, bytes);
    }
    let (progress, base) = (&job.scan.progress, job.scan.base);
    (objects.max(base.0 + progress.objects()), bytes.max(base.1 + progress.bytes()))
}

/// Nobody knows before the scan ended.
fn eta(job: &Job, tally: &Tally, in_flight: u64, (bytes_per_s, objects_per_s): (f64, f64)) -> Option<f64> {
    if !job.round.done {
        return None;
    }
    let objects = job.record.objects.saturating_sub(tally.objects());
    let moved = tally.bytes_succeeded + tally.bytes_skipped + tally.bytes_failed + in_flight;
    // Where sizes are not known, the number of objects has to do.
    let bytes = if job.round.unknown > 0 { 0 } else { job.record.bytes.saturating_sub(moved) };
    let time = |left: u64, rate: f64| match left {
        0 => Some(0.0),
        _ => (rate > 0.0).then(|| left as f64 / rate),
    };
    match (time(objects, objects_per_s), time(bytes, bytes_per_s)) {
        (Some(a), Some(b)) => Some(a.max(b)),
        // Nothing large was completed yet, or everything that is left is small: one of them is enough.
        (a, b) => a.filter(|t| *t > 0.0).or(b.filter(|t| *t > 0.0)),
    }
}

fn limited_by(book: &Book, job: &Job, now: Instant) -> &'static str {
    let (workers, tracker) = present(book, now);
    if !tracker || workers.is_empty() {
        return "workers";
    }
    let starved = job.record.pending == 0 && job.rates.in_flight < job.rates.concurrency.max(1);
    if job.round.done && job.pending.is_empty() && job.record.dispatched == 0 && job.waits.sum().objects > 0 {
        return "restore";
    }
    if !job.round.done && starved {
        return "listing";
    }
    job.rates.waited_for()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str, bytes: u64, puts: u64, wait: u64) -> WorkerStat {
        let request = RequestCount {
            side: "destination".into(),
            kind: "put".into(),
            count: puts,
            ..RequestCount::default()
        };
        let activity = JobActivity {
            job: "jobs".into(),
            bytes_written: bytes,
            requests: vec![request],
            wait_destination_us: wait,
            ..JobActivity::default()
        };
        WorkerStat { worker: name.into(), activity: vec![activity], ..WorkerStat::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_those_of_the_last_ten_seconds() {
        let mut rates = Rates::default();
        for second in 0..=30 {
            let bytes = if second <= 20 { second * 1000 } else { 20_000 };
            rates.pulse("jobs", &[worker("w/1", bytes, 0, 0)], second * 2, Instant::now());
            if second == 20 {
                assert_eq!(rates.per_second(Instant::now()), (1000.0, 2.0));
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let (bytes, _) = rates.per_second(Instant::now());
        assert_eq!(bytes, 0.0);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(rates.per_second(Instant::now()), (0.0, 0.0));
    }

    #[tokio::test]
    async fn the_requests_of_a_worker_that_left_still_count() {
        let mut rates = Rates::default();
        rates.pulse("jobs", &[worker("w/1", 0, 5, 0), worker("v/1", 0, 3, 0)], 0, Instant::now());
        rates.pulse("jobs", &[worker("w/2", 0, 1, 9), worker("v/1", 0, 4, 0)], 0, Instant::now());
        let counts: Vec<u64> = rates.requests().0.values().map(|line| line.count).collect();
        assert_eq!(counts, [10]);
        assert_eq!(rates.waited_for(), "destination");
    }

    #[tokio::test]
    async fn what_a_settlement_says_is_not_taken_back_by_an_older_pulse() {
        let mut rates = Rates::default();
        let at = |ms, puts| WorkerStat { last_seen_ms: ms, ..worker("w/1", 0, puts, 0) };
        rates.settled("jobs", &at(2, 7));
        rates.settled("other", &at(2, 9));
        rates.pulse("jobs", &[at(1, 5)], 0, Instant::now());
        let count = |rates: &Rates| rates.requests().0.values().map(|line| line.count).sum::<u64>();
        assert_eq!(count(&rates), 7);
        rates.pulse("jobs", &[at(3, 8)], 0, Instant::now());
        assert_eq!(count(&rates), 8);
    }

    #[test]
    fn figures_that_cannot_be_stay_numbers() {
        let mut rates = Rates::default();
        let liars: Vec<WorkerStat> =
            (0..9).map(|at| worker(&format!("w{at}"), u64::MAX, u64::MAX, u64::MAX)).collect();
        let now = Instant::now();
        rates.pulse("jobs", &liars, 1, now);
        rates.pulse("jobs", &liars, 2, now + std::time::Duration::from_secs(1));
        liars.iter().for_each(|liar| rates.settled("jobs", liar));
        assert!(rates.bytes() >= MOST);
        assert!(rates.requests().0.values().all(|line| line.count >= MOST));
    }
}
