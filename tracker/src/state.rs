//! What the tracker knows, and how it changes. Pure: time is an argument, nothing is sent from here.
//!
//! A task that the master dispatched to this tracker is, by its fence, in exactly one place: waiting in the
//! queue, under a lease, or on its way back. The simulation checks this after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::v1;
use tokio::time::Instant;

use crate::lease::LeaseTable;
use crate::limits::Division;
use crate::queue::Queue;

/// The tracker's whole memory.
#[derive(Debug)]
pub(crate) struct State {
    /// How long a lease lives.
    lease: Duration,
    /// From one heartbeat to the next.
    renew: Duration,
    pub(crate) leases: LeaseTable,
    pub(crate) queue: Queue,
    /// Workers by `name/incarnation`, with their last heartbeat.
    workers: BTreeMap<String, (v1::WorkerStat, Instant)>,
    /// Tasks that waiting Acquire calls would take.
    wanted: u32,
    /// To give back to the master.
    returned: Vec<v1::TaskRef>,
    /// Jobs that are paused or gone.
    stopped: BTreeSet<String>,
    /// The cluster's limits; `None`: the master has not said yet.
    cluster: Option<v1::Limits>,
    /// Each job's limits.
    jobs: BTreeMap<String, v1::Limits>,
    cluster_shares: Division,
    job_shares: BTreeMap<String, Division>,
    /// Answers to Pulse in a row that knew of more tasks than are here.
    astray: u32,
    /// This tracker has been attached before.
    attached: bool,
    /// No worker is older than this tracker.
    alone: bool,
}

/// Heartbeats that a worker may miss before what it may have is given to others: its share of a limit when it has no
/// lease, and the tasks that a restarted tracker found. Losing such a task to another worker costs work and nothing
/// else, waiting costs time at every restart.
const MISSED_BEATS: u32 = 4;

/// Pulses in a row with fewer tasks here than the master has given: in a busy cluster some are always on
/// their way, but not every time and at the end of a job not at all.
const ASTRAY_PULSES: u32 = 20;

/// The worker has to register first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotRegistered;

// === impl State: towards the workers ===

impl State {
    pub(crate) fn new(lease: Duration, alone: bool) -> Self {
        State {
            lease,
            renew: (lease / 5).clamp(Duration::from_millis(100), Duration::from_secs(1)),
            leases: LeaseTable::new(lease),
            queue: Queue::default(),
            workers: BTreeMap::new(),
            wanted: 0,
            returned: Vec::new(),
            stopped: BTreeSet::new(),
            cluster: None,
            jobs: BTreeMap::new(),
            cluster_shares: Division::default(),
            job_shares: BTreeMap::new(),
            astray: 0,
            attached: false,
            alone,
        }
    }

    /// A worker begins, or finds a tracker that does not know it. Leases of its earlier incarnations end.
    pub(crate) fn register(&mut self, request: v1::RegisterRequest, now: Instant) -> v1::RegisterReply {
        let old = self.leases.supersede(&request.worker);
        self.returned.extend(old);
        let stat = v1::WorkerStat {
            worker: request.worker.clone(),
            host: request.host,
            version: request.version,
            slots: request.slots,
            ..v1::WorkerStat::default()
        };
        self.workers.insert(request.worker, (stat, now));
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        v1::RegisterReply { lease_ms: millis(self.lease), renew_ms: millis(self.renew) }
    }

    /// Leases up to `most` waiting tasks to a worker.
    pub(crate) fn acquire(
        &mut self,
        worker: &str,
        most: u32,
        now: Instant,
    ) -> Result<Vec<v1::Grant>, NotRegistered> {
        if !self.workers.contains_key(worker) {
            return Err(NotRegistered);
        }
        let mut granted = Vec::new();
        while granted.len() < most as usize {
            let Some(grant) = self.queue.pop() else { break };
            let Some(task) = grant.task.clone() else { continue };
            tracing::debug!(task = crate::name(&task), worker, "leased");
            self.leases.grant(task, worker, now);
            granted.push(grant);
        }
        Ok(granted)
    }

    /// A heartbeat.
    pub(crate) fn renew(&mut self, request: v1::RenewRequest, now: Instant) -> v1::RenewReply {
        let mut stat = request.stat.unwrap_or_default();
        let worker = stat.worker.clone();
        let held: Vec<u64> = request.held.iter().map(|task| task.fence).collect();
        let renewed = self.leases.renew(&worker, &held, now);
        self.returned.extend(renewed.forgotten);
        let registered = self.workers.contains_key(&worker);
        stat.leases = u32::try_from(held.len()).unwrap_or(u32::MAX);
        if request.leaving {
            self.workers.remove(&worker);
            self.returned.extend(self.leases.take_of(&worker));
        } else if registered {
            self.workers.insert(worker.clone(), (stat, now));
        }
        let (mut lost, mut stopping) = (Vec::new(), Vec::new());
        for task in request.held {
            if renewed.lost.contains(&task.fence) {
                lost.push(task);
            } else if self.stopped.contains(&task.job) {
                stopping.push(task);
            }
        }
        let (share, jobs) = self.shares(&worker, &request.share.unwrap_or_default(), &request.jobs);
        v1::RenewReply { lost, share, jobs, registered, stopping }
    }

    /// What a worker that has work may use of the cluster's limits and of those of its jobs, after what it uses now.
    /// What the master has not said yet is left out: then the worker keeps to what it has.
    fn shares(
        &mut self,
        worker: &str,
        said: &v1::Share,
        jobs: &[v1::JobShare],
    ) -> (Option<v1::Share>, Vec<v1::JobShare>) {
        let leases = &self.leases;
        let cluster = self.cluster.as_ref().and_then(|limits| {
            if !leases.works(worker) {
                self.cluster_shares.heard(worker, said);
                return None;
            }
            let unknown = leases.orphaned(None);
            Some(self.cluster_shares.tell(limits, worker, said, leases.working(), unknown))
        });
        // A job that it does not mention: nothing of it is in force there.
        let nothing = v1::Share { bytes_per_s: Some(0.0), requests_per_s: Some(0.0) };
        let told = self.jobs.iter().filter_map(|(job, limits)| {
            let said =
                jobs.iter().find(|said| said.job == *job).and_then(|said| said.share).unwrap_or(nothing);
            let Some(working) = leases.working_for(job, worker) else {
                if let Some(division) = self.job_shares.get_mut(job) {
                    division.heard(worker, &said);
                }
                return None;
            };
            let division = self.job_shares.entry(job.clone()).or_default();
            let share = division.tell(limits, worker, &said, working, leases.orphaned(Some(job)));
            Some(v1::JobShare { job: job.clone(), share: Some(share) })
        });
        (cluster, told.collect())
    }

    /// The master has named what is out: before that nothing can be said of any lease, and a worker that
    /// asks is told to ask again, not that its lease is lost.
    pub(crate) fn knows(&self) -> bool {
        self.attached
    }

    /// May a report with this fence pass?
    pub(crate) fn passes(&self, fence: u64, now: Instant) -> bool {
        self.leases.holds(fence, now)
    }

    /// The task of this fence is settled, or the master refuses its reports: the master does not count it
    /// as dispatched under this fence any more.
    pub(crate) fn ended(&mut self, fence: u64) {
        self.leases.end(fence);
    }

    /// An Acquire begins to wait for `most` tasks.
    pub(crate) fn wait(&mut self, most: u32) {
        self.wanted = self.wanted.saturating_add(most);
    }

    /// It ended.
    pub(crate) fn waited(&mut self, most: u32) {
        self.wanted = self.wanted.saturating_sub(most);
    }

    /// Nobody could settle anything any more.
    pub(crate) fn idle(&self) -> bool {
        self.leases.len() == 0 || self.workers.is_empty()
    }
}

// === impl State: towards the master ===

impl State {
    /// The master named what is out. What is not known here was in an answer to Fetch that got lost, or is
    /// under a lease that another tracker gave: it is kept for a few heartbeats for whoever still renews it,
    /// if there can be anybody. It is never handed out from here: then two would hold it under one fence.
    pub(crate) fn attached(&mut self, outstanding: Vec<v1::Grant>, now: Instant) {
        let fence = |grant: &v1::Grant| grant.task.as_ref().map(|task| task.fence);
        let out: BTreeSet<u64> = outstanding.iter().filter_map(fence).collect();
        self.leases.keep_only(&out);
        drop(self.queue.take(|grant| fence(grant).is_none_or(|fence| !out.contains(&fence))));
        self.returned.retain(|task| out.contains(&task.fence));
        let here: BTreeSet<u64> = self.fences().into_iter().collect();
        let orphans_until = now + (self.renew * MISSED_BEATS).min(self.lease);
        for grant in outstanding {
            let Some(task) = grant.task.clone().filter(|task| !here.contains(&task.fence)) else { continue };
            if self.alone {
                self.returned.push(task);
            } else {
                self.leases.orphan(task, now, orphans_until);
            }
        }
        self.attached = true;
        self.astray = 0;
    }

    /// Tasks came.
    pub(crate) fn fetched(&mut self, reply: v1::FetchReply) {
        let priorities = reply.priorities.into_iter().chain(std::iter::repeat(0));
        for (grant, priority) in reply.tasks.into_iter().zip(priorities) {
            self.queue.push(priority, grant);
        }
    }

    /// How many tasks to fetch: what workers wait for and one more; nothing for nobody, and none before the
    /// limits are known.
    pub(crate) fn demand(&self) -> u32 {
        let waiting = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        if self.wanted == 0 || self.cluster.is_none() {
            0
        } else {
            self.wanted.saturating_add(1).saturating_sub(waiting)
        }
    }

    /// What has to go back to the master; it stays here until [`State::released`].
    pub(crate) fn to_release(&self) -> Vec<v1::TaskRef> {
        self.returned.clone()
    }

    /// The master has taken these back.
    pub(crate) fn released(&mut self, tasks: &[v1::TaskRef]) {
        self.returned.retain(|task| !tasks.contains(task));
    }

    /// Live figures for the master.
    pub(crate) fn figures(&self) -> Vec<v1::WorkerStat> {
        self.workers.values().map(|(stat, _)| stat.clone()).collect()
    }

    /// What the master says once in a while. Waiting tasks of stopped jobs go back. `false`: tasks are out
    /// that are not here, attach again to learn which.
    #[must_use]
    pub(crate) fn pulsed(&mut self, reply: v1::PulseReply) -> bool {
        self.astray = if reply.outstanding > self.fences().len() as u64 { self.astray + 1 } else { 0 };
        self.stopped = reply.stopped_jobs.into_iter().collect();
        self.cluster = Some(reply.cluster.unwrap_or_default());
        let limits = |job: v1::JobLimits| (job.job, job.limits.unwrap_or_default());
        self.jobs = reply.jobs.into_iter().map(limits).collect();
        self.job_shares.retain(|job, _| self.jobs.contains_key(job));
        let stopped = &self.stopped;
        let waiting =
            self.queue.take(|grant| grant.task.as_ref().is_some_and(|task| stopped.contains(&task.job)));
        self.returned.extend(waiting.into_iter().filter_map(|grant| grant.task));
        self.astray < ASTRAY_PULSES
    }

    /// Leases that ran out are on their way back; workers that are silent for long are forgotten.
    pub(crate) fn tick(&mut self, now: Instant) {
        let expired = self.leases.expire(now);
        for task in &expired {
            tracing::warn!(task = crate::name(task), "the lease ran out");
        }
        self.returned.extend(expired);
        let silent = self.lease * 2;
        self.workers.retain(|_, (_, seen)| now.duration_since(*seen) < silent);
        // One that has no lease and says nothing more has ended, and its share with it.
        let silent = self.renew * MISSED_BEATS;
        let (workers, leases) = (&self.workers, &self.leases);
        let living = |worker: &str| {
            let spoke = workers.get(worker).is_some_and(|(_, seen)| now.duration_since(*seen) < silent);
            spoke || leases.works(worker)
        };
        self.cluster_shares.keep(living);
        self.job_shares.values_mut().for_each(|division| division.keep(living));
    }

    /// No more tasks are handed out: what waits goes back.
    pub(crate) fn close(&mut self) {
        let waiting = self.queue.take(|_| true);
        self.returned.extend(waiting.into_iter().filter_map(|grant| grant.task));
    }

    /// Every fence that is here, wherever it is.
    pub(crate) fn fences(&self) -> Vec<u64> {
        let mut fences = self.leases.fences();
        fences.extend(self.queue.fences());
        fences.extend(self.returned.iter().map(|task| task.fence));
        fences
    }
}
