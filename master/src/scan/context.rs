//! What every part of a scan holds: both ends, the rules for leaving objects out, warnings, patience.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conf::JobConf;
use conf::job::JobKind;
use proto::manifest::Entry;
use storage::Source;
use storage::retry::{Decision, Policy};
use tokio::time::Instant;

use super::ledger::{Progress, ScanError};

/// So many different warnings are kept; the rest is in the log.
const WARNINGS: usize = 50;

/// Shared by listers, sorter and committer.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) source: Arc<dyn Source>,
    /// The destination's listing.
    pub(crate) existing: Option<Arc<dyn Source>>,
    pub(crate) filter: Filter,
    pub(crate) policy: Policy,
    /// In an audit "not there" would be a verdict: the worker asks again.
    pub(crate) trust_absent: bool,
    pub(crate) progress: Arc<Progress>,
    pub(crate) warnings: Warnings,
}

/// What is left out of the round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter {
    /// Unix milliseconds; 0 = all.
    since_ms: i64,
    markers: bool,
}

/// Things that a person should know, each once.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<Vec<String>>);

/// Retries of one thing. Attempts begin anew after success.
#[derive(Debug)]
pub(crate) struct Patience {
    policy: Policy,
    failures: u32,
    throttled: Duration,
}

/// Why a part of the scan ended before its end.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The source broke the order; the text says how.
    Disorder(String),
    /// It cannot go on.
    Failed(ScanError),
    /// Somebody else ended the scan.
    Stopped,
}

// === impl Context ===

impl Context {
    pub(crate) fn new(
        job: &JobConf,
        source: Arc<dyn Source>,
        existing: Option<Arc<dyn Source>>,
        progress: Arc<Progress>,
        warnings: Vec<String>,
    ) -> Self {
        Context {
            source,
            existing,
            filter: Filter {
                since_ms: job.since.saturating_mul(1000),
                markers: job.transfer.directory_markers,
            },
            policy: Policy::new(job.transfer.retries.max(1), job.transfer.patience),
            trust_absent: job.kind != JobKind::Audit,
            progress,
            warnings: Warnings(Mutex::new(warnings)),
        }
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience { policy: self.policy, failures: 0, throttled: Duration::ZERO }
    }
}

// === impl Filter ===

impl Filter {
    /// Does the object belong to the round? An unknown time does.
    pub(crate) fn keeps(&self, entry: &Entry) -> bool {
        let old = self.since_ms > 0 && entry.modified_ms.is_some_and(|at| at < self.since_ms);
        let marker = !self.markers && entry.size == 0 && !entry.size_unknown && entry.key.is_marker();
        !old && !marker
    }
}

// === impl Warnings ===

impl Warnings {
    pub(crate) fn add(&self, warning: String) {
        let mut warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.contains(&warning) {
            return;
        }
        tracing::warn!("{warning}");
        if warnings.len() < WARNINGS {
            warnings.push(warning);
        }
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

// === impl Patience ===

impl Patience {
    /// After a failure: waits until the next attempt, or gives the error back.
    pub(crate) async fn wait(&mut self, error: storage::Error) -> Result<(), storage::Error> {
        self.failures += 1;
        match self.policy.decide(&error, self.failures, self.throttled) {
            Decision::GiveUp => Err(error),
            Decision::Retry(pause) => {
                tracing::debug!(%error, ?pause, "a listing is tried again");
                let begun = Instant::now();
                tokio::time::sleep(pause).await;
                if error.kind() == storage::ErrorKind::Throttled {
                    // The policy counts the time, not the attempt.
                    self.failures -= 1;
                    self.throttled += begun.elapsed().max(Duration::from_millis(1));
                }
                Ok(())
            }
        }
    }

    /// For another thing.
    pub(crate) fn anew(&self) -> Self {
        Patience { policy: self.policy, failures: 0, throttled: Duration::ZERO }
    }

    /// It went on.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
        self.throttled = Duration::ZERO;
    }
}

// === impl Halt ===

impl<E: Into<ScanError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Halt::Failed(error.into())
    }
}
