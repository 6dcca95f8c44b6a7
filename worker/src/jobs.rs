//! The movers of the jobs that this worker works for, by job and revision of its configuration.
//!
//! There is one mover for all tasks of a job: it carries the job's limits, its concurrency and its counters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use conf::JobConf;
use proto::channel::Caller;
use proto::v1;
use proto::v1::leases_client::LeasesClient;

use crate::appetite::Load;
use crate::copy::{Engine, Mover};

/// Jobs that stay open although no task of theirs is held: the next one is likely to come soon.
const IDLE: usize = 16;

/// Opened jobs.
#[derive(Debug)]
pub(crate) struct Jobs {
    engine: Arc<Engine>,
    open: Mutex<BTreeMap<String, Open>>,
    /// Held while a job is opened, so that two tasks that come together share one mover.
    opening: tokio::sync::Mutex<()>,
    /// This worker's share of the cluster's limits, and its own.
    worker: Mutex<v1::Limits>,
}

#[derive(Debug)]
struct Open {
    revision: u64,
    mover: Arc<Mover>,
    /// Of an earlier revision, with objects still in flight.
    old: Vec<Arc<Mover>>,
    limits: v1::Limits,
}

/// Why a job cannot be worked for here.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The tracker or master did not answer.
    Away(tonic::Status),
    /// The job's ends cannot be opened: for the user.
    Refused(String),
}

impl Jobs {
    pub(crate) fn new(engine: Arc<Engine>, worker: v1::Limits) -> Self {
        Jobs { engine, open: Mutex::default(), opening: Default::default(), worker: Mutex::new(worker) }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.open.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    fn known(&self, job: &str, revision: u64) -> Option<Arc<Mover>> {
        self.open().get(job).filter(|open| open.revision >= revision).map(|open| open.mover.clone())
    }

    /// The mover of a job at this revision or a later one. `true`: it was opened now, and knows only the
    /// limits of the job's own configuration.
    pub(crate) async fn mover(
        &self,
        tracker: &LeasesClient<Caller>,
        job: &str,
        revision: u64,
    ) -> Result<(Arc<Mover>, bool), OpenError> {
        let _opening = self.opening.lock().await;
        if let Some(mover) = self.known(job, revision) {
            return Ok((mover, false));
        }
        let request = v1::JobConfigRequest { job: job.to_owned() };
        let reply = tracker.clone().get_job_config(request).await.map_err(OpenError::Away)?.into_inner();
        let conf = JobConf::from_wire(&reply.config).map_err(OpenError::Refused)?;
        let limits = v1::Limits {
            bytes_per_s: conf.transfer.bytes_per_s,
            requests_per_s: conf.transfer.requests_per_s,
        };
        let mover =
            Mover::open(conf, self.engine.clone()).map_err(|error| OpenError::Refused(error.to_string()))?;
        let mover = Arc::new(mover);
        self.insert(job, Open { revision: reply.revision, mover: mover.clone(), old: Vec::new(), limits });
        Ok((mover, true))
    }

    fn insert(&self, job: &str, mut new: Open) {
        let mut open = self.open();
        if let Some(before) = open.remove(job) {
            new.limits = before.limits;
            new.old = before.old;
            new.old.push(before.mover);
        }
        let in_use = |mover: &Arc<Mover>| Arc::strong_count(mover) > 1;
        let mut idle = open.values().filter(|open| !in_use(&open.mover)).count();
        open.retain(|_, open| {
            let spare = idle > IDLE && !in_use(&open.mover);
            idle -= usize::from(spare);
            !spare
        });
        open.insert(job.to_owned(), new);
        drop(open);
        self.apply();
    }

    /// The next task of this job opens it anew: what this mover learned of its ends does not hold any more.
    pub(crate) fn forget(&self, job: &str, mover: &Arc<Mover>) {
        let mut open = self.open();
        if open.get(job).is_some_and(|open| Arc::ptr_eq(&open.mover, mover)) {
            open.remove(job);
        }
    }

    /// What every mover is doing.
    pub(crate) fn activity(&self) -> Vec<v1::JobActivity> {
        self.open().iter().map(|(job, open)| open.mover.activity(job)).collect()
    }

    /// What is in flight, and what may be for these jobs.
    pub(crate) fn load(&self, left: usize, held: &[&str]) -> Load {
        let mut load = Load { left, ..Load::default() };
        for (job, open) in self.open().iter().filter(|(job, _)| held.contains(&job.as_str())) {
            load.in_flight += open.mover.activity(job).in_flight_objects as usize;
            load.concurrency += open.mover.concurrency();
        }
        load
    }

    /// New ceilings: of this worker as a whole, where it is given, and of the jobs that are named.
    pub(crate) fn limit(&self, worker: Option<v1::Limits>, jobs: &[v1::WorkerJobLimits]) {
        if let Some(worker) = worker {
            *self.worker.lock().unwrap_or_else(|poison| poison.into_inner()) = worker;
        }
        for (job, open) in self.open().iter_mut() {
            let named = jobs.iter().find(|limits| limits.job == *job).and_then(|limits| limits.limits);
            open.limits = named.unwrap_or(open.limits);
            open.old.retain(|mover| Arc::strong_count(mover) > 1);
        }
        self.apply();
    }

    /// Divides the worker's ceiling among the movers that have work, and a job's among its own.
    fn apply(&self) {
        let worker = *self.worker.lock().unwrap_or_else(|poison| poison.into_inner());
        let open = self.open();
        let in_use = |open: &Open| open.old.len() + usize::from(Arc::strong_count(&open.mover) > 1);
        let all: usize = open.values().map(in_use).sum();
        for open in open.values() {
            let of_job = open.old.len() + 1;
            let limits = v1::Limits {
                bytes_per_s: lower(part(worker.bytes_per_s, all), part(open.limits.bytes_per_s, of_job)),
                requests_per_s: lower(
                    part(worker.requests_per_s, all),
                    part(open.limits.requests_per_s, of_job),
                ),
            };
            for mover in open.old.iter().chain([&open.mover]) {
                mover.limits().set(limits.bytes_per_s, limits.requests_per_s);
            }
        }
    }
}

/// One of `n` equal parts of a ceiling; 0 is none and stays so.
fn part(total: u64, n: usize) -> u64 {
    if total == 0 { 0 } else { (total / n.max(1) as u64).max(1) }
}

/// The lower of two ceilings, where 0 is none.
pub(crate) fn lower(a: u64, b: u64) -> u64 {
    match (a, b) {
        (0, other) | (other, 0) => other,
        (a, b) => a.min(b),
    }
}

#[cfg(test)]
mod tests {
    use super::{lower, part};

    #[test]
    fn zero_is_no_ceiling() {
        assert_eq!([lower(0, 0), lower(0, 5), lower(5, 0), lower(5, 7)], [0, 5, 5, 5]);
        assert_eq!([part(0, 3), part(9, 3), part(2, 3), part(5, 0)], [0, 3, 1, 5]);
    }
}
