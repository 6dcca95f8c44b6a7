//! What the state keeps, and the envelope of each record: a version byte, the CRC-32C of key and body, the
//! body in protobuf. See `docs/formats.md`.

use prost::Message;
use proto::{JobState, TaskState};

use super::keys::Key;
use super::tally::Tally;

const VERSION: u8 = 1;
const HEAD: usize = 5;

/// What the whole state has one of.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Meta {
    /// The next number that is never given twice: fences, sessions, revisions.
    #[prost(uint64, tag = "1")]
    pub(crate) next_number: u64,
    /// How many job records there are.
    #[prost(uint64, tag = "2")]
    pub(crate) jobs: u64,
    #[prost(int64, tag = "3")]
    pub(crate) created_ms: i64,
    /// The cluster's ceilings, where they were changed while it ran.
    #[prost(uint64, optional, tag = "4")]
    pub(crate) bytes_per_s: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub(crate) requests_per_s: Option<u64>,
}

/// Written with every commit.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Steps {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
}

/// A job, without its configuration.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct JobRecord {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// "import" or "audit".
    #[prost(string, tag = "2")]
    pub(crate) kind: String,
    /// A name of `JobState`.
    #[prost(string, tag = "3")]
    pub(crate) state: String,
    #[prost(string, tag = "4")]
    pub(crate) reason: String,
    /// The current round.
    #[prost(uint32, tag = "5")]
    pub(crate) round: u32,
    #[prost(int64, tag = "6")]
    pub(crate) started_ms: i64,
    /// 0: not yet.
    #[prost(int64, tag = "7")]
    pub(crate) finished_ms: i64,
    #[prost(int32, tag = "8")]
    pub(crate) priority: i32,
    #[prost(uint64, tag = "9")]
    pub(crate) bytes_per_s: u64,
    #[prost(uint64, tag = "10")]
    pub(crate) requests_per_s: u64,
    /// Of the configuration as workers see it; never given twice.
    #[prost(uint64, tag = "11")]
    pub(crate) revision: u64,
    /// For people, without secrets.
    #[prost(string, tag = "12")]
    pub(crate) source: String,
    #[prost(string, tag = "13")]
    pub(crate) destination: String,
    /// Tasks by state.
    #[prost(uint64, tag = "14")]
    pub(crate) pending: u64,
    #[prost(uint64, tag = "15")]
    pub(crate) dispatched: u64,
    #[prost(uint64, tag = "16")]
    pub(crate) succeeded: u64,
    #[prost(uint64, tag = "17")]
    pub(crate) failed: u64,
    /// Objects in all tasks, and their bytes.
    #[prost(uint64, tag = "18")]
    pub(crate) objects: u64,
    #[prost(uint64, tag = "19")]
    pub(crate) bytes: u64,
    /// Sum over the settled tasks.
    #[prost(message, optional, tag = "20")]
    pub(crate) totals: Option<Tally>,
    /// Things that are no objects, of the rounds before.
    #[prost(uint64, tag = "21")]
    pub(crate) past_special: u64,
    #[prost(bool, tag = "22")]
    pub(crate) incremental: bool,
    #[prost(int64, tag = "23")]
    pub(crate) interval_ms: i64,
    /// Never given twice: tells this life of the name from another.
    #[prost(uint64, tag = "24")]
    pub(crate) life: u64,
    /// `clean` was told to leave unfinished uploads alone.
    #[prost(bool, tag = "25")]
    pub(crate) keep_uploads: bool,
    /// A holder of one of its tasks was lost: it may have left temporary files at a local destination.
    #[prost(bool, tag = "26")]
    pub(crate) untidy: bool,
}

/// One pass over the source.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RoundRecord {
    #[prost(uint32, tag = "1")]
    pub(crate) number: u32,
    #[prost(int64, tag = "2")]
    pub(crate) started_ms: i64,
    /// `ScanState::to_bytes`.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) scan: Vec<u8>,
    /// The listing ended well and everything is in tasks.
    #[prost(bool, tag = "4")]
    pub(crate) done: bool,
    #[prost(uint64, tag = "5")]
    pub(crate) special: u64,
    #[prost(bool, tag = "6")]
    pub(crate) sorted: bool,
    #[prost(string, repeated, tag = "7")]
    pub(crate) warnings: Vec<String>,
    /// Objects whose size is not known before they are read.
    #[prost(uint64, tag = "8")]
    pub(crate) unknown: u64,
}

/// A task. Small: there may be a million.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TaskRecord {
    #[prost(uint32, tag = "1")]
    state: u32,
    /// How often it was handed out.
    #[prost(uint32, tag = "2")]
    pub(crate) attempt: u32,
    /// Of the last hand-out.
    #[prost(uint64, tag = "3")]
    pub(crate) fence: u64,
    #[prost(uint32, tag = "4")]
    pub(crate) objects: u32,
    #[prost(uint64, tag = "5")]
    pub(crate) bytes: u64,
    /// Of a settled task.
    #[prost(message, optional, tag = "6")]
    pub(crate) tally: Option<Tally>,
    /// Audit records of a settled task.
    #[prost(uint32, tag = "7")]
    pub(crate) records: u32,
    /// Failures among the first so many audit records count no more: they were retried.
    #[prost(uint32, tag = "8")]
    pub(crate) void: u32,
    /// Objects that wait for a restore at the source, as its last holder left it.
    #[prost(uint32, tag = "9")]
    pub(crate) waiting: u32,
    /// Since when; 0: none waits.
    #[prost(int64, tag = "10")]
    pub(crate) waiting_since_ms: i64,
    /// It is handed out again then; 0: at once.
    #[prost(int64, tag = "11")]
    pub(crate) wake_ms: i64,
}

/// A job's configuration, sealed.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sealed {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) bytes: Vec<u8>,
}

/// A record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadRecord {
    /// Its bytes are not those that were written.
    Damaged,
    /// Of a version that this program does not know.
    Later(u8),
}

/// The stored form.
pub(crate) fn write(key: &Key, record: &impl Message) -> Vec<u8> {
    let body = record.encode_to_vec();
    let mut bytes = vec![VERSION];
    bytes.extend(sum(key, &body).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Reads what `write` wrote under the same key.
pub(crate) fn read<R: Message + Default>(key: &Key, bytes: &[u8]) -> Result<R, BadRecord> {
    let (head, body) = bytes.split_at_checked(HEAD).ok_or(BadRecord::Damaged)?;
    let (version, crc) = head.split_first().ok_or(BadRecord::Damaged)?;
    if *version != VERSION {
        return Err(BadRecord::Later(*version));
    }
    if crc != sum(key, body).to_le_bytes() {
        return Err(BadRecord::Damaged);
    }
    migrate(*version, body).ok_or(BadRecord::Damaged)
}

/// From the form of `version` to today's. There is one form so far.
fn migrate<R: Message + Default>(version: u8, body: &[u8]) -> Option<R> {
    match version {
        VERSION => R::decode(body).ok(),
        _ => None,
    }
}

fn sum(key: &Key, body: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&key.0);
    digest.update(body);
    digest.finalize() as u32
}

// === impl JobRecord, TaskRecord ===

impl JobRecord {
    /// Where it stands; an unknown word counts as paused, which loses nothing.
    pub(crate) fn state(&self) -> JobState {
        self.state.parse().unwrap_or(JobState::Paused)
    }

    /// Of the settled tasks.
    pub(crate) fn totals(&self) -> Tally {
        self.totals.clone().unwrap_or_default()
    }

    /// Tasks in one state.
    pub(crate) fn count(&mut self, state: TaskState) -> &mut u64 {
        match state {
            TaskState::Pending => &mut self.pending,
            TaskState::Dispatched => &mut self.dispatched,
            TaskState::Succeeded => &mut self.succeeded,
            TaskState::Failed => &mut self.failed,
        }
    }

    /// Moves one task from one count to the other.
    pub(crate) fn moved(&mut self, from: TaskState, to: TaskState) {
        let count = self.count(from);
        *count = count.saturating_sub(1);
        *self.count(to) += 1;
    }
}

impl TaskRecord {
    /// A task that nobody has seen yet.
    pub(crate) fn new(objects: u32, bytes: u64) -> Self {
        TaskRecord { objects, bytes, ..TaskRecord::default() }
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> TaskState {
        match self.state {
            1 => TaskState::Dispatched,
            2 => TaskState::Succeeded,
            3 => TaskState::Failed,
            _ => TaskState::Pending,
        }
    }

    /// Goes over to another state; `false` where that is not allowed.
    pub(crate) fn go(&mut self, next: TaskState) -> bool {
        let legal = self.state().may_become(next);
        if legal {
            self.state = match next {
                TaskState::Pending => 0,
                TaskState::Dispatched => 1,
                TaskState::Succeeded => 2,
                TaskState::Failed => 3,
            };
        }
        legal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::keys;

    #[test]
    fn a_record_is_read_only_under_its_own_key_and_unchanged() {
        let record = TaskRecord::new(7, 9);
        let key = keys::job("jobs");
        let bytes = write(&key, &record);
        assert_eq!(read::<TaskRecord>(&key, &bytes), Ok(record));
        assert_eq!(read::<TaskRecord>(&keys::job("other"), &bytes), Err(BadRecord::Damaged));
        for at in 1..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(read::<TaskRecord>(&key, &changed), Err(BadRecord::Damaged), "{at}");
        }
        let mut later = bytes.clone();
        later[0] += 1;
        assert_eq!(read::<TaskRecord>(&key, &later), Err(BadRecord::Later(2)));
    }
}
