//! The states of jobs and tasks, and the one table of legal transitions.

use std::fmt;
use std::str::FromStr;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// The source is being listed; tasks already run.
    Scanning,
    /// The listing is complete, tasks run.
    Running,
    /// Between two rounds of an incremental job.
    Waiting,
    /// Stopped by the user, or because every request was refused; the reason is kept.
    Paused,
    /// Ended; every object arrived or was skipped.
    Succeeded,
    /// Ended; some objects failed, or the scan did.
    Failed,
    /// Being cleaned.
    Cancelled,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Nobody works on it.
    Pending,
    /// Handed to the tracker under a fence.
    Dispatched,
    /// Every object arrived or was skipped.
    Succeeded,
    /// Every object is recorded and some failed.
    Failed,
}

/// A word that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a state")]
pub struct UnknownState(pub String);

// === impl JobState ===

impl JobState {
    const NAMES: [(JobState, &'static str); 7] = [
        (JobState::Scanning, "scanning"),
        (JobState::Running, "running"),
        (JobState::Waiting, "waiting"),
        (JobState::Paused, "paused"),
        (JobState::Succeeded, "succeeded"),
        (JobState::Failed, "failed"),
        (JobState::Cancelled, "cancelled"),
    ];

    /// The contract's name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }

    /// Nothing more will happen unless somebody asks for it.
    pub fn ended(self) -> bool {
        matches!(self, JobState::Succeeded | JobState::Failed | JobState::Cancelled)
    }

    /// May a job in this state go over to `next`?
    pub fn may_become(self, next: JobState) -> bool {
        use JobState::{Cancelled, Failed, Paused, Running, Scanning, Succeeded, Waiting};
        match (self, next) {
            (Cancelled, _) => false,
            (_, Cancelled) => true,
            (Scanning, Running | Paused | Failed | Succeeded | Waiting) => true,
            (Running, Paused | Failed | Succeeded | Waiting | Scanning) => true,
            (Waiting, Scanning | Paused | Running) => true,
            (Paused, Scanning | Running | Waiting) => true,
            (Succeeded | Failed, Running | Scanning) => true, // retry, or a scan that goes on
            _ => false,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for JobState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, UnknownState> {
        let found = Self::NAMES.iter().find(|(_, name)| *name == word);
        found.map(|(state, _)| *state).ok_or_else(|| UnknownState(word.to_owned()))
    }
}

// === impl TaskState ===

impl TaskState {
    /// The contract's name.
    pub fn name(self) -> &'static str {
        match self {
            TaskState::Pending => "pending",
            TaskState::Dispatched => "dispatched",
            TaskState::Succeeded => "succeeded",
            TaskState::Failed => "failed",
        }
    }

    /// May a task in this state go over to `next`? A lost lease returns it to pending; retry does so with
    /// a failed one.
    pub fn may_become(self, next: TaskState) -> bool {
        use TaskState::{Dispatched, Failed, Pending, Succeeded};
        matches!(
            (self, next),
            (Pending, Dispatched) | (Dispatched, Pending | Succeeded | Failed) | (Failed, Pending)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for (state, name) in JobState::NAMES {
            assert_eq!(name.parse(), Ok(state));
            assert_eq!(state.to_string(), name);
        }
        assert!("done".parse::<JobState>().is_err());
    }

    #[test]
    fn a_cancelled_job_stays_cancelled() {
        for (state, _) in JobState::NAMES {
            assert!(!JobState::Cancelled.may_become(state));
        }
    }

    #[test]
    fn a_succeeded_task_is_never_moved_again() {
        for state in [TaskState::Pending, TaskState::Dispatched, TaskState::Failed] {
            assert!(!TaskState::Succeeded.may_become(state));
        }
    }
}
