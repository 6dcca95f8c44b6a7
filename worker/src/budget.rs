//! One byte budget for all object data that a worker holds: a hard cap, whatever the number and size of
//! objects.
//!
//! Every buffer is a lease that is taken before the first byte is read and given back when the write has
//! ended. Nobody who holds a lease waits for another one, so waiting always ends; leases are given in the
//! order in which they were asked for, so a large one is not starved by small ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The semaphore counts in u32: blocks of 4 KiB reach to 16 TiB.
const BLOCK: u64 = 4096;

/// The budget of one worker. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    blocks: Arc<Semaphore>,
    all: u32,
    waited_us: Arc<AtomicU64>,
}

/// Bytes that may be held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _permit: Option<OwnedSemaphorePermit>,
}

// === impl Budget ===

impl Budget {
    /// At most `bytes` at a time; at least one block.
    pub(crate) fn new(bytes: u64) -> Self {
        let all = u32::try_from(bytes / BLOCK).unwrap_or(u32::MAX).max(1);
        let most = usize::try_from(all).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Budget { blocks: Arc::new(Semaphore::new(most)), all, waited_us: Arc::default() }
    }

    /// Bytes in all.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.all) * BLOCK
    }

    /// Waits until `bytes` are free; what is larger than the whole budget takes all of it. Whoever reads
    /// must not read more than it asked for.
    pub(crate) async fn take(&self, bytes: u64) -> Held {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX).clamp(1, self.all);
        if let Ok(permit) = self.blocks.clone().try_acquire_many_owned(blocks) {
            return Held { _permit: Some(permit) };
        }
        let begun = Instant::now();
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = self.blocks.clone().acquire_many_owned(blocks).await.ok();
        self.waited_us.fetch_add(micros(begun.elapsed()), Ordering::Relaxed);
        Held { _permit: permit }
    }

    /// The same without waiting; nothing where they are not free now. Whoever holds a lease may ask for more so.
    pub(crate) fn try_take(&self, bytes: u64) -> Option<Held> {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX).clamp(1, self.all);
        let permit = self.blocks.clone().try_acquire_many_owned(blocks).ok()?;
        Some(Held { _permit: Some(permit) })
    }

    /// Microseconds that everybody together waited.
    pub(crate) fn waited_us(&self) -> u64 {
        self.waited_us.load(Ordering::Relaxed)
    }
}

/// Microseconds as the counters take them.
pub(crate) fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use proptest::prelude::*;

    use super::*;

    /// Takes leases of these sizes at once and holds each for its time; returns the most that was held.
    async fn most_held(budget: &Budget, sizes: &[(u64, u64)]) -> u64 {
        let held = AtomicU64::new(0);
        let most = AtomicU64::new(0);
        join_all(sizes.iter().map(|&(size, ms)| {
            let (held, most) = (&held, &most);
            async move {
                let lease = budget.take(size).await;
                let size = size.min(budget.size());
                let now = held.fetch_add(size, Ordering::SeqCst) + size;
                most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(ms)).await;
                held.fetch_sub(size, Ordering::SeqCst);
                drop(lease);
            }
        }))
        .await;
        most.load(Ordering::SeqCst)
    }

    proptest! {
        #[test]
        fn never_more_than_the_budget_is_held_and_everybody_gets_through(
            all in 1u64..64, sizes in proptest::collection::vec((0u64..400_000, 0u64..50), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let budget = Budget::new(all * BLOCK);
            let most = runtime.block_on(most_held(&budget, &sizes));
            prop_assert!(most <= budget.size(), "{most} of {}", budget.size());
            prop_assert_eq!(budget.blocks.available_permits() as u64 * BLOCK, budget.size());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_lease_is_not_starved_by_small_ones() {
        let budget = Budget::new(8 * BLOCK);
        let first = budget.take(BLOCK).await;
        let mut large = Box::pin(budget.take(8 * BLOCK));
        assert!(futures::poll!(&mut large).is_pending());
        let mut small = Box::pin(budget.take(BLOCK));
        assert!(futures::poll!(&mut small).is_pending(), "a later small one waits behind the large one");
        drop(first);
        let large = large.await;
        drop(large);
        small.await;
    }
}
