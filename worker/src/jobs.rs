//! The movers of the jobs that this worker works for, by job and revision of its configuration.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use conf::JobConf;
use proto::channel::Caller;
use proto::v1;
use proto::v1::leases_client::LeasesClient;

use crate::copy::{Engine, Mover};

/// Opened jobs.
#[derive(Debug)]
pub(crate) struct Jobs {
    engine: Arc<Engine>,
    open: Mutex<BTreeMap<String, (u64, Arc<Mover>)>>,
}

/// Why a job cannot be worked for here.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The tracker or master did not answer: give the task back.
    Away(tonic::Status),
    /// The job's ends cannot be opened: for the user.
    Refused(String),
}

impl Jobs {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Jobs { engine, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, (u64, Arc<Mover>)>> {
        self.open.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// The mover of a job at this revision, opened where it is not.
    pub(crate) async fn mover(
        &self,
        tracker: &LeasesClient<Caller>,
        job: &str,
        revision: u64,
    ) -> Result<Arc<Mover>, OpenError> {
        if let Some((_, mover)) = self.open().get(job).filter(|(opened, _)| *opened == revision) {
            return Ok(mover.clone());
        }
        let request = v1::JobConfigRequest { job: job.to_owned() };
        let reply = tracker.clone().get_job_config(request).await.map_err(OpenError::Away)?.into_inner();
        let conf = JobConf::from_wire(&reply.config).map_err(OpenError::Refused)?;
        let mover =
            Mover::open(conf, self.engine.clone()).map_err(|error| OpenError::Refused(error.to_string()))?;
        let mover = Arc::new(mover);
        self.open().insert(job.to_owned(), (reply.revision, mover.clone()));
        Ok(mover)
    }

    /// What every mover is doing.
    pub(crate) fn activity(&self) -> Vec<v1::JobActivity> {
        self.open().iter().map(|(job, (_, mover))| mover.activity(job)).collect()
    }

    /// New ceilings: of this worker as a whole, and of each job.
    pub(crate) fn limit(&self, worker: v1::Limits, jobs: &[v1::WorkerJobLimits]) {
        let open = self.open();
        let share =
            open.keys().filter(|job| jobs.iter().any(|limits| limits.job == **job)).count().max(1) as u64;
        let part = |total: u64| if total == 0 { 0 } else { (total / share).max(1) };
        for (job, (_, mover)) in open.iter() {
            let of_job = jobs.iter().find(|limits| limits.job == *job).and_then(|limits| limits.limits);
            let of_job = of_job.unwrap_or_default();
            mover.limits().set(
                lower(part(worker.bytes_per_s), of_job.bytes_per_s),
                lower(part(worker.requests_per_s), of_job.requests_per_s),
            );
        }
    }
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
    use super::lower;

    #[test]
    fn zero_is_no_ceiling() {
        assert_eq!([lower(0, 0), lower(0, 5), lower(5, 0), lower(5, 7)], [0, 5, 5, 5]);
    }
}
