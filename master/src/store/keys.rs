//! The keys of the state's one tree. A job's name ends with a zero byte, which no name contains; numbers are
//! big-endian, so that records lie in the order of rounds and tasks.

use proto::TaskId;

/// Where a record lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(pub(super) Vec<u8>);

/// All keys that begin alike.
#[derive(Debug, Clone)]
pub(crate) struct Prefix(pub(super) Vec<u8>);

fn key(kind: u8, job: &str, numbers: &[u32]) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(job.as_bytes());
    key.push(0);
    for number in numbers {
        key.extend(number.to_be_bytes());
    }
    key
}

/// The one record of the whole state.
pub(crate) fn meta() -> Key {
    Key(vec![b'm'])
}

/// The number of the last commit.
pub(crate) fn steps() -> Key {
    Key(vec![b's'])
}

/// A job.
pub(crate) fn job(name: &str) -> Key {
    Key(key(b'j', name, &[]))
}

/// All jobs.
pub(crate) fn jobs() -> Prefix {
    Prefix(vec![b'j'])
}

/// A job's sealed configuration.
pub(crate) fn conf(name: &str) -> Key {
    Key(key(b'c', name, &[]))
}

/// A round.
pub(crate) fn round(name: &str, number: u32) -> Key {
    Key(key(b'r', name, &[number]))
}

/// A task.
pub(crate) fn task(id: &TaskId) -> Key {
    Key(key(b't', id.job.as_str(), &[id.round, id.number]))
}

/// All tasks of a job.
pub(crate) fn tasks(name: &str) -> Prefix {
    Prefix(key(b't', name, &[]))
}

/// A multipart upload that is under way.
pub(crate) fn upload(id: &TaskId, index: u32) -> Key {
    Key(key(b'u', id.job.as_str(), &[id.round, id.number, index]))
}

/// All uploads of a task.
pub(crate) fn task_uploads(id: &TaskId) -> Prefix {
    Prefix(key(b'u', id.job.as_str(), &[id.round, id.number]))
}

/// All uploads of a job.
pub(crate) fn uploads(name: &str) -> Prefix {
    Prefix(key(b'u', name, &[]))
}

/// Everything that belongs to a job, but its own record; in the order in which it is deleted: the
/// configuration last, because uploads cannot be aborted without it.
pub(crate) fn parts_of(name: &str) -> [Prefix; 4] {
    [b'u', b't', b'r', b'c'].map(|kind| Prefix(key(kind, name, &[])))
}

impl Key {
    /// The round and number at the end of a task's key.
    pub(crate) fn task_numbers(&self) -> Option<(u32, u32)> {
        let (_, tail) = self.0.split_last_chunk::<8>()?;
        let [a, b, c, d, e, f, g, h] = *tail;
        Some((u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])))
    }

    /// For messages.
    pub(crate) fn to_text(&self) -> String {
        proto::ObjectKey::new(self.0.clone()).to_line()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tasks_of_a_job_are_not_those_of_one_whose_name_begins_alike() {
        let id = TaskId { job: "jobs-2".parse().unwrap(), round: 1, number: 2 };
        assert!(!task(&id).0.starts_with(&tasks("jobs").0));
        assert!(task(&id).0.starts_with(&tasks("jobs-2").0));
        assert_eq!(task(&id).task_numbers(), Some((1, 2)));
    }

    #[test]
    fn tasks_lie_in_the_order_of_their_numbers() {
        let key = |round, number| task(&TaskId { job: "jobs".parse().unwrap(), round, number }).0;
        assert!(key(1, 255) < key(1, 256) && key(1, u32::MAX) < key(2, 1));
    }
}
