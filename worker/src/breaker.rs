//! Tells a failure of one object from a failure of everything.
//!
//! Some failures say by their kind that every object would meet them (no such bucket, wrong keys, disk full):
//! the job is to be paused at once. Refusals may be either: the endpoint itself is asked, for the first one already,
//! because what was withdrawn from the job (a right, an account) is no object's fault. Broken connections and failing
//! services are the object's own only while others get through; when nobody does, objects are tried again until the
//! outage has lasted too long, and then the job is paused too.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use conf::Endpoint;
use storage::{Destination, Error, ErrorKind, Op, Side, Source, retry};
use tokio::time::Instant;

/// So many objects in a row were refused, and nothing gets through: the answer of the endpoint does not count, for its listing may
/// work and its objects not.
const ALL: u32 = 100;
/// Attempts in a row, of any objects, that broke: the service is in trouble, not an object.
const TROUBLE: u32 = 8;
/// Trouble is remembered for so long: an object that was hit at its end is not blamed for it.
const MEMORY: Duration = Duration::from_secs(10);
/// An endpoint that never was there may be away for so long before the job is paused: it is more likely wrong
/// than away. One that was there is waited for as long as the job says.
const OUTAGE: Duration = Duration::from_secs(20);
/// How often an object is tried again, with all its retries, when a service in trouble answers when asked.
const ROUNDS: u32 = 3;
/// An answer of the endpoint holds for so long.
const FRESH: Duration = Duration::from_secs(3);
/// While it is open, every object is given back. Then it starts anew, for the job may have been resumed.
const OPEN: Duration = Duration::from_secs(10);

/// What happened at one side since something succeeded there.
#[derive(Debug, Default)]
struct Run {
    /// Objects that were refused.
    refused: u32,
    /// Attempts that broke, and when the first of them did.
    broken: u32,
    since: Option<Instant>,
    /// Since when the service has asked everybody to slow down.
    throttled: Option<Instant>,
    /// When the service was last seen in trouble.
    trouble: Option<Instant>,
    /// Something succeeded at some time.
    ever: bool,
}

/// What an object's failure means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Record it as failed.
    Object,
    /// The service is or was in trouble: the object deserves another try, a moment later.
    Again,
    /// Pause the job with this reason.
    Suspend(String),
}

/// Both sides of one job on this worker.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    runs: [Mutex<Run>; 2],
    asked: [tokio::sync::Mutex<Option<Answer>>; 2],
    open: Mutex<Option<(Instant, String)>>,
}

/// When an endpoint was asked, and what it said against itself.
type Answer = (Instant, Option<Error>);

/// The endpoints that may be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends<'a> {
    /// Where objects come from.
    pub(crate) source: (&'a Endpoint, &'a dyn Source),
    /// Where they go.
    pub(crate) destination: (&'a Endpoint, &'a dyn Destination),
    /// An endpoint that takes longer to answer does not answer.
    pub(crate) timeout: Duration,
    /// An endpoint that was there may be away, or throttle everybody, for so long.
    pub(crate) patience: Duration,
}

// === impl Run ===

impl Run {
    fn good(&mut self) {
        *self = Run { ever: true, trouble: self.trouble, ..Run::default() };
    }

    fn broke(&mut self) {
        let now = Instant::now();
        self.broken += 1;
        self.since.get_or_insert(now);
        if self.broken >= TROUBLE {
            self.trouble = Some(now);
        }
    }

    fn in_trouble(&self) -> bool {
        self.trouble.is_some_and(|at| at.elapsed() < MEMORY)
    }

    /// Nothing got through for so long.
    fn broken_for(&self, long: Duration) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= long)
    }

    fn throttled_for(&self, long: Duration) -> bool {
        self.throttled.is_some_and(|since| since.elapsed() >= long)
    }
}

// === impl Breaker ===

impl Breaker {
    /// Something succeeded at this side.
    pub(crate) fn good(&self, side: Side) {
        self.run(side).good();
    }

    /// One attempt failed at this side.
    pub(crate) fn bad(&self, side: Side, kind: ErrorKind) {
        if retry::is_transient(kind) {
            self.run(side).broke();
        } else if kind == ErrorKind::Throttled {
            self.run(side).throttled.get_or_insert_with(Instant::now);
        }
    }

    /// The reason, while every object is to be given back.
    pub(crate) fn open(&self) -> Option<String> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().filter(|(at, _)| at.elapsed() < OPEN).map(|(_, reason)| reason.clone())
    }

    /// An object failed, with all its retries, for the `round`th time (from 1).
    pub(crate) async fn judge(&self, side: Side, error: &Error, round: u32, ends: Ends<'_>) -> Judgement {
        if let Some(reason) = self.open() {
            return Judgement::Suspend(reason);
        }
        match error.kind() {
            // Where the endpoint takes these keys, something on the way rewrites this one name.
            ErrorKind::BadCredentials
                if matches!(error.code(), "SignatureDoesNotMatch" | "AuthenticationFailed") =>
            {
                match self.ask(side, ends).await {
                    Some(answer) => self.pause(side, &answer, ends),
                    None => Judgement::Object,
                }
            }
            kind if retry::is_systemic(kind) => self.pause(side, error, ends),
            kind if retry::is_transient(kind) => self.judge_transient(side, error, round, ends).await,
            // A disk that fails, like a refusal, may be one file's trouble or everybody's.
            ErrorKind::AccessDenied | ErrorKind::Throttled | ErrorKind::Io => {
                self.judge_refused(side, error, ends).await
            }
            _ => Judgement::Object,
        }
    }

    async fn judge_transient(&self, side: Side, error: &Error, round: u32, ends: Ends<'_>) -> Judgement {
        let trouble = self.run(side).in_trouble();
        if !trouble && !matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Timeout) {
            return Judgement::Object;
        }
        let answer = self.ask(side, ends).await;
        let (all, long, gone) = {
            let run = self.run(side);
            let away = if run.ever { ends.patience } else { ends.patience.min(OUTAGE) };
            (run.broken >= ALL, run.broken_for(OUTAGE), run.broken_for(away))
        };
        match answer {
            Some(answer) if gone => self.pause(side, &answer, ends),
            Some(_) => Judgement::Again,
            None if all && long => self.pause(side, error, ends),
            None if trouble && round < ROUNDS => Judgement::Again,
            None => Judgement::Object,
        }
    }

    async fn judge_refused(&self, side: Side, error: &Error, ends: Ends<'_>) -> Judgement {
        let (refused, ever, throttled) = {
            let mut run = self.run(side);
            run.refused += 1;
            (run.refused, run.ever, run.throttled_for(ends.patience))
        };
        if throttled || refused >= ALL && !ever {
            return self.pause(side, error, ends);
        }
        match self.ask(side, ends).await {
            Some(answer) => self.pause(side, &answer, ends),
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

    fn pause(&self, side: Side, error: &Error, ends: Ends<'_>) -> Judgement {
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
        Judgement::Suspend(reason)
    }
}

#[cfg(test)]
mod tests;
