//! What the server and the side towards the master share, behind one lock that is never held over a wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use proto::v1;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::lease::LeaseTable;
use crate::limits;
use crate::queue::Queue;

/// The tracker's whole memory.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Tasks came, or it is time to look again.
    pub(crate) tasks: Notify,
    /// Workers ask for more than there is.
    pub(crate) demand: Notify,
    /// Leases are to be given back to the master.
    pub(crate) returns: Notify,
    /// How long a lease lives.
    pub(crate) lease: Duration,
}

/// Behind the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) leases: LeaseTable,
    pub(crate) queue: Queue,
    /// Workers by `name/incarnation`, with their last heartbeat.
    pub(crate) workers: BTreeMap<String, (v1::WorkerStat, Instant)>,
    /// Tasks that waiting Acquire calls would take.
    pub(crate) wanted: u32,
    /// To give back to the master.
    pub(crate) returned: Vec<v1::TaskRef>,
    /// Jobs that are paused or gone.
    pub(crate) stopped: BTreeSet<String>,
    /// The cluster's limits.
    pub(crate) cluster: Option<v1::Limits>,
    /// Each job's limits.
    pub(crate) jobs: BTreeMap<String, v1::Limits>,
    /// Of the connection to the master; 0: not attached.
    pub(crate) session: u64,
}

impl Shared {
    pub(crate) fn new(lease: Duration) -> Self {
        let state = State {
            leases: LeaseTable::new(lease),
            queue: Queue::default(),
            workers: BTreeMap::new(),
            wanted: 0,
            returned: Vec::new(),
            stopped: BTreeSet::new(),
            cluster: None,
            jobs: BTreeMap::new(),
            session: 0,
        };
        let (tasks, demand, returns) = (Notify::new(), Notify::new(), Notify::new());
        Shared { state: Mutex::new(state), tasks, demand, returns, lease }
    }

    /// The state; a panic elsewhere does not take the tracker down.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Ends what ran out, and forgets workers that are long silent.
    pub(crate) fn tick(&self, now: Instant) {
        let mut state = self.state();
        let expired = state.leases.expire(now);
        for task in &expired {
            tracing::warn!(task = crate::name(task), "the lease ran out");
        }
        let silent = self.lease * 2;
        state.workers.retain(|_, (_, seen)| now.duration_since(*seen) < silent);
        self.give_back(&mut state, expired);
    }

    /// Puts tasks on the way back to the master.
    pub(crate) fn give_back(&self, state: &mut State, tasks: Vec<v1::TaskRef>) {
        if !tasks.is_empty() {
            state.returned.extend(tasks);
            self.returns.notify_one();
        }
    }
}

impl State {
    /// What a worker may use of the cluster's and of each of its jobs' limits.
    pub(crate) fn limits_of(&self, worker: &str) -> (v1::Limits, Vec<v1::WorkerJobLimits>) {
        let working = |job: Option<&str>| {
            let works = |id: &&String| {
                let jobs = self.leases.jobs_of(id);
                job.map_or(!jobs.is_empty(), |job| jobs.contains_key(job))
            };
            self.workers.keys().filter(works).count()
        };
        let mine = self.leases.jobs_of(worker);
        let each = |job: &String| v1::WorkerJobLimits {
            job: job.clone(),
            limits: Some(limits::share(self.jobs.get(job), working(Some(job)))),
        };
        (limits::share(self.cluster.as_ref(), working(None)), mine.keys().map(each).collect())
    }
}
