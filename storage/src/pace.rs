//! One flow that is held to a rate: bytes or requests a second, changeable while it runs.
//!
//! The rate holds over every span of time, not on the average: a bucket of a tenth of a second begins empty, also
//! after each change, so that in any ten seconds at most 1 % more than the rate passes. It is given in slices of a
//! twentieth of a second, so that a changed rate is felt at once: one slice to what began first, the next to what has
//! the least left, and so on. One large body after the other ends, instead of all of them late, and small objects do
//! not queue up behind them; what its turn has not come for is not asked for yet.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Seconds of the rate that may pass at once.
const BURST_S: f64 = 0.1;
/// More cells a second would make the limiter's whole nanoseconds inexact.
const CELLS_PER_S: f64 = 1_000_000.0;
/// A closed pace looks again after this long; a change wakes it before.
const CLOSED: Duration = Duration::from_secs(3600);

/// One flow.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// There is a bucket: asked for at each request and chunk.
    limited: AtomicBool,
    bucket: RwLock<Option<Arc<Bucket>>>,
    changed: Notify,
    line: Mutex<Line>,
}

/// A body that passes in slices: when it began, and how much of it has not passed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    began: u64,
    /// To be kept true by whoever passes.
    pub(crate) left: u64,
}

/// Who waits for a slice.
#[derive(Debug, Default)]
struct Line {
    /// By when they began: what they have left, and their bells.
    waiting: BTreeMap<u64, (u64, Arc<Notify>)>,
    /// Whose slice the next one is.
    chosen: Option<u64>,
    /// It goes to the one with the least left.
    least: bool,
}

/// A place in the line.
struct Place<'a> {
    pace: &'a Pace,
    began: u64,
    bell: Arc<Notify>,
}

#[derive(Debug)]
struct Bucket {
    per_s: f64,
    /// What one cell of the limiter stands for.
    unit: u64,
    /// The most cells that may pass at once.
    burst: NonZeroU32,
    /// `None`: nothing passes.
    limiter: Option<RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>>,
}

/// The runtime's clock, so that tests can hold it.
#[derive(Debug, Clone)]
struct TokioClock(Instant);

// === impl Pace ===

impl Pace {
    /// A new rate; `None`: everything passes, 0: nothing. The same one again changes nothing.
    pub(crate) fn set(&self, per_s: Option<f64>) {
        let mut bucket = self.bucket.write().unwrap_or_else(PoisonError::into_inner);
        if bucket.as_ref().map(|bucket| bucket.per_s) == per_s {
            return;
        }
        *bucket = per_s.map(|per_s| Arc::new(Bucket::new(per_s)));
        self.limited.store(bucket.is_some(), Ordering::Relaxed);
        drop(bucket);
        self.changed.notify_waiters();
    }

    /// Is anything held back?
    pub(crate) fn limited(&self) -> bool {
        self.limited.load(Ordering::Relaxed)
    }

    /// So many a second; `None`: any number.
    pub(crate) fn per_s(&self) -> Option<f64> {
        self.bucket().map(|bucket| bucket.per_s)
    }

    fn bucket(&self) -> Option<Arc<Bucket>> {
        self.bucket.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `n` may pass.
    ///
    /// # Cancellation
    /// What was granted before is used up: less passes, never more.
    pub(crate) async fn pass(&self, turn: Turn, n: u64) {
        let mut left = n;
        while left > 0 && self.limited() {
            let place = Place::take(self, turn);
            place.chosen().await;
            left -= self.slice(left).await;
        }
    }

    /// Waits for the next slice of `most`; says how large it is.
    async fn slice(&self, most: u64) -> u64 {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let Some(bucket) = self.bucket() else { return most };
            let slice = most.min(bucket.slice());
            let Some(pause) = bucket.take(slice) else { return slice };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = changed => {}
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Turn, Line, Place ===

impl Turn {
    /// Of `left` in all, after everything that began before.
    pub(crate) fn of(left: u64) -> Turn {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Turn { began: NEXT.fetch_add(1, Ordering::Relaxed), left }
    }
}

impl Line {
    fn choose(&mut self) {
        self.least = !self.least;
        let first = || self.waiting.iter().next();
        let least = || self.waiting.iter().min_by_key(|(_, (left, _))| *left);
        let next = if self.least { least() } else { first() };
        self.chosen = next.map(|(began, (_, bell))| {
            bell.notify_one();
            *began
        });
    }
}

impl<'a> Place<'a> {
    fn take(pace: &'a Pace, turn: Turn) -> Self {
        let bell = Arc::new(Notify::new());
        let mut line = pace.line();
        line.waiting.insert(turn.began, (turn.left, bell.clone()));
        if line.chosen.is_none() {
            line.choose();
        }
        Place { pace, began: turn.began, bell }
    }

    /// Waits until the next slice is this one's.
    async fn chosen(&self) {
        while self.pace.line().chosen != Some(self.began) {
            self.bell.notified().await;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut line = self.pace.line();
        line.waiting.remove(&self.began);
        if line.chosen == Some(self.began) {
            line.choose();
        }
    }
}

// === impl Bucket ===

impl Bucket {
    fn new(per_s: f64) -> Self {
        let unit = (per_s / CELLS_PER_S).ceil().max(1.0);
        let cells_per_s = per_s / unit;
        let burst = NonZeroU32::new((cells_per_s * BURST_S) as u32).unwrap_or(NonZeroU32::MIN);
        let quota = Duration::try_from_secs_f64(1.0 / cells_per_s).ok().and_then(Quota::with_period);
        let limiter = quota.filter(|_| per_s > 0.0).map(|quota| {
            let limiter =
                RateLimiter::direct_with_clock(quota.allow_burst(burst), TokioClock(Instant::now()));
            // It is born full.
            let _ = limiter.check_n(burst);
            limiter
        });
        Bucket { per_s, unit: unit as u64, burst, limiter }
    }

    /// The most that is taken at once: half of what the bucket holds, so that it does not run over meanwhile.
    fn slice(&self) -> u64 {
        u64::from((self.burst.get() / 2).max(1)) * self.unit
    }

    /// Takes `n`, or says when to ask again.
    fn take(&self, n: u64) -> Option<Duration> {
        let Some(limiter) = &self.limiter else { return Some(CLOSED) };
        let cells = u32::try_from(n.div_ceil(self.unit)).unwrap_or(u32::MAX);
        let cells = NonZeroU32::new(cells).unwrap_or(NonZeroU32::MIN).min(self.burst);
        match limiter.check_n(cells) {
            Ok(Err(early)) => Some(early.wait_time_from(limiter.clock().now())),
            // More than the bucket holds is ruled out by the line above.
            Ok(Ok(())) | Err(_) => None,
        }
    }
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests;
