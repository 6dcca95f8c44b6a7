//! Everything that the master refuses or cannot do, and what the caller is told.

use std::path::PathBuf;

use proto::JobState;
use tonic::{Code, Status};

/// What failed, where, and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// Another process holds the state.
    #[error(
        "{path}: the state is in use by another process: a master (or an import) already runs on this home; stop it first"
    )]
    InUse {
        /// The sled directory.
        path: PathBuf,
    },
    /// The state cannot be believed. Nothing was changed.
    #[error(
        "{path}: the state is damaged: {what}. Nothing was changed. Restore the master/ directory from a backup, or move it away to start anew"
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// The record of a task cannot be believed.
    #[error(
        "{path}: the audit record of a task is damaged: {what}. Put the file back from a backup, or go on without it (`brigade resume`, `brigade import --resume`): while its task is not settled, the file is set aside and the task's objects are moved and recorded again"
    )]
    DamagedAudit {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// What a task is to move cannot be read.
    #[error(
        "{path}: the manifest of a task is damaged: {what}. Put the file back from a backup and go on (`brigade resume`, `brigade import --resume`), or clean the job and begin it again (`brigade import --restart`): with skip_existing what arrived is not moved again"
    )]
    DamagedManifest {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// Written by a later version.
    #[error("{path}: written by a later version of Brigade ({found}); use that version")]
    Later {
        /// Where.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// A file of the master cannot be written or read.
    #[error("cannot {doing} {path}: {error}{}", storage::retry::mend_file(.error))]
    File {
        /// The verb.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The disk of the state has no room for the copy of it.
    #[error(
        "{path}: there is no room beside the state for the copy of it ({} MiB) that is kept while it is opened: make room there, then do it again; nothing was changed", .bytes.div_ceil(1 << 20)
    )]
    NoRoom {
        /// The sled directory.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The state cannot be written or read.
    #[error(
        "{path}: the state cannot be written or read: {what}. Make room on the disk, or mend it, then go on with `brigade start` (or `brigade import --resume`); nothing that was answered is lost"
    )]
    Store {
        /// The sled directory.
        path: PathBuf,
        /// What the store said.
        what: String,
    },
    /// The listener failed.
    #[error("the master cannot serve: {0}")]
    Serve(String),
    /// A configuration that cannot be read.
    #[error("the job cannot be taken: {0}")]
    BadJob(String),
    /// A request that makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// The name is taken.
    #[error(
        "the job {job} exists ({state}). Retry its failures with `brigade retry {job}`, go on with `brigade resume {job}`, or forget it with `brigade clean {job}` and submit again"
    )]
    Exists {
        /// Its name.
        job: String,
        /// Where it stands.
        state: JobState,
    },
    /// No job of that name.
    #[error("there is no job {job}; `brigade stat` lists those that there are")]
    NoJob {
        /// The name that was asked for.
        job: String,
    },
    /// Not in this state.
    #[error("the job {job} is {state}: {why}")]
    WrongState {
        /// Its name.
        job: String,
        /// Where it stands.
        state: JobState,
        /// What to do instead.
        why: String,
    },
    /// The report comes from somebody who does not hold the task any more.
    #[error("{task} is not leased under the fence {fence}: another holder may have it")]
    LeaseLost {
        /// The task.
        task: String,
        /// What the caller holds.
        fence: u64,
    },
    /// Somebody attached later.
    #[error("another tracker attached after this one: attach again")]
    OldSession,
    /// A task is said to be finished and is not.
    #[error("{task} has {missing} objects without a record: it goes back to the queue")]
    Unfinished {
        /// The task.
        task: String,
        /// How many.
        missing: u64,
    },
    /// The master stops.
    #[error("the master is stopping")]
    Stopping,
}

impl MasterError {
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |error| MasterError::File { doing, path, error }
    }

    /// Something on disk cannot be believed.
    pub(crate) fn is_damage(&self) -> bool {
        use MasterError::{Damaged, DamagedAudit, DamagedManifest, Later};
        matches!(self, Damaged { .. } | DamagedAudit { .. } | DamagedManifest { .. } | Later { .. })
    }
}

impl From<MasterError> for Status {
    fn from(error: MasterError) -> Self {
        let code = match &error {
            MasterError::BadJob(_) | MasterError::BadRequest(_) => Code::InvalidArgument,
            MasterError::Exists { .. } => Code::AlreadyExists,
            MasterError::NoJob { .. } => Code::NotFound,
            MasterError::WrongState { .. }
            | MasterError::LeaseLost { .. }
            | MasterError::OldSession
            | MasterError::Unfinished { .. } => Code::FailedPrecondition,
            MasterError::Damaged { .. }
            | MasterError::DamagedAudit { .. }
            | MasterError::DamagedManifest { .. }
            | MasterError::Later { .. } => Code::DataLoss,
            MasterError::File { .. }
            | MasterError::NoRoom { .. }
            | MasterError::Store { .. }
            | MasterError::Serve(_) => Code::Internal,
            MasterError::InUse { .. } | MasterError::Stopping => Code::Unavailable,
        };
        Status::new(code, error.to_string())
    }
}
