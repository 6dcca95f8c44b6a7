//! The movers of the jobs that this worker works for, by job and revision of its configuration, and the limits
//! that hold for them.
//!
//! There is one mover for all tasks of a job: it carries the job's concurrency and its counters. A share of a limit
//! is closed while nothing is done under it: the tracker gives it to others meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use conf::JobConf;
use proto::channel::Caller;
use proto::v1;
use proto::v1::leases_client::LeasesClient;
use storage::meter::RateLimits;

use crate::appetite::Load;
use crate::copy::Mover;
use crate::engine::Engine;

/// Jobs that stay open although no task of theirs is held: the next one is likely to come soon.
const IDLE: usize = 16;

/// Opened jobs.
#[derive(Debug)]
pub(crate) struct Jobs {
    engine: Arc<Engine>,
    open: Mutex<BTreeMap<String, Open>>,
    /// Held while a job is opened, so that two tasks that come together share one mover.
    opening: tokio::sync::Mutex<()>,
    /// Of this worker as a whole: its own configuration, and within it its share of the cluster's.
    cluster: Arc<RateLimits>,
}

#[derive(Debug)]
struct Open {
    revision: u64,
    mover: Arc<Mover>,
    /// Of an earlier revision, with objects still in flight.
    old: Vec<Arc<Mover>>,
    /// This worker's share of the job's limits.
    share: Arc<RateLimits>,
    /// The job has limits.
    limited: bool,
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
    /// `worker`: the ceilings of this worker's own configuration.
    pub(crate) fn new(engine: Arc<Engine>, worker: v1::Limits) -> Self {
        let own = RateLimits::default();
        own.set(ceiling(worker.bytes_per_s), ceiling(worker.requests_per_s));
        let cluster = RateLimits::below(Arc::new(own));
        cluster.set(Some(0.0), Some(0.0));
        Jobs { engine, open: Mutex::default(), opening: Default::default(), cluster: Arc::new(cluster) }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.open.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    fn known(&self, job: &str, revision: u64) -> Option<Arc<Mover>> {
        self.open().get(job).filter(|open| open.revision >= revision).map(|open| open.mover.clone())
    }

    /// The mover of a job at this revision or a later one.
    pub(crate) async fn mover(
        &self,
        tracker: &LeasesClient<Caller>,
        job: &str,
        revision: u64,
    ) -> Result<Arc<Mover>, OpenError> {
        let _opening = self.opening.lock().await;
        if let Some(mover) = self.known(job, revision) {
            return Ok(mover);
        }
        let request = v1::JobConfigRequest { job: job.to_owned() };
        let reply = tracker.clone().get_job_config(request).await.map_err(OpenError::Away)?.into_inner();
        let conf = JobConf::from_wire(&reply.config).map_err(OpenError::Refused)?;
        let limited = conf.transfer.bytes_per_s > 0 || conf.transfer.requests_per_s > 0;
        let share = self.open().get(job).map(|open| open.share.clone());
        let share = share.unwrap_or_else(|| {
            let share = RateLimits::below(self.cluster.clone());
            share.set(Some(0.0), Some(0.0));
            Arc::new(share)
        });
        let mover = Mover::open(conf, self.engine.clone(), share.clone());
        let mover = Arc::new(mover.map_err(|error| OpenError::Refused(error.to_string()))?);
        self.insert(
            job,
            Open { revision: reply.revision, mover: mover.clone(), old: Vec::new(), share, limited },
        );
        Ok(mover)
    }

    fn insert(&self, job: &str, mut new: Open) {
        let mut open = self.open();
        if let Some(before) = open.remove(job) {
            new.old = before.old;
            new.old.push(before.mover);
        }
        let mut idle = open.values().filter(|open| !in_use(&open.mover)).count();
        open.retain(|_, open| {
            let spare = idle > IDLE && !in_use(&open.mover);
            idle -= usize::from(spare);
            !spare
        });
        open.insert(job.to_owned(), new);
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

    /// Closes the shares under which nothing is done any more.
    pub(crate) fn close_idle(&self) {
        let mut open = self.open();
        let mut busy = false;
        for open in open.values_mut() {
            open.old.retain(in_use);
            if open.in_use() {
                busy = true;
            } else {
                open.share.set(Some(0.0), Some(0.0));
            }
        }
        if !busy {
            self.cluster.set(Some(0.0), Some(0.0));
        }
    }

    /// What is in force, for the tracker.
    pub(crate) fn shares(&self) -> (v1::Share, Vec<v1::JobShare>) {
        self.close_idle();
        let open = self.open();
        let used = open.iter().filter(|(_, open)| open.in_use());
        let jobs = used.map(|(job, open)| v1::JobShare { job: job.clone(), share: Some(share(&open.share)) });
        (share(&self.cluster), jobs.collect())
    }

    /// New shares of what is in use: of the cluster's limits, and of those of the jobs that are named.
    pub(crate) fn share(&self, cluster: Option<v1::Share>, jobs: &[v1::JobShare]) {
        let mut open = self.open();
        if let Some(share) = cluster.filter(|_| open.values().any(Open::in_use)) {
            self.cluster.set(share.bytes_per_s, share.requests_per_s);
        }
        for named in jobs {
            if let (Some(open), Some(share)) = (open.get_mut(&named.job), named.share)
                && open.in_use()
            {
                open.limited = share.bytes_per_s.is_some() || share.requests_per_s.is_some();
                open.share.set(share.bytes_per_s, share.requests_per_s);
            }
        }
    }

    /// Has the tracker said what may pass for this job? Where it does not know the job's limits yet, and the
    /// configuration has none, there is none.
    pub(crate) fn may_begin(&self, job: &str) -> bool {
        let open = self.open();
        let Some(open) = open.get(job) else { return true };
        let closed = (Some(0.0), Some(0.0));
        if !open.limited && open.share.get() == closed {
            open.share.set(None, None);
        }
        open.share.get() != closed && self.cluster.get() != closed
    }
}

impl Open {
    fn in_use(&self) -> bool {
        in_use(&self.mover) || self.old.iter().any(in_use)
    }
}

fn in_use(mover: &Arc<Mover>) -> bool {
    Arc::strong_count(mover) > 1
}

fn share(limits: &RateLimits) -> v1::Share {
    let (bytes_per_s, requests_per_s) = limits.get();
    v1::Share { bytes_per_s, requests_per_s }
}

/// A ceiling of the configuration, where 0 is none.
fn ceiling(per_s: u64) -> Option<f64> {
    (per_s > 0).then_some(per_s as f64)
}
