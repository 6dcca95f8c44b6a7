//! The table of leases: grant, renew, expire, fence. Pure: time is an argument.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::v1::TaskRef;
use tokio::time::Instant;

/// All living leases, by fence.
#[derive(Debug)]
pub(crate) struct LeaseTable {
    length: Duration,
    leases: BTreeMap<u64, Lease>,
    /// The fences of each worker.
    of: BTreeMap<String, BTreeSet<u64>>,
    /// Who works for each job, and under how many leases: asked for at each heartbeat of each worker.
    working: BTreeMap<String, BTreeMap<String, usize>>,
    /// The fences of leases that nobody holds yet, with their jobs.
    orphans: BTreeMap<u64, String>,
}

#[derive(Debug, Clone)]
struct Lease {
    task: TaskRef,
    /// `name/incarnation`; nobody yet for a task that was out when this tracker started.
    worker: Option<String>,
    granted: Instant,
    until: Instant,
}

/// What a heartbeat learns about the leases that it named.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Renewed {
    /// Not (or no longer) this worker's.
    pub(crate) lost: Vec<u64>,
    /// This worker's, but it does not know of them: an answer to Acquire was lost.
    pub(crate) forgotten: Vec<TaskRef>,
}

/// A grant that a worker has not named in a heartbeat after this long never reached it.
const UNKNOWN_AFTER: Duration = Duration::from_secs(5);

impl LeaseTable {
    pub(crate) fn new(length: Duration) -> Self {
        LeaseTable {
            length,
            leases: BTreeMap::new(),
            of: BTreeMap::new(),
            working: BTreeMap::new(),
            orphans: BTreeMap::new(),
        }
    }

    /// Gives a task to a worker.
    pub(crate) fn grant(&mut self, task: TaskRef, worker: &str, now: Instant) {
        let fence = task.fence;
        self.end(fence);
        self.leases.insert(fence, Lease { worker: None, granted: now, until: now + self.length, task });
        self.assign(fence, worker);
    }

    /// A task that was out before this tracker started: kept for whoever still renews it.
    pub(crate) fn orphan(&mut self, task: TaskRef, now: Instant, until: Instant) {
        if let Entry::Vacant(place) = self.leases.entry(task.fence) {
            self.orphans.insert(task.fence, task.job.clone());
            place.insert(Lease { worker: None, granted: now, until, task });
        }
    }

    /// May a report with this fence pass?
    pub(crate) fn holds(&self, fence: u64, now: Instant) -> bool {
        self.leases.get(&fence).is_some_and(|lease| lease.until > now)
    }

    /// A heartbeat of `worker`, which believes that it holds `held`.
    pub(crate) fn renew(&mut self, worker: &str, held: &[u64], now: Instant) -> Renewed {
        let mut renewed = Renewed::default();
        for fence in held {
            match self.leases.get_mut(fence) {
                Some(lease)
                    if lease.until > now && lease.worker.as_deref().is_none_or(|owner| owner == worker) =>
                {
                    lease.until = now + self.length;
                    if lease.worker.is_none() {
                        self.assign(*fence, worker);
                    }
                }
                _ => renewed.lost.push(*fence),
            }
        }
        let held: BTreeSet<u64> = held.iter().copied().collect();
        let unknown = |fence: &u64| {
            let granted = self.leases.get(fence).map(|lease| lease.granted);
            !held.contains(fence) && granted.is_some_and(|at| now.duration_since(at) > UNKNOWN_AFTER)
        };
        let forgotten = self.of.get(worker).into_iter().flatten().copied().filter(unknown).collect();
        renewed.forgotten = self.take_all(forgotten);
        renewed
    }

    /// Leases that ran out; they are gone from the table.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<TaskRef> {
        self.take(|lease| lease.until <= now)
    }

    /// Leases of other incarnations of this worker: it was restarted.
    pub(crate) fn supersede(&mut self, worker: &str) -> Vec<TaskRef> {
        let name = |id: &str| id.split('/').next().unwrap_or_default().to_owned();
        self.take(|lease| {
            lease.worker.as_deref().is_some_and(|old| old != worker && name(old) == name(worker))
        })
    }

    /// The task of this fence is settled, or the master refuses it.
    pub(crate) fn end(&mut self, fence: u64) {
        self.remove(fence);
    }

    /// Keeps only leases whose fences the master knows; what else was here is lost.
    pub(crate) fn keep_only(&mut self, known: &BTreeSet<u64>) {
        drop(self.take(|lease| !known.contains(&lease.task.fence)));
    }

    /// Every fence in the table.
    pub(crate) fn fences(&self) -> Vec<u64> {
        self.leases.keys().copied().collect()
    }

    /// How many workers have work.
    pub(crate) fn working(&self) -> usize {
        self.of.len()
    }

    /// Has this worker work?
    pub(crate) fn works(&self, worker: &str) -> bool {
        self.of.contains_key(worker)
    }

    /// How many workers work for this job, if this one does.
    pub(crate) fn working_for(&self, job: &str, worker: &str) -> Option<usize> {
        self.working.get(job).filter(|workers| workers.contains_key(worker)).map(BTreeMap::len)
    }

    /// Are there leases, of this job or of any, whose holder was not heard of since this tracker started?
    pub(crate) fn orphaned(&self, job: Option<&str>) -> bool {
        match job {
            None => !self.orphans.is_empty(),
            Some(job) => self.orphans.values().any(|of| of == job),
        }
    }

    /// All leases of a worker; they are gone from the table.
    pub(crate) fn take_of(&mut self, worker: &str) -> Vec<TaskRef> {
        self.take(|lease| lease.worker.as_deref() == Some(worker))
    }

    /// How many leases there are.
    pub(crate) fn len(&self) -> usize {
        self.leases.len()
    }

    fn take(&mut self, which: impl Fn(&Lease) -> bool) -> Vec<TaskRef> {
        let taken = self.leases.values().filter(|lease| which(lease)).map(|lease| lease.task.fence);
        self.take_all(taken.collect())
    }

    fn take_all(&mut self, fences: Vec<u64>) -> Vec<TaskRef> {
        fences.into_iter().filter_map(|fence| self.remove(fence)).collect()
    }

    /// The one place where a lease gets its holder.
    fn assign(&mut self, fence: u64, worker: &str) {
        let Some(lease) = self.leases.get_mut(&fence) else { return };
        lease.worker = Some(worker.to_owned());
        self.orphans.remove(&fence);
        self.of.entry(worker.to_owned()).or_default().insert(fence);
        let workers = self.working.entry(lease.task.job.clone()).or_default();
        *workers.entry(worker.to_owned()).or_default() += 1;
    }

    /// The one place where a lease goes.
    fn remove(&mut self, fence: u64) -> Option<TaskRef> {
        let lease = self.leases.remove(&fence)?;
        self.orphans.remove(&fence);
        let Some(worker) = lease.worker else { return Some(lease.task) };
        if let Some(fences) = self.of.get_mut(&worker) {
            fences.remove(&fence);
            if fences.is_empty() {
                self.of.remove(&worker);
            }
        }
        if let Some(workers) = self.working.get_mut(&lease.task.job) {
            match workers.get_mut(&worker) {
                Some(leases) if *leases > 1 => *leases -= 1,
                _ => drop(workers.remove(&worker)),
            }
            if workers.is_empty() {
                self.working.remove(&lease.task.job);
            }
        }
        Some(lease.task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(30);

    fn task(fence: u64) -> TaskRef {
        TaskRef { job: "job1".into(), round: 1, number: 1, fence }
    }

    #[tokio::test]
    async fn a_lease_lives_by_its_heartbeats_and_then_ends_for_good() {
        let (mut table, now) = (LeaseTable::new(LENGTH), Instant::now());
        table.grant(task(1), "a/1", now);
        let later = now + LENGTH / 2;
        assert_eq!(table.renew("a/1", &[1], later), Renewed::default());
        assert!(table.holds(1, now + LENGTH));
        assert!(!table.holds(1, later + LENGTH));
        assert_eq!(table.renew("a/1", &[1], later + LENGTH).lost, [1]);
        assert_eq!(table.expire(later + LENGTH), [task(1)]);
        assert!(table.expire(later + LENGTH).is_empty());
    }

    #[tokio::test]
    async fn nobody_renews_the_lease_of_another() {
        let (mut table, now) = (LeaseTable::new(LENGTH), Instant::now());
        table.grant(task(1), "a/1", now);
        assert_eq!(table.renew("b/1", &[1, 9], now).lost, [1, 9]);
    }

    #[tokio::test]
    async fn an_orphan_is_adopted_by_whoever_renews_it_first() {
        let (mut table, now) = (LeaseTable::new(LENGTH), Instant::now());
        table.orphan(task(1), now, now + LENGTH);
        assert!(table.renew("a/1", &[1], now).lost.is_empty());
        assert_eq!(table.renew("b/1", &[1], now).lost, [1]);
    }

    #[tokio::test]
    async fn a_grant_that_never_reached_its_worker_comes_back() {
        let (mut table, now) = (LeaseTable::new(LENGTH), Instant::now());
        table.grant(task(1), "a/1", now);
        assert!(table.renew("a/1", &[], now).forgotten.is_empty());
        assert_eq!(table.renew("a/1", &[], now + Duration::from_secs(6)).forgotten, [task(1)]);
    }

    #[tokio::test]
    async fn a_restarted_worker_ends_the_leases_of_its_last_life() {
        let (mut table, now) = (LeaseTable::new(LENGTH), Instant::now());
        table.grant(task(1), "a/1", now);
        table.grant(task(2), "b/1", now);
        assert_eq!(table.supersede("a/2"), [task(1)]);
        assert_eq!(table.fences(), [2]);
    }
}
