//! The model of the master: what is durable there, and whom it refuses.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1;

/// Entries of each task.
pub(super) const OBJECTS: u32 = 12;

/// Durable, all of it: a restart loses nothing but the session.
#[derive(Debug, Default)]
pub(super) struct Master {
    tasks: BTreeMap<u32, Task>,
    fence: u64,
    session: u64,
    /// Records of an entry that was recorded before: an acknowledgement got lost.
    pub(super) repeated: usize,
}

#[derive(Debug, Default)]
struct Task {
    state: State,
    fence: u64,
    attempt: u32,
    recorded: BTreeSet<u32>,
}

#[derive(Debug, Default, PartialEq)]
enum State {
    #[default]
    Pending,
    Dispatched,
    Done,
}

/// FAILED_PRECONDITION.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

impl Master {
    pub(super) fn new(tasks: u32) -> Self {
        Master { tasks: (1..=tasks).map(|number| (number, Task::default())).collect(), ..Master::default() }
    }

    /// Every session ends.
    pub(super) fn restart(&mut self) {
        self.session += 1;
    }

    pub(super) fn attach(&mut self) -> (u64, Vec<v1::Grant>) {
        self.session += 1;
        let out = self.tasks.iter().filter(|(_, task)| task.state == State::Dispatched);
        (self.session, out.map(|(number, task)| grant(*number, task)).collect())
    }

    pub(super) fn fetch(&mut self, session: u64, most: u32) -> Result<Vec<v1::Grant>, Refused> {
        self.current(session)?;
        let pending = self.tasks.iter_mut().filter(|(_, task)| task.state == State::Pending);
        let mut fence = self.fence;
        let mut granted = Vec::new();
        for (number, task) in pending.take(most as usize) {
            fence += 1;
            task.state = State::Dispatched;
            task.fence = fence;
            task.attempt += 1;
            granted.push(grant(*number, task));
        }
        self.fence = fence;
        Ok(granted)
    }

    pub(super) fn release(&mut self, session: u64, tasks: &[v1::TaskRef]) -> Result<(), Refused> {
        self.current(session)?;
        for task in tasks {
            self.task(task)?.state = State::Pending;
        }
        Ok(())
    }

    pub(super) fn record(&mut self, task: &v1::TaskRef, index: u32) -> Result<(), Refused> {
        let again = !self.task(task)?.recorded.insert(index);
        self.repeated += usize::from(again);
        Ok(())
    }

    pub(super) fn settle(&mut self, task: &v1::TaskRef) -> Result<(), Refused> {
        let task = self.task(task)?;
        let whole = task.recorded.len() as u32 == OBJECTS;
        task.state = if whole { State::Done } else { State::Pending };
        Ok(())
    }

    /// The task, if this is its fence now.
    fn task(&mut self, task: &v1::TaskRef) -> Result<&mut Task, Refused> {
        let found = self.tasks.get_mut(&task.number);
        found.filter(|found| found.state == State::Dispatched && found.fence == task.fence).ok_or(Refused)
    }

    fn current(&self, session: u64) -> Result<(), Refused> {
        if session == self.session { Ok(()) } else { Err(Refused) }
    }

    pub(super) fn is_current(&self, task: &v1::TaskRef) -> bool {
        self.tasks
            .get(&task.number)
            .is_some_and(|found| found.state == State::Dispatched && found.fence == task.fence)
    }

    pub(super) fn has(&self, number: u32, index: u32) -> bool {
        self.tasks[&number].recorded.contains(&index)
    }

    pub(super) fn done(&self) -> bool {
        self.tasks.values().all(|task| task.state == State::Done)
    }

    pub(super) fn attempts_of_all(&self) -> impl Iterator<Item = u32> {
        self.tasks.values().map(|task| task.attempt)
    }
}

fn grant(number: u32, task: &Task) -> v1::Grant {
    let mut recorded = vec![0u8; 2];
    for index in &task.recorded {
        recorded[*index as usize / 8] |= 1 << (index % 8);
    }
    let reference = v1::TaskRef { job: "job1".into(), round: 1, number, fence: task.fence };
    v1::Grant {
        task: Some(reference),
        attempt: task.attempt,
        objects: OBJECTS,
        recorded,
        ..v1::Grant::default()
    }
}
