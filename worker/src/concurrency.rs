//! How many objects and parts are in flight: adapts to the two ends of a job.
//!
//! [`Adaptive`] decides and is pure: time is an argument. [`Gate`] hands out that many slots. A small object
//! takes one slot, a multipart object one for itself and one for every further part in flight.
//!
//! The rule is a hill climb in windows. While all slots are taken and more slots bring more work done, the
//! number grows, doubling at first and slowly after the first setback; a step that brought nothing is taken back
//! and tried again later. A service that throttles halves the number at once. Under a limit of bytes or requests
//! the number says nothing about the ends, and all slots may be taken: most of them wait for the limit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

const FIRST: usize = 16;
/// The shortest window; one in which less than a round of slots ended is not judged.
const WINDOW: Duration = Duration::from_secs(1);
/// After a reduction: answers to requests that were sent before it do not count again.
const CALM: Duration = Duration::from_secs(2);
/// After throttling: no growth for so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Windows without a change after which one more slot is tried: the network may have changed.
const RETRY: u32 = 8;
/// What a request costs beside its bytes, so that small and large objects count in one measure.
const REQUEST_BYTES: f64 = 256.0 * 1024.0;
/// A step up has to bring this much to be kept.
const GAIN: f64 = 1.03;
/// In the fast phase windows are shorter by this, the number doubles, and that has to bring more: over a long line
/// small objects reach what the service can do within a second or two.
const FAST: u32 = 4;
/// See [`FAST`].
const FAST_GAIN: f64 = 1.2;

/// The decision. All times are since any fixed moment and never go back.
#[derive(Debug, Clone)]
pub(crate) struct Adaptive {
    limit: usize,
    ceiling: usize,
    /// Nothing went wrong yet: double instead of growing by one tenth.
    fast: bool,
    window: Window,
    /// Work a second in the last judged window, and the limit that it had.
    before: Option<(f64, usize)>,
    still: u32,
    reduced_at: Option<Duration>,
    throttled_at: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    begun: Option<Duration>,
    work: f64,
    ended: usize,
    full: bool,
    held_back: bool,
}

/// Hands out slots, as many as [`Adaptive`] says, in the order in which they are asked for.
#[derive(Debug)]
pub(crate) struct Gate {
    slots: Arc<Semaphore>,
    state: Mutex<State>,
    begun: Instant,
}

#[derive(Debug)]
struct State {
    adaptive: Adaptive,
    /// Slots that are still out but have to vanish when they come back.
    owed: usize,
    taken: usize,
}

/// The right to have one object, or one part, in flight.
#[derive(Debug)]
pub(crate) struct Slot {
    gate: Arc<Gate>,
    permit: Option<OwnedSemaphorePermit>,
}

// === impl Adaptive ===

impl Adaptive {
    /// Never above `ceiling`.
    pub(crate) fn new(ceiling: usize) -> Self {
        let ceiling = ceiling.max(1);
        Adaptive {
            limit: FIRST.min(ceiling),
            ceiling,
            fast: true,
            window: Window::default(),
            before: None,
            still: 0,
            reduced_at: None,
            throttled_at: None,
        }
    }

    /// Slots now.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// All slots are taken: only then does the throughput say anything about their number.
    pub(crate) fn full(&mut self) {
        self.window.full = true;
    }

    /// A limit holds the flow back. What waits for it is no load, and lets it flow evenly.
    pub(crate) fn held_back(&mut self, now: Duration) {
        self.window.held_back = true;
        if self.is_calm(now) {
            self.limit = self.ceiling;
        }
    }

    /// An object or part of `bytes` arrived.
    pub(crate) fn finished(&mut self, now: Duration, bytes: u64) {
        let begun = *self.window.begun.get_or_insert(now);
        self.window.work += bytes as f64 + REQUEST_BYTES;
        self.window.ended += 1;
        let long = now.saturating_sub(begun);
        let window = if self.fast { WINDOW / FAST } else { WINDOW };
        if long >= window && self.window.ended >= self.limit {
            self.judge(now, self.window.work / long.as_secs_f64());
        }
    }

    /// A service asked to slow down.
    pub(crate) fn throttled(&mut self, now: Duration) {
        self.throttled_at = Some(now);
        self.reduce(now, self.limit / 2);
    }

    /// A step took longer than its limit: too much for somebody on the way.
    pub(crate) fn timed_out(&mut self, now: Duration) {
        self.reduce(now, self.limit * 3 / 4);
    }

    fn reduce(&mut self, now: Duration, to: usize) {
        if self.reduced_at.is_some_and(|at| now.saturating_sub(at) < CALM) {
            return;
        }
        self.reduced_at = Some(now);
        self.fast = false;
        self.limit = to.max(1);
        self.before = None;
        self.still = 0;
        self.window = Window::default();
    }

    fn judge(&mut self, now: Duration, rate: f64) {
        let judged = self.window.full && !self.window.held_back;
        self.window = Window { begun: Some(now), ..Window::default() };
        if !judged || !self.is_calm(now) {
            self.before = None;
            return;
        }
        let gain = if self.fast { FAST_GAIN } else { GAIN };
        match self.before {
            None => self.step_up(rate),
            // The last step up, if it was one, paid.
            Some((before, limit)) if self.limit > limit && rate >= before * gain => self.step_up(rate),
            // It did not: fewer slots do as much, with less memory and fewer connections.
            Some((before, limit)) if self.limit > limit => {
                self.fast = false;
                self.limit = limit;
                self.before = Some((before, limit));
            }
            Some(_) => self.hold(rate),
        }
    }

    /// Nobody asked to slow down for a while.
    fn is_calm(&self, now: Duration) -> bool {
        self.throttled_at.is_none_or(|at| now.saturating_sub(at) >= PATIENCE)
    }

    fn step_up(&mut self, rate: f64) {
        self.before = Some((rate, self.limit));
        self.still = 0;
        let step = if self.fast { self.limit } else { self.limit / 10 };
        self.limit = (self.limit + step.max(1)).min(self.ceiling);
    }

    fn hold(&mut self, rate: f64) {
        self.fast = false;
        self.still += 1;
        if self.still >= RETRY {
            self.step_up(rate);
        } else {
            self.before = Some((rate, self.limit));
        }
    }
}

// === impl Gate ===

impl Gate {
    /// Never more than `ceiling` slots.
    pub(crate) fn new(ceiling: usize) -> Arc<Self> {
        let adaptive = Adaptive::new(ceiling);
        Arc::new(Gate {
            slots: Arc::new(Semaphore::new(adaptive.limit())),
            state: Mutex::new(State { adaptive, owed: 0, taken: 0 }),
            begun: Instant::now(),
        })
    }

    /// Waits for a slot.
    pub(crate) async fn enter(self: &Arc<Self>, held_back: bool) -> Slot {
        if held_back {
            self.change(|state, now| state.adaptive.held_back(now));
        }
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = self.slots.clone().acquire_owned().await.ok();
        self.change(|state, _| {
            state.taken += 1;
            if state.taken >= state.adaptive.limit() {
                state.adaptive.full();
            }
        });
        Slot { gate: self.clone(), permit }
    }

    /// Slots now.
    pub(crate) fn limit(&self) -> usize {
        self.change(|state, _| state.adaptive.limit())
    }

    /// An object or part of `bytes` arrived.
    pub(crate) fn finished(&self, bytes: u64) {
        self.change(|state, now| state.adaptive.finished(now, bytes));
    }

    /// A service asked to slow down.
    pub(crate) fn throttled(&self) {
        self.change(|state, now| state.adaptive.throttled(now));
    }

    /// A step took longer than its limit.
    pub(crate) fn timed_out(&self) {
        self.change(|state, now| state.adaptive.timed_out(now));
    }

    /// Changes the state, then makes the number of permits follow the limit.
    fn change<T>(&self, change: impl FnOnce(&mut State, Duration) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.adaptive.limit();
        let answer = change(&mut state, self.begun.elapsed());
        let after = state.adaptive.limit();
        if after > before {
            let more = after - before;
            let paid = more.min(state.owed);
            state.owed -= paid;
            self.slots.add_permits(more - paid);
        } else if after < before {
            let less = before - after;
            state.owed += less - self.slots.forget_permits(less);
        }
        answer
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let permit = self.permit.take();
        self.gate.change(|state, _| {
            state.taken = state.taken.saturating_sub(1);
            if state.owed > 0 {
                state.owed -= 1;
                if let Some(permit) = permit {
                    permit.forget();
                }
            }
        });
    }
}

#[cfg(test)]
mod tests;
