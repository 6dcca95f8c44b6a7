//! Moves and proves single objects: the engine of one worker, and the mover of one job.
//!
//! Relies on the adapters of `storage` alone. The task loop hands over one manifest entry after the other
//! and gets back what to record; it knows nothing of requests, parts or retries.

use std::sync::Arc;

use async_trait::async_trait;
use conf::{JobConf, SysConf};
use proto::manifest::Entry;
use proto::v1;
use storage::meter::RateLimits;
use storage::open::Context;
use storage::{Destination, Meter, Source};

/// What all jobs of one worker share.
#[derive(Debug)]
pub(crate) struct Engine {
    name: String,
    task_threads: u32,
}

/// Both ends of one job, opened. Shared by all of its tasks.
#[derive(Debug)]
pub(crate) struct Mover {
    job: JobConf,
    engine: Arc<Engine>,
    limits: Arc<RateLimits>,
    source: Arc<dyn Source>,
    destination: Arc<dyn Destination>,
}

/// What became of one object.
#[derive(Debug)]
pub(crate) enum Moved {
    /// Record this; succeeded, skipped or failed.
    Recorded(Box<v1::AuditRecord>),
    /// Every object would fail like this one: record nothing, pause the job with this reason.
    Suspend {
        /// A full sentence: which side, what it said, what to do.
        reason: String,
    },
    /// An unknown error, and the job wants to end on one: record nothing.
    Abort {
        /// What happened.
        reason: String,
    },
    /// Somebody else has the task now.
    LeaseLost,
}

/// The lease is lost: stop, and report nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseLost;

/// Makes the progress of a multipart upload durable at the master.
#[async_trait]
pub(crate) trait SaveUpload: Send + Sync {
    /// Returns when the master has it.
    async fn save(&self, upload: v1::Upload) -> Result<(), LeaseLost>;
}

// === impl Engine ===

impl Engine {
    /// For the worker `name`.
    pub(crate) fn new(conf: &SysConf, name: &str) -> Self {
        Engine { name: name.to_owned(), task_threads: conf.task_threads }
    }
}

// === impl Mover ===

impl Mover {
    /// Opens both ends of a job. Sends no request.
    pub(crate) fn open(job: JobConf, engine: Arc<Engine>) -> Result<Self, storage::Error> {
        let limits = Arc::<RateLimits>::default();
        let context = || Context { meter: Meter::new(limits.clone()), timeout: job.transfer.timeout };
        let source = storage::open::source(&job.source, &context())?;
        let destination = storage::open::destination(&job.destination, &context())?;
        Ok(Mover { job, engine, limits, source, destination })
    }

    /// Moves one object of a task and proves it; `index` is its place in the manifest. Waits for its slot
    /// inside.
    ///
    /// # Cancellation
    /// May be dropped anywhere. An upload that was saved may stay behind: the next holder of the task goes
    /// on with it, or `clean` aborts it.
    pub(crate) async fn move_object(
        &self,
        index: u32,
        entry: &Entry,
        resume: Option<v1::Upload>,
        saver: &dyn SaveUpload,
    ) -> Moved {
        let _ = (index, entry, resume, saver, &self.job, &self.source, &self.destination, &self.engine.name);
        Moved::Abort { reason: "not built yet".into() }
    }

    /// The ceilings of this job on this worker; change them while it runs.
    pub(crate) fn limits(&self) -> &RateLimits {
        &self.limits
    }

    /// Live figures for the heartbeat.
    pub(crate) fn activity(&self, job: &str) -> v1::JobActivity {
        v1::JobActivity { job: job.to_owned(), ..v1::JobActivity::default() }
    }

    /// Objects that may be in flight now: start about as many `move_object` as this, and a few more.
    pub(crate) fn concurrency(&self) -> usize {
        self.engine.task_threads as usize
    }
}
