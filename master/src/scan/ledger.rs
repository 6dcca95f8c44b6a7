//! What a scan keeps and what it asks of its keeper: the contract between the scan and the master's store.
//!
//! The key space is cut into ranges. A range holds the keys `k` with `after < k <= upto`: the lower bound is
//! what a listing can start after, the upper bound belongs to the range. The ranges of a state are in key
//! order and leave no gap: the first has `after == None`, the last `upto == None`, and every `after` is the
//! `upto` before it. Only the scan reads or changes them; the keeper stores the state as one record
//! ([`ScanState::to_bytes`]) in the same durable step as the tasks that it covers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use proto::ObjectKey;
use proto::manifest::Entry;

/// How far a round's scan has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ScanState {
    /// How the source is listed.
    pub(crate) mode: ScanMode,
    /// In key order, without a gap; empty before the first commit and in the other modes.
    pub(crate) ranges: Vec<RangeState>,
    /// The id of the next range.
    pub(crate) next_range: u32,
    /// The number of the task that was made last; the first of a round is 1.
    pub(crate) last_task: u32,
    /// Lines of the key list that are in tasks.
    pub(crate) lines: u64,
    /// Objects in tasks.
    pub(crate) objects: u64,
    /// Of them, those whose size is not known before they are read.
    pub(crate) unknown: u64,
    /// What tells the list of URLs from another one; with `lines`.
    pub(crate) list_sum: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Left out because they are no objects (sockets, devices, links); after a restart some may count twice.
    pub(crate) special: u64,
    /// The whole source is in tasks.
    pub(crate) done: bool,
    /// What a person should know, each thing once.
    pub(crate) warnings: Vec<String>,
}

/// How the source is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ScanMode {
    /// In parallel over key ranges.
    #[default]
    Ranges,
    /// The service broke the order: one listing of everything, sorted on disk.
    Sorted,
}

/// One slice of the key space: `after < key <= upto`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RangeState {
    /// Never given twice in a round.
    pub(crate) id: u32,
    /// Exclusive; `None`: from the first key.
    pub(crate) after: Option<ObjectKey>,
    /// Inclusive; `None`: to the last key.
    pub(crate) upto: Option<ObjectKey>,
    /// Everything up to it is in tasks.
    pub(crate) at: Option<ObjectKey>,
    /// A key that the listing gave shortly before `at`: a new listing starts after it and must meet `at`.
    pub(crate) back: Option<ObjectKey>,
    /// What the listing gave first after `after`.
    pub(crate) first: Seen,
    /// What it gave first after `upto`: the next range must have seen the same first.
    pub(crate) beyond: Seen,
    /// The border to the range before is checked.
    pub(crate) joined: bool,
    /// Everything in it is in tasks.
    pub(crate) done: bool,
}

/// What a listing gave at a border.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Seen {
    /// Nobody has been there.
    #[default]
    Unknown,
    /// The listing ended.
    End,
    /// This key.
    Key(ObjectKey),
}

/// A task that the scan has cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewTask {
    /// From 1 in each round.
    pub(crate) number: u32,
    /// Its objects, in the order of the manifest.
    pub(crate) entries: Vec<Entry>,
    /// Sum of their sizes.
    pub(crate) bytes: u64,
}

/// One durable step: the manifests first, then tasks and state in one batch.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    /// May be empty: only the state moved on.
    pub(crate) tasks: Vec<NewTask>,
    /// The state that covers them and everything before.
    pub(crate) state: ScanState,
}

/// Keeps what the scan finds.
#[async_trait]
pub(crate) trait Ledger: Send + Sync {
    /// Answers when tasks and state are durable. After an error nothing more is committed: the scan ends.
    /// The scan has one call under way at a time and does not drop it.
    async fn commit(&self, commit: Commit) -> Result<(), LedgerError>;

    /// Every entry that is already in a task of this round, in any order; only the keys are looked at.
    async fn committed(&self) -> Result<BoxStream<'static, Result<Vec<Entry>, LedgerError>>, LedgerError>;

    /// Every entry of the rounds before this one, in any order; only the keys and refusals are looked at.
    async fn earlier(&self) -> Result<BoxStream<'static, Result<Vec<Entry>, LedgerError>>, LedgerError>;

    /// Workers have nothing to do: a small task now is better than a full one later.
    fn idle(&self) -> bool;

    /// A directory for sort runs, this round's alone. It need not exist; the scan makes it and removes it.
    fn scratch(&self) -> PathBuf;
}

/// The keeper cannot keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LedgerError {
    /// State or manifests cannot be written or read.
    #[error("the scan's progress cannot be kept: {0}")]
    Store(String),
    /// The job was removed or cancelled meanwhile.
    #[error("the job is gone")]
    Gone,
}

/// How a scan ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScanEnd {
    /// Everything is in tasks.
    Complete(ScanState),
    /// It was asked to stop; the last committed state is where it goes on.
    Stopped,
}

/// A scan that cannot go on. What is committed stands.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// The source cannot be listed, or does not tell the truth.
    #[error(transparent)]
    Source(#[from] storage::Error),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A file of the master (sort run, key list) cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The list is another one than the one that was begun with.
    #[error("{0}")]
    Changed(String),
    /// A bug, or a sort run that was damaged.
    #[error("the scan failed: {0}")]
    Internal(String),
}

/// Live figures of a scan, also of what is not committed yet.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    objects: AtomicU64,
    bytes: AtomicU64,
    pages: AtomicU64,
}

// === impl Progress ===

impl Progress {
    /// Objects found by this run.
    pub(crate) fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Pages of listings read by this run.
    pub(crate) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    pub(crate) fn add_page(&self) {
        self.pages.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, objects: u64, bytes: u64) {
        self.objects.fetch_add(objects, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
