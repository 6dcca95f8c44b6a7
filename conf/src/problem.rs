//! What is wrong with a file, where, and what to do about it. All of it is collected before anything is said.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong (or only odd) in a file. Displays as `conf/job.toml:12: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named by the caller.
    pub path: PathBuf,
    /// From 1; `None` when it is about the file as a whole.
    pub line: Option<usize>,
    /// What is wrong and what to do. Never holds a secret.
    pub message: String,
    /// Nothing fails by it: it is said beside what is wrong.
    pub odd: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.message),
            None => write!(f, "{}: {}", self.path.display(), self.message),
        }
    }
}

impl std::error::Error for Problem {}

/// A valid value, and what is odd about the file that it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked<T> {
    /// The value.
    pub value: T,
    /// In the order of their lines.
    pub warnings: Vec<Problem>,
}

/// Collects what is found in one file.
#[derive(Debug)]
pub(crate) struct Problems {
    path: PathBuf,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(path: &Path) -> Self {
        Problems { path: path.to_owned(), errors: Vec::new(), warnings: Vec::new() }
    }

    pub(crate) fn error(&mut self, line: Option<usize>, message: impl Into<String>) {
        self.errors.push(Problem { path: self.path.clone(), line, message: message.into(), odd: false });
    }

    pub(crate) fn warn(&mut self, line: Option<usize>, message: impl Into<String>) {
        self.warnings.push(Problem { path: self.path.clone(), line, message: message.into(), odd: true });
    }

    /// The value with the warnings; or every error, and behind them what is odd, so that it need not be found later.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<Checked<T>, Vec<Problem>> {
        self.errors.sort_by_key(|problem| problem.line);
        self.warnings.sort_by_key(|problem| problem.line);
        match value {
            Some(value) if self.errors.is_empty() => Ok(Checked { value, warnings: self.warnings }),
            None if self.errors.is_empty() => {
                self.error(None, "this file cannot be used");
                Err([self.errors, self.warnings].concat())
            }
            _ => Err([self.errors, self.warnings].concat()),
        }
    }
}
