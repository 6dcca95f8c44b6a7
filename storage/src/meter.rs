//! Counts requests by kind and bytes, and holds them back to the limits, which may change while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::pace::{Pace, Turn};

/// What kernel and connection take of a body before anybody reads it: paid for before it is asked for.
const AHEAD: u64 = 256 << 10;
/// The same as seconds of the rate, where that is less.
const AHEAD_S: f64 = 0.1;
/// Bytes that are sent are paid for in pieces of so many seconds of the rate.
const SLICE_S: f64 = 0.05;

/// Which end of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Where objects come from.
    Source,
    /// Where they go.
    Destination,
}

/// What a request is for, as it is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// A page of a listing (objects, parts or uploads).
    List,
    /// Metadata of one object.
    Head,
    /// Bytes of one object.
    Get,
    /// One object written.
    Put,
    /// A part written.
    Part,
    /// Begin, complete or abort of a multipart upload.
    Multipart,
    /// A copy inside the service.
    Copy,
    /// A deletion.
    Delete,
    /// An archived object asked for.
    Restore,
    /// The tags of one object.
    Tags,
    /// The access list of one object.
    Acl,
    /// A link read or written.
    Link,
}

/// What one end of one job costs. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Meter {
    inner: Arc<Inner>,
    limits: Arc<RateLimits>,
}

#[derive(Debug, Default)]
struct Inner {
    counts: [Count; RequestKind::ALL.len()],
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Count {
    requests: AtomicU64,
    errors: AtomicU64,
    throttled: AtomicU64,
}

/// The body of one object on its way in. It is paid for a little before it is read, because what was asked for
/// comes, whether it is read or not.
#[derive(Debug)]
pub(crate) struct Arriving {
    meter: Meter,
    turn: Turn,
    /// As it is expected.
    len: u64,
    ahead: u64,
    read: u64,
    paid: u64,
}

/// Ceilings that both ends of a job share: requests/s of both together, bytes/s of what is read and of what is
/// written. Changeable while it runs.
#[derive(Debug, Default)]
pub struct RateLimits {
    read: Pace,
    written: Pace,
    requests: Pace,
    /// What passes here has to pass there as well.
    above: Option<Arc<RateLimits>>,
    waited_us: AtomicU64,
}

/// One line of the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCount {
    /// Of what kind.
    pub kind: RequestKind,
    /// Sent.
    pub requests: u64,
    /// Answered with a failure, or not at all.
    pub errors: u64,
    /// Of the failures: asked to slow down.
    pub throttled: u64,
}

// === impl RequestKind ===

impl RequestKind {
    /// In the order in which they are shown.
    pub const ALL: [RequestKind; 12] = [
        RequestKind::List,
        RequestKind::Head,
        RequestKind::Get,
        RequestKind::Put,
        RequestKind::Part,
        RequestKind::Multipart,
        RequestKind::Copy,
        RequestKind::Delete,
        RequestKind::Restore,
        RequestKind::Tags,
        RequestKind::Acl,
        RequestKind::Link,
    ];

    /// The name in `stat`.
    pub fn name(self) -> &'static str {
        [
            "list",
            "head",
            "get",
            "put",
            "part",
            "multipart",
            "copy",
            "delete",
            "restore",
            "tags",
            "acl",
            "link",
        ][self as usize]
    }
}

// === impl Meter ===

impl Meter {
    /// With limits that may be shared with the job's other end.
    pub fn new(limits: Arc<RateLimits>) -> Self {
        Meter { inner: Arc::default(), limits }
    }

    /// Counts nothing that anybody sees and limits nothing.
    pub fn unlimited() -> Self {
        Meter::new(Arc::default())
    }

    /// Before each request: waits for the limit, counts.
    pub async fn request(&self, kind: RequestKind) {
        self.limits.pass(Turn::of(1), |limits| &limits.requests, 1).await;
        self.inner.counts[kind as usize].requests.fetch_add(1, Ordering::Relaxed);
    }

    /// After a request that failed.
    pub fn failed(&self, kind: RequestKind, throttled: bool) {
        let count = &self.inner.counts[kind as usize];
        count.errors.fetch_add(1, Ordering::Relaxed);
        if throttled {
            count.throttled.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Before `n` bytes are read: waits for the limit, counts.
    pub async fn bytes_read(&self, n: usize) {
        self.inner.bytes.fetch_add(n as u64, Ordering::Relaxed);
        self.limits.pass(Turn::of(n as u64), |limits| &limits.read, n as u64).await;
    }

    /// Before an object of `len` bytes is asked for: waits for the limit of its beginning.
    pub(crate) async fn arriving(&self, len: u64) -> Arriving {
        let ahead = match self.limits.bytes_per_s() {
            None => 0,
            Some(per_s) => AHEAD.min((per_s * AHEAD_S) as u64),
        };
        let (turn, paid) = (Turn::of(len), len.min(ahead));
        self.limits.pass(turn, |limits| &limits.read, paid).await;
        Arriving { meter: self.clone(), turn, len, ahead, read: 0, paid }
    }

    /// Before the next `n` bytes of a body are sent, which began when it was its `turn`: waits for the limit.
    pub(crate) async fn sending(&self, turn: Turn, n: u64) {
        self.limits.pass(turn, |limits| &limits.written, n).await;
    }

    /// The same, for work that blocks its thread anyway.
    pub(crate) fn sending_blocks(&self, turn: Turn, n: u64) {
        if self.slice().is_some() {
            tokio::runtime::Handle::current().block_on(self.sending(turn, n));
        }
    }

    /// Bytes are written in pieces of at most this much; `None`: nothing holds them back.
    pub(crate) fn slice(&self) -> Option<usize> {
        let slice = |per_s: f64| usize::try_from((per_s * SLICE_S) as u64).unwrap_or(usize::MAX);
        self.limits.bytes_per_s().map(|per_s| slice(per_s).clamp(1, 256 << 10))
    }

    /// After `n` bytes were written: counts.
    pub fn bytes_written(&self, n: u64) {
        self.inner.bytes.fetch_add(n, Ordering::Relaxed);
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.inner.bytes.load(Ordering::Relaxed)
    }

    /// The counters that are not zero.
    pub fn counts(&self) -> Vec<RequestCount> {
        let line = |kind: RequestKind| {
            let count = &self.inner.counts[kind as usize];
            RequestCount {
                kind,
                requests: count.requests.load(Ordering::Relaxed),
                errors: count.errors.load(Ordering::Relaxed),
                throttled: count.throttled.load(Ordering::Relaxed),
            }
        };
        RequestKind::ALL.into_iter().map(line).filter(|count| count.requests > 0).collect()
    }
}

// === impl Arriving ===

impl Arriving {
    /// After `n` bytes of it came: counts, and waits until the next ones may.
    pub(crate) async fn came(&mut self, n: u64) {
        self.meter.inner.bytes.fetch_add(n, Ordering::Relaxed);
        self.read += n;
        let due = self.len.min(self.read + self.ahead).max(self.read);
        let unpaid = due.saturating_sub(self.paid);
        self.turn.left = self.len.saturating_sub(self.paid);
        self.paid += unpaid;
        self.meter.limits.pass(self.turn, |limits| &limits.read, unpaid).await;
    }
}

// === impl RateLimits ===

impl RateLimits {
    /// No limits of its own yet; whatever passes has to pass `above` as well.
    pub fn below(above: Arc<RateLimits>) -> Self {
        RateLimits { above: Some(above), ..RateLimits::default() }
    }

    /// New ceilings a second; `None`: there is none, 0: nothing passes. The same ones again change nothing.
    pub fn set(&self, bytes_per_s: Option<f64>, requests_per_s: Option<f64>) {
        self.read.set(bytes_per_s);
        self.written.set(bytes_per_s);
        self.requests.set(requests_per_s);
    }

    /// Is anything held back, here or above?
    pub fn hold_back(&self) -> bool {
        let own = self.read.limited() || self.requests.limited();
        own || self.above.as_ref().is_some_and(|above| above.hold_back())
    }

    /// The ceilings as they were set.
    pub fn get(&self) -> (Option<f64>, Option<f64>) {
        (self.read.per_s(), self.requests.per_s())
    }

    /// Microseconds that everybody together waited for a limit.
    pub fn waited_us(&self) -> u64 {
        self.waited_us.load(Ordering::Relaxed)
    }

    /// The lowest ceiling of bytes here and above.
    fn bytes_per_s(&self) -> Option<f64> {
        let own = if self.read.limited() { self.read.per_s() } else { None };
        let above = self.above.as_ref().and_then(|above| above.bytes_per_s());
        own.into_iter().chain(above).reduce(f64::min)
    }

    /// Waits until `n` may pass, here and then above.
    async fn pass(&self, turn: Turn, which: impl Fn(&RateLimits) -> &Pace, n: u64) {
        let mut begun = None;
        let mut level = Some(self);
        while let Some(limits) = level {
            let pace = which(limits);
            if pace.limited() {
                begun.get_or_insert_with(Instant::now);
                pace.pass(turn, n).await;
            }
            level = limits.above.as_deref();
        }
        let waited = begun.map(|begun| begun.elapsed()).unwrap_or_default();
        if waited > Duration::from_micros(200) {
            self.waited_us.fetch_add(waited.as_micros() as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_are_counted_by_kind() {
        let meter = Meter::unlimited();
        meter.request(RequestKind::Get).await;
        meter.request(RequestKind::Get).await;
        meter.failed(RequestKind::Get, true);
        let expected = RequestCount { kind: RequestKind::Get, requests: 2, errors: 1, throttled: 1 };
        assert_eq!(meter.counts(), [expected]);
    }
}
