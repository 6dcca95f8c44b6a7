//! Tells a failure of one object from a failure of everything.
//!
//! Some failures say by their kind that every object would meet them (no such bucket, wrong keys, disk full):
//! the job is to be paused at once. Others may be either: after a run of them on one side, or as soon as an
//! endpoint does not answer at all, the endpoint itself is asked. What it answers decides.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use conf::Endpoint;
use storage::{Destination, Error, ErrorKind, Op, Side, Source, retry};
use tokio::time::Instant;

/// Objects in a row that failed before the endpoint is asked.
const RUN: u32 = 10;
/// Refused objects in a row, without one success ever, after which the answer of the endpoint does not
/// count: its listing may be allowed and its objects not.
const REFUSED: u32 = 100;
/// An answer of the endpoint holds for so long.
const FRESH: Duration = Duration::from_secs(3);
/// While it is open, every object is given back. Then it starts anew, for the job may have been resumed.
const OPEN: Duration = Duration::from_secs(10);

/// Failures in a row at one side.
#[derive(Debug, Default)]
struct Run {
    failed: u32,
    refused: u32,
    ever: bool,
}

/// What a failure calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// It is this object's own.
    Object,
    /// Ask the endpoint.
    Ask,
    /// Everything would fail like it.
    Pause,
}

/// What an object's failure means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Record it as failed.
    Object,
    /// The endpoint did not answer and does now: the object deserves another try.
    Again,
    /// Pause the job with this reason.
    Suspend(String),
}

/// Both sides of one job on this worker.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    runs: [Mutex<Run>; 2],
    asked: [tokio::sync::Mutex<Option<(Instant, Option<Error>)>>; 2],
    open: Mutex<Option<(Instant, String)>>,
}

/// The endpoints that may be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends<'a> {
    /// Where objects come from.
    pub(crate) source: (&'a Endpoint, &'a dyn Source),
    /// Where they go.
    pub(crate) destination: (&'a Endpoint, &'a dyn Destination),
    /// An endpoint that takes longer to answer does not answer.
    pub(crate) timeout: Duration,
}

// === impl Run ===

impl Run {
    fn good(&mut self) {
        *self = Run { ever: true, ..Run::default() };
    }

    fn failed(&mut self, kind: ErrorKind) -> Call {
        match kind {
            kind if retry::is_systemic(kind) => return Call::Pause,
            ErrorKind::Unreachable | ErrorKind::Timeout => return Call::Ask,
            ErrorKind::AccessDenied => {
                self.failed += 1;
                self.refused += 1;
            }
            ErrorKind::ServiceFailure | ErrorKind::Broken | ErrorKind::Throttled | ErrorKind::Protocol => {
                self.failed += 1;
            }
            _ => return Call::Object,
        }
        if self.refused >= REFUSED && !self.ever {
            Call::Pause
        } else if self.failed >= RUN {
            Call::Ask
        } else {
            Call::Object
        }
    }
}

// === impl Breaker ===

impl Breaker {
    /// Something succeeded at this side.
    pub(crate) fn good(&self, side: Side) {
        self.run(side).good();
    }

    /// The reason, while every object is to be given back.
    pub(crate) fn open(&self) -> Option<String> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().filter(|(at, _)| at.elapsed() < OPEN).map(|(_, reason)| reason.clone())
    }

    /// An object failed for good.
    pub(crate) async fn judge(&self, side: Side, error: &Error, ends: Ends<'_>) -> Judgement {
        if let Some(reason) = self.open() {
            return Judgement::Suspend(reason);
        }
        let call = self.run(side).failed(error.kind());
        let found = match call {
            Call::Object => return Judgement::Object,
            Call::Pause => Some(error.clone()),
            Call::Ask => self.ask(side, ends).await,
        };
        match found {
            Some(found) => Judgement::Suspend(self.pause(side, &found, ends)),
            None if matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Timeout) => Judgement::Again,
            None => Judgement::Object,
        }
    }

    fn run(&self, side: Side) -> std::sync::MutexGuard<'_, Run> {
        let [source, destination] = &self.runs;
        let run = if side == Side::Source { source } else { destination };
        run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the endpoint says of itself; the others wait for one who asks.
    async fn ask(&self, side: Side, ends: Ends<'_>) -> Option<Error> {
        let [source, destination] = &self.asked;
        let asked = if side == Side::Source { source } else { destination };
        let mut last = asked.lock().await;
        if let Some((at, answer)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let check = async {
            match side {
                Side::Source => ends.source.1.check().await,
                Side::Destination => ends.destination.1.check().await,
            }
        };
        let answer = match tokio::time::timeout(ends.timeout, check).await {
            Ok(answer) => answer.err(),
            Err(_) => Some(Error::new(ErrorKind::Timeout, Op::Open, "the endpoint does not answer")),
        };
        *last = Some((Instant::now(), answer.clone()));
        answer
    }

    fn pause(&self, side: Side, error: &Error, ends: Ends<'_>) -> String {
        let (name, endpoint) = match side {
            Side::Source => ("source", ends.source.0),
            Side::Destination => ("destination", ends.destination.0),
        };
        let reason = format!(
            "Every object fails at the {name} {}: {error}. {}",
            endpoint.describe(),
            retry::next_step(error.kind())
        );
        tracing::warn!(side = name, error = %error, "the job is to be paused");
        *self.run(side) = Run::default();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = Some((Instant::now(), reason.clone()));
        reason
    }
}

#[cfg(test)]
mod tests;
