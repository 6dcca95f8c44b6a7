//! Counts requests by kind and bytes, and holds them back to the limits, which may change while it runs.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

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

/// Bytes/s and requests/s that both ends of a job share. Changeable while it runs.
#[derive(Debug, Default)]
pub struct RateLimits {
    bytes: RwLock<Option<Arc<Limit>>>,
    requests: RwLock<Option<Arc<Limit>>>,
    waited_us: AtomicU64,
}

#[derive(Debug)]
struct Limit {
    per_s: u64,
    /// What one cell of the limiter stands for: it counts in u32.
    unit: u64,
    /// The largest number of cells that may pass at once: a tenth of a second's.
    burst: NonZeroU32,
    limiter: DefaultDirectRateLimiter,
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
    pub const ALL: [RequestKind; 8] = [
        RequestKind::List,
        RequestKind::Head,
        RequestKind::Get,
        RequestKind::Put,
        RequestKind::Part,
        RequestKind::Multipart,
        RequestKind::Copy,
        RequestKind::Delete,
    ];

    /// The name in `stat`.
    pub fn name(self) -> &'static str {
        ["list", "head", "get", "put", "part", "multipart", "copy", "delete"][self as usize]
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
        self.limits.requests(1).await;
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

    /// Before `n` bytes are read from a body: waits for the limit, counts.
    pub async fn bytes_read(&self, n: usize) {
        self.inner.bytes.fetch_add(n as u64, Ordering::Relaxed);
        self.limits.bytes(n as u64).await;
    }

    /// After `n` bytes were written: counts. (Limits are applied where bytes are read, once.)
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

// === impl RateLimits ===

impl RateLimits {
    /// New ceilings; 0 = none. The same ones again change nothing.
    pub fn set(&self, bytes_per_s: u64, requests_per_s: u64) {
        replace(&self.bytes, bytes_per_s);
        replace(&self.requests, requests_per_s);
    }

    /// Microseconds that everybody together waited for a limit.
    pub fn waited_us(&self) -> u64 {
        self.waited_us.load(Ordering::Relaxed)
    }

    /// Waits until `n` bytes may pass.
    pub async fn bytes(&self, n: u64) {
        self.wait(&self.bytes, n).await;
    }

    /// Waits until `n` requests may be sent.
    pub async fn requests(&self, n: u64) {
        self.wait(&self.requests, n).await;
    }

    async fn wait(&self, slot: &RwLock<Option<Arc<Limit>>>, n: u64) {
        let mut left = n;
        while left > 0 {
            let Some(limit) = slot.read().ok().and_then(|slot| slot.clone()) else { return };
            // In slices of at most a tenth of a second, so that a changed limit is felt soon.
            let slice = left.min(u64::from(limit.burst.get()) * limit.unit);
            left -= slice;
            let cells = NonZeroU32::new(slice.div_ceil(limit.unit) as u32).unwrap_or(NonZeroU32::MIN);
            let begun = Instant::now();
            // The only error is a slice above the burst, which the line above rules out.
            let _ = limit.limiter.until_n_ready(cells).await;
            let waited = begun.elapsed();
            if waited > Duration::from_micros(200) {
                self.waited_us.fetch_add(waited.as_micros() as u64, Ordering::Relaxed);
            }
        }
    }
}

fn replace(slot: &RwLock<Option<Arc<Limit>>>, per_s: u64) {
    let Ok(mut slot) = slot.write() else { return };
    if slot.as_ref().map_or(0, |limit| limit.per_s) != per_s {
        *slot = Limit::new(per_s).map(Arc::new);
    }
}

impl Limit {
    fn new(per_s: u64) -> Option<Self> {
        // At most 10^6 cells a second keep the limiter exact; the burst is a tenth of a second.
        let unit = per_s.div_ceil(1_000_000).max(1);
        let cells = NonZeroU32::new((per_s / unit) as u32)?;
        let burst = NonZeroU32::new((cells.get() / 10).max(1))?;
        let quota = Quota::per_second(cells).allow_burst(burst);
        Some(Limit { per_s, unit, burst, limiter: RateLimiter::direct(quota) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_limit_holds_and_can_be_lifted() {
        let limits = Arc::new(RateLimits::default());
        limits.set(1 << 20, 0);
        let begun = Instant::now();
        limits.bytes(1 << 18).await;
        assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
        limits.set(0, 0);
        let begun = Instant::now();
        limits.bytes(1 << 30).await;
        assert!(begun.elapsed() < Duration::from_millis(100));
    }

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
