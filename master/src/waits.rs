//! Tasks whose objects wait for a restore at the source: pending, and handed out again when it is time to look.
//!
//! How many objects wait, since when, and when they are looked at is in the task's record. The time between two looks
//! grows with the time that was waited, so that an object costs few questions however long its restore takes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::{JobState, TaskState, breakpoint};

use crate::book::{Book, Job, Place};
use crate::master::Master;
use crate::store::record::TaskRecord;

/// Nothing is looked at sooner again: the fastest restores take a minute.
const SOONEST_MS: i64 = 60_000;
/// Nothing is looked at later: a restored copy stays for a day at least.
const LATEST_MS: i64 = 3_600_000;

/// The tasks of one job that wait.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    tasks: BTreeMap<Place, Wait>,
    /// Those that are not in the queue, by the time when they will be.
    parked: BTreeSet<(i64, Place)>,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    objects: u64,
    since_ms: i64,
    wake_ms: i64,
}

/// What waits, for `stat`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) objects: u64,
    /// 0: none waits.
    pub(crate) since_ms: i64,
    /// 0: one is being looked at.
    pub(crate) next_ms: i64,
}

// === impl TaskRecord ===

impl TaskRecord {
    /// It goes over to `next`, and so many objects of it wait. One that is only given back waits as before, and is
    /// looked at as soon as somebody is free.
    pub(crate) fn wait(&mut self, next: TaskState, waiting: u32, now_ms: i64) {
        self.wake_ms = 0;
        if next != TaskState::Pending {
            (self.waiting, self.waiting_since_ms) = (0, 0);
        } else if waiting > 0 {
            self.waiting = waiting;
            if self.waiting_since_ms == 0 {
                self.waiting_since_ms = now_ms;
            }
            self.wake_ms = next_look(self.waiting_since_ms, now_ms);
        }
    }
}

/// Half as long again as was waited so far.
fn next_look(since_ms: i64, now_ms: i64) -> i64 {
    let pause = (now_ms.saturating_sub(since_ms) / 2).clamp(SOONEST_MS, LATEST_MS);
    now_ms.saturating_add(breakpoint::look_after_ms().unwrap_or(pause))
}

// === impl Waits ===

impl Waits {
    /// What waits in all.
    pub(crate) fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        for (at, wait) in self.tasks.values().enumerate() {
            sum.objects += wait.objects;
            let first = |a: i64, b: i64| if at == 0 { b } else { a.min(b) };
            sum = Sum {
                since_ms: first(sum.since_ms, wait.since_ms),
                next_ms: first(sum.next_ms, wait.wake_ms),
                ..sum
            };
        }
        sum
    }

    /// Nothing waits in a job that is cleaned.
    pub(crate) fn clear(&mut self) {
        *self = Waits::default();
    }

    /// Those that are due. A clock that was set back delays nobody by more than the longest pause.
    fn due(&mut self, now_ms: i64) -> Vec<Place> {
        let due = |wake_ms: i64| wake_ms <= now_ms || wake_ms > now_ms.saturating_add(2 * LATEST_MS);
        let (due, later): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(&mut self.parked).into_iter().partition(|(wake_ms, _)| due(*wake_ms));
        self.parked = later;
        due.into_iter().map(|(_, place)| self.woken(place)).collect()
    }

    fn woken(&mut self, place: Place) -> Place {
        if let Some(wait) = self.tasks.get_mut(&place) {
            wait.wake_ms = 0;
        }
        place
    }

    fn is_due(&self, now_ms: i64) -> bool {
        let ends = [self.parked.first(), self.parked.last()];
        let due = |wake_ms: i64| wake_ms <= now_ms || wake_ms > now_ms.saturating_add(2 * LATEST_MS);
        ends.into_iter().flatten().any(|(wake_ms, _)| due(*wake_ms))
    }

    fn note(&mut self, place: Place, wait: Option<Wait>) {
        if let Some(before) = self.tasks.remove(&place) {
            self.parked.remove(&(before.wake_ms, place));
        }
        let Some(wait) = wait else { return };
        self.tasks.insert(place, wait);
        if wait.wake_ms > 0 {
            self.parked.insert((wait.wake_ms, place));
        }
    }
}

// === impl Job, Master ===

impl Job {
    /// What the task's record says of its waiting. One that is not due leaves the queue.
    pub(crate) fn note_wait(&mut self, place: Place, task: &TaskRecord) {
        let wait = Wait {
            objects: task.waiting.into(),
            since_ms: task.waiting_since_ms,
            wake_ms: if task.state() == TaskState::Pending { task.wake_ms } else { 0 },
        };
        self.waits.note(place, (wait.since_ms > 0).then_some(wait));
        if wait.wake_ms > 0 {
            self.pending.remove(&place);
        }
    }

    /// Everything that waits is looked at as soon as somebody is free.
    pub(crate) fn look_now(&mut self) {
        for (_, place) in std::mem::take(&mut self.waits.parked) {
            self.pending.insert(self.waits.woken(place));
        }
    }
}

/// What is due is in the queue from now on.
pub(crate) fn wake(book: &mut Book, now_ms: i64) {
    for job in book.jobs.values_mut().filter(|job| job.waits.is_due(now_ms)) {
        let due = job.waits.due(now_ms);
        job.pending.extend(due);
    }
}

impl Master {
    /// The time until something that waits is due; none: nothing waits in a job that runs.
    pub(crate) fn next_wake(&self) -> Option<Duration> {
        let book = self.book();
        let runs = |job: &&Job| matches!(job.record.state(), JobState::Scanning | JobState::Running);
        let first =
            book.jobs.values().filter(runs).filter_map(|job| job.waits.parked.first()).map(|(at, _)| *at);
        let left = first.min()?.saturating_sub(crate::now_ms());
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0).max(1)))
    }
}

#[cfg(test)]
mod tests;
