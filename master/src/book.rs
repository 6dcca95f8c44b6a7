//! What the master has in memory: each job's record, its queue of pending tasks, the tasks that are out.
//! Everything here can be read from the state and the audit files again; [`crate::recover`] does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use proto::v1::{TaskRef, WorkerStat};
use proto::{JobName, TaskId};
use storage::Meter;
use storage::meter::RateLimits;
use tokio_util::sync::CancellationToken;

use crate::audit::Sheet;
use crate::error::MasterError;
use crate::scan::ledger::Progress;
use crate::stat::Rates;
use crate::store::record::{JobRecord, Meta, RoundRecord};
use crate::store::tally::Tally;
use crate::waits::Waits;

/// Round and number of a task within its job.
pub(crate) type Place = (u32, u32);

/// Everything that changes, under one lock. A change is durable before it is made here.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) meta: Meta,
    pub(crate) jobs: BTreeMap<String, Job>,
    /// Of the tracker that attached last; 0: none.
    pub(crate) session: u64,
    /// As the last pulse said.
    pub(crate) workers: Vec<WorkerStat>,
    pub(crate) pulsed: Option<tokio::time::Instant>,
    /// Cleaned a moment ago: their leases are to be revoked.
    pub(crate) cleaned: Vec<(String, tokio::time::Instant)>,
}

/// One job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: JobName,
    pub(crate) record: JobRecord,
    /// The current round.
    pub(crate) round: RoundRecord,
    pub(crate) pending: BTreeSet<Place>,
    /// Pending tasks that nobody gets yet, and for what they wait.
    pub(crate) waits: Waits,
    /// Tasks that were handed out and are not settled: dispatched, or pending again.
    pub(crate) live: HashMap<Place, Live>,
    pub(crate) scan: ScanRun,
    pub(crate) rates: Rates,
    /// The user knew why it was paused, and told it to go on.
    pub(crate) resumed: bool,
    /// Somebody sweeps after it.
    pub(crate) tidying: bool,
}

/// The scan of a job in this process.
#[derive(Debug, Default)]
pub(crate) struct ScanRun {
    /// Of the scan that runs; cancelled: it is ending.
    pub(crate) running: Option<CancellationToken>,
    pub(crate) progress: Arc<Progress>,
    /// Objects and bytes in tasks when it began.
    pub(crate) base: (u64, u64),
    /// Its requests, by side.
    pub(crate) source: Option<Meter>,
    pub(crate) destination: Option<Meter>,
    /// Its part of the job's requests.
    pub(crate) limits: Arc<RateLimits>,
}

/// A task that was handed out at least once and is not settled.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// What its records add up to.
    pub(crate) tally: Tally,
    /// Set while it is dispatched.
    pub(crate) desk: Option<Arc<Desk>>,
}

/// Where the reports on one hand-out are taken. Whoever changes the task's state holds `sheet`, so that no
/// report is half done then. Lock `sheet` first, the book after it.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) id: TaskId,
    pub(crate) fence: u64,
    pub(crate) attempt: u32,
    pub(crate) objects: u32,
    pub(crate) bytes: u64,
    pub(crate) void: u32,
    /// It comes again for what waited: what failed in it waits for a retry.
    pub(crate) waited: bool,
    sheet: Mutex<Option<Sheet>>,
}

// === impl Book ===

impl Book {
    pub(crate) fn new(meta: Meta) -> Self {
        Book {
            meta,
            jobs: BTreeMap::new(),
            session: 0,
            workers: Vec::new(),
            pulsed: None,
            cleaned: Vec::new(),
        }
    }

    /// The job, or that there is none.
    pub(crate) fn job(&self, name: &str) -> Result<&Job, MasterError> {
        self.jobs.get(name).ok_or_else(|| MasterError::NoJob { job: name.to_owned() })
    }

    /// The job, or that there is none.
    pub(crate) fn job_mut(&mut self, name: &str) -> Result<&mut Job, MasterError> {
        self.jobs.get_mut(name).ok_or_else(|| MasterError::NoJob { job: name.to_owned() })
    }

    /// Where the reports of this hand-out go, if it is still the task's current one.
    pub(crate) fn desk(&self, task: &TaskRef) -> Result<Arc<Desk>, MasterError> {
        let desk = self
            .jobs
            .get(&task.job)
            .filter(|job| job.record.state() != proto::JobState::Cancelled)
            .and_then(|job| job.live.get(&(task.round, task.number)))
            .and_then(|live| live.desk.clone())
            .filter(|desk| desk.fence == task.fence);
        desk.ok_or_else(|| MasterError::LeaseLost {
            task: format!("{}/r{}-{:06}", task.job, task.round, task.number),
            fence: task.fence,
        })
    }
}

// === impl Job, Desk ===

impl Job {
    pub(crate) fn new(name: JobName, record: JobRecord, round: RoundRecord) -> Self {
        Job {
            name,
            record,
            round,
            pending: BTreeSet::new(),
            waits: Waits::default(),
            live: HashMap::new(),
            scan: ScanRun::default(),
            rates: Rates::default(),
            resumed: false,
            tidying: false,
        }
    }

    /// Divides the job's requests a second between its scan, which gets a tenth while it runs, and the workers.
    /// Gives the scan's part, which is never all of it.
    pub(crate) fn divide_requests(&mut self) -> u64 {
        let all = self.record.requests_per_s;
        if self.scan.running.is_none() || all == 0 {
            self.scan.limits.set(None, None);
            return 0;
        }
        // One in two seconds leaves something to the workers where one a second is all.
        let part = if all == 1 { 0.5 } else { (all / 10).max(1) as f64 };
        self.scan.limits.set(None, Some(part));
        if all == 1 { 0 } else { part as u64 }
    }

    /// A task's full name.
    pub(crate) fn task(&self, place: Place) -> TaskId {
        TaskId { job: self.name.clone(), round: place.0, number: place.1 }
    }

    /// Of all tasks, also of those that run.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = self.record.totals();
        for live in self.live.values() {
            tally.plus(&live.tally);
        }
        tally
    }

    /// A task is pending from now on; what its records add up to stays.
    pub(crate) fn back(&mut self, place: Place, tally: Tally) {
        self.pending.insert(place);
        if tally == Tally::default() {
            self.live.remove(&place);
        } else {
            self.live.insert(place, Live { tally, desk: None });
        }
    }
}

impl Desk {
    pub(crate) fn new(id: TaskId, task: &crate::store::record::TaskRecord) -> Self {
        Desk {
            id,
            fence: task.fence,
            attempt: task.attempt,
            objects: task.objects,
            bytes: task.bytes,
            void: task.void,
            waited: task.waiting_since_ms > 0,
            sheet: Mutex::new(None),
        }
    }

    /// Holds the desk. The sheet is there once it was opened.
    pub(crate) fn hold(&self) -> MutexGuard<'_, Option<Sheet>> {
        self.sheet.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// As the wire names this hand-out.
    pub(crate) fn task_ref(&self) -> TaskRef {
        TaskRef {
            job: self.id.job.to_string(),
            round: self.id.round,
            number: self.id.number,
            fence: self.fence,
        }
    }

    /// Round and number.
    pub(crate) fn place(&self) -> Place {
        (self.id.round, self.id.number)
    }
}
