//! The exit codes, and failures that carry one.

use std::fmt;
use std::process::ExitCode;

/// How a command ended; scripts rely on the numbers (`docs/operations.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failure.
    Failure = 1,
    /// Usage or configuration error: nothing was started.
    Usage = 2,
    /// The job ended and some objects failed.
    ObjectsFailed = 3,
    /// The service is not reachable.
    Unreachable = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// A command that failed: what happened, and what to do next.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

/// The result of a command.
pub(crate) type Outcome = Result<Exit, Failure>;

impl Failure {
    /// With exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Failure { exit: Exit::Failure, message: message.into() }
    }

    /// With exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure { exit: Exit::Usage, message: message.into() }
    }

    /// With exit code 4.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Failure { exit: Exit::Unreachable, message: message.into() }
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let mend = storage::retry::mend_file(error);
        Failure::new(format!("cannot {doing} {}: {error}{mend}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
