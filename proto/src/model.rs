//! The rules of dispatch, small enough to be read at once: what the master hands out, whom it refuses, what
//! counts as recorded. For tests only (feature `model`): the tracker's simulation runs against it, and the
//! master's tests drive it side by side with the real one, so that it cannot say anything else.

use std::collections::{BTreeMap, BTreeSet};

use crate::v1::settlement::Result as Ending;
use crate::v1::{Grant, Outcome, TaskRef};
use crate::{JobState, TaskState};

/// Tasks of one Fetch at most.
const MOST: u32 = 256;

/// A master that forgets nothing but its session.
#[derive(Debug, Default)]
pub struct Master {
    /// By name.
    pub jobs: BTreeMap<String, Job>,
    session: u64,
    number: u64,
    /// Records that came for an object that needs nothing more: an acknowledgement got lost.
    pub repeated: u64,
}

/// One job whose scan is done.
#[derive(Debug)]
pub struct Job {
    /// Where it stands.
    pub state: JobState,
    /// Higher goes first.
    pub priority: i32,
    /// By number.
    pub tasks: BTreeMap<u32, Task>,
    pending: BTreeSet<u32>,
    dispatched: u64,
}

/// One task.
#[derive(Debug)]
pub struct Task {
    /// Where it stands.
    pub state: TaskState,
    /// Of its last hand-out.
    pub fence: u64,
    /// Hand-outs so far.
    pub attempt: u32,
    /// Entries of its manifest.
    pub objects: u32,
    /// The record that counts of each object.
    pub last: BTreeMap<u32, Outcome>,
}

/// Why the master does not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not the task's current fence.
    LeaseLost,
    /// Another tracker attached later.
    OldSession,
    /// Said to be finished; so many objects are without a record. It is pending again.
    Unfinished(u64),
    /// It makes no sense.
    BadRequest,
    /// No job of that name.
    NoJob,
    /// Not in this state.
    WrongState,
    /// The name is taken.
    Exists,
}

// === what users do ===

impl Master {
    /// A job of `tasks` tasks with `objects` objects each.
    pub fn submit(&mut self, name: &str, tasks: u32, objects: u32, priority: i32) -> Result<(), Refusal> {
        if self.jobs.contains_key(name) {
            return Err(Refusal::Exists);
        }
        let task = |number| {
            let (state, last) = (TaskState::Pending, BTreeMap::new());
            (number, Task { state, fence: 0, attempt: 0, objects, last })
        };
        let job = Job {
            state: JobState::Running,
            priority,
            tasks: (1..=tasks).map(task).collect(),
            pending: (1..=tasks).collect(),
            dispatched: 0,
        };
        self.jobs.insert(name.to_owned(), job);
        Ok(())
    }

    /// Nothing more of it goes out.
    pub fn pause(&mut self, name: &str) -> Result<(), Refusal> {
        let job = self.job(name)?;
        if job.state.ended() {
            return Err(Refusal::WrongState);
        }
        job.state = JobState::Paused;
        Ok(())
    }

    /// It goes on.
    pub fn resume(&mut self, name: &str) -> Result<(), Refusal> {
        let job = self.job(name)?;
        match job.state {
            JobState::Running => return Ok(()),
            JobState::Paused => job.state = JobState::Running,
            _ => return Err(Refusal::WrongState),
        }
        job.advance();
        Ok(())
    }

    /// Failed tasks are pending again, without their failures. Answers how many.
    pub fn retry(&mut self, name: &str) -> Result<u64, Refusal> {
        let job = self.job(name)?;
        let mut tasks = 0;
        for (number, task) in job.tasks.iter_mut().filter(|(_, task)| task.state == TaskState::Failed) {
            task.state = TaskState::Pending;
            task.last.retain(|_, outcome| *outcome != Outcome::Failed);
            job.pending.insert(*number);
            tasks += 1;
        }
        if tasks > 0 && job.state.ended() {
            job.state = JobState::Running;
        }
        job.advance();
        Ok(tasks)
    }

    /// Forgets it, whatever it is doing.
    pub fn clean(&mut self, name: &str) -> Result<(), Refusal> {
        self.jobs.remove(name).map(drop).ok_or(Refusal::NoJob)
    }
}

// === what the tracker does ===

impl Master {
    /// The process was restarted.
    pub fn restart(&mut self) {
        self.session = 0;
    }

    /// A tracker came: its session, and what is out.
    pub fn attach(&mut self) -> (u64, Vec<Grant>) {
        self.number += 1;
        self.session = self.number;
        let mut out = Vec::new();
        for (name, job) in &self.jobs {
            let dispatched = job.tasks.iter().filter(|(_, task)| task.state == TaskState::Dispatched);
            out.extend(dispatched.map(|(number, task)| task.grant(name, *number)));
        }
        (self.session, out)
    }

    /// Up to `most` pending tasks, each under a new fence, with the priority of its job.
    pub fn fetch(&mut self, session: u64, most: u32) -> Result<Vec<(Grant, i32)>, Refusal> {
        self.check(session)?;
        let mut given = Vec::new();
        while given.len() < most.min(MOST) as usize {
            let may = |job: &Job| job.state == JobState::Running && !job.pending.is_empty();
            let jobs = self.jobs.iter_mut().filter(|(_, job)| may(job));
            let next = jobs.min_by_key(|(_, job)| (std::cmp::Reverse(job.priority), job.dispatched));
            let Some((name, job)) = next else { break };
            let Some(number) = job.pending.pop_first() else { break };
            let Some(task) = job.tasks.get_mut(&number) else { break };
            self.number += 1;
            job.dispatched += 1;
            task.state = TaskState::Dispatched;
            task.fence = self.number;
            task.attempt += 1;
            given.push((task.grant(name, number), job.priority));
        }
        Ok(given)
    }

    /// Leases that ran out. Those that are not out any more are no error.
    pub fn release(&mut self, session: u64, tasks: &[TaskRef]) -> Result<(), Refusal> {
        self.check(session)?;
        for task in tasks {
            let _ = self.end(task, TaskState::Pending);
        }
        Ok(())
    }

    /// Is this the hand-out from which the master takes reports?
    pub fn is_current(&self, task: &TaskRef) -> bool {
        let found = self.jobs.get(&task.job).and_then(|job| job.tasks.get(&task.number));
        found.is_some_and(|found| found.is_held(task))
    }

    /// Tasks that have ended.
    pub fn settled(&self) -> usize {
        let all: usize = self.jobs.values().map(|job| job.tasks.len() - job.pending.len()).sum();
        all - self.outstanding() as usize
    }

    /// Tasks that are dispatched.
    pub fn outstanding(&self) -> u64 {
        self.jobs.values().map(|job| job.dispatched).sum()
    }

    /// Records of one hand-out: an object that arrived is recorded once.
    pub fn record(&mut self, task: &TaskRef, records: &[(u32, Outcome)]) -> Result<(), Refusal> {
        let held = self.held(task)?;
        if records.iter().any(|(index, _)| *index >= held.objects) {
            return Err(Refusal::BadRequest);
        }
        let mut repeated = 0;
        for (index, outcome) in records {
            if held.is_done(*index) {
                repeated += 1;
            } else {
                held.last.insert(*index, *outcome);
            }
        }
        self.repeated += repeated;
        Ok(())
    }

    /// The end of a hand-out.
    pub fn settle(&mut self, task: &TaskRef, ending: Ending) -> Result<(), Refusal> {
        let held = self.held(task)?;
        let missing = u64::from(held.objects) - held.last.len() as u64;
        let failed = held.last.values().any(|outcome| *outcome == Outcome::Failed);
        match ending {
            Ending::Finished if missing > 0 => {
                self.end(task, TaskState::Pending)?;
                Err(Refusal::Unfinished(missing))
            }
            Ending::Finished if failed => self.end(task, TaskState::Failed),
            Ending::Finished => self.end(task, TaskState::Succeeded),
            Ending::Returned => self.end(task, TaskState::Pending),
            Ending::Suspended | Ending::Aborted => {
                let job = self.job(&task.job)?;
                if job.state == JobState::Running {
                    job.state = JobState::Paused;
                }
                self.end(task, TaskState::Pending)
            }
            // It knows no time: what waits is due at once.
            Ending::Deferred => self.end(task, TaskState::Pending),
            Ending::Unspecified => Err(Refusal::BadRequest),
        }
    }

    fn end(&mut self, task: &TaskRef, next: TaskState) -> Result<(), Refusal> {
        self.held(task)?.state = next;
        let job = self.job(&task.job)?;
        job.dispatched -= 1;
        if next == TaskState::Pending {
            job.pending.insert(task.number);
        }
        job.advance();
        Ok(())
    }

    fn held(&mut self, task: &TaskRef) -> Result<&mut Task, Refusal> {
        let found = self.jobs.get_mut(&task.job).and_then(|job| job.tasks.get_mut(&task.number));
        found.filter(|found| found.is_held(task)).ok_or(Refusal::LeaseLost)
    }

    fn job(&mut self, name: &str) -> Result<&mut Job, Refusal> {
        self.jobs.get_mut(name).ok_or(Refusal::NoJob)
    }

    /// Is this the session of the tracker that attached last?
    pub fn check(&self, session: u64) -> Result<(), Refusal> {
        if session != 0 && session == self.session { Ok(()) } else { Err(Refusal::OldSession) }
    }
}

// === impl Job, Task ===

impl Job {
    /// A job that runs and has no open task has ended.
    fn advance(&mut self) {
        if self.state != JobState::Running || !self.pending.is_empty() || self.dispatched > 0 {
            return;
        }
        let failed = self.tasks.values().any(|task| task.state == TaskState::Failed);
        self.state = if failed { JobState::Failed } else { JobState::Succeeded };
    }
}

impl Task {
    fn is_held(&self, task: &TaskRef) -> bool {
        self.state == TaskState::Dispatched && self.fence == task.fence && task.round == 1
    }

    /// Arrived or skipped: nothing more is to be done for it.
    pub fn is_done(&self, index: u32) -> bool {
        self.last.get(&index).is_some_and(|outcome| *outcome != Outcome::Failed)
    }

    fn grant(&self, job: &str, number: u32) -> Grant {
        let mut recorded = vec![0u8; (self.objects as usize).div_ceil(8)];
        for index in self.last.keys().filter(|index| self.is_done(**index)) {
            recorded[*index as usize / 8] |= 1 << (index % 8);
        }
        let task = TaskRef { job: job.to_owned(), round: 1, number, fence: self.fence };
        Grant { task: Some(task), attempt: self.attempt, objects: self.objects, recorded, ..Grant::default() }
    }
}
