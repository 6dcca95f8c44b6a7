//! What is in flight now, counted as long as its guard lives: for the live figures.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of an unfinished object that are already written.
#[derive(Debug)]
pub(crate) struct Flight<'a> {
    total: &'a AtomicU64,
    bytes: AtomicU64,
}

/// One object that is under way.
pub(crate) struct UnderWay<'a>(&'a AtomicU64);

// === impl Flight, UnderWay ===

impl<'a> Flight<'a> {
    /// None yet; counted in `total` too.
    pub(crate) fn new(total: &'a AtomicU64) -> Self {
        Flight { total, bytes: AtomicU64::new(0) }
    }

    /// So many more are written.
    pub(crate) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl<'a> UnderWay<'a> {
    /// Until it is dropped.
    pub(crate) fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        UnderWay(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
