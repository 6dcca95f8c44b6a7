//! From entries to tasks, by count and by bytes. Pure: no I/O, no time.
//!
//! The first tasks of a round are small, so that the first worker starts soon; each is twice the one
//! before, up to the limit.

use proto::manifest::Entry;

/// Objects of a round's first task.
const FIRST: usize = 500;

/// How large a task may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Objects.
    pub(crate) count: usize,
    /// Bytes; a single object may be more.
    pub(crate) bytes: u64,
}

/// The objects of one task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Part {
    /// In the order in which they came.
    pub(crate) entries: Vec<Entry>,
    /// Sum of their sizes.
    pub(crate) bytes: u64,
}

/// Fills one task after the other.
#[derive(Debug)]
pub(crate) struct Splitter {
    limits: Limits,
    made: u32,
    part: Part,
}

// === impl Splitter ===

impl Splitter {
    /// `made` tasks of this round are there already.
    pub(crate) fn new(limits: Limits, made: u32) -> Self {
        let limits = Limits { count: limits.count.max(1), ..limits };
        Splitter { limits, made, part: Part::default() }
    }

    /// Takes from the front of `entries` what the task has room for. A task when it is full; call again
    /// until nothing comes. Without an answer `entries` is empty.
    pub(crate) fn take(&mut self, entries: &mut std::vec::IntoIter<Entry>) -> Option<Part> {
        let room = self.count();
        while let Some(next) = entries.as_slice().first() {
            let bytes = self.part.bytes.saturating_add(next.size);
            if !self.part.entries.is_empty() && bytes > self.limits.bytes {
                return self.flush();
            }
            self.part.bytes = bytes;
            self.part.entries.extend(entries.next());
            if self.part.entries.len() >= room || bytes >= self.limits.bytes {
                return self.flush();
            }
        }
        None
    }

    /// What has been taken since the last task, as a task; none when it is nothing.
    pub(crate) fn flush(&mut self) -> Option<Part> {
        if self.part.entries.is_empty() {
            return None;
        }
        self.made = self.made.saturating_add(1);
        Some(std::mem::take(&mut self.part))
    }

    /// Entries that are in no task yet.
    pub(crate) fn held(&self) -> usize {
        self.part.entries.len()
    }

    /// Objects that the task under way may have.
    fn count(&self) -> usize {
        FIRST.checked_shl(self.made.min(20)).unwrap_or(usize::MAX).min(self.limits.count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(sizes: &[u64]) -> Vec<Entry> {
        let key = |i: usize| proto::ObjectKey::new(format!("{i:06}"));
        sizes
            .iter()
            .enumerate()
            .map(|(i, size)| Entry { key: key(i), size: *size, ..Entry::default() })
            .collect()
    }

    fn split(limits: Limits, batches: &[Vec<Entry>]) -> Vec<Part> {
        let mut splitter = Splitter::new(limits, 0);
        let mut parts = Vec::new();
        for batch in batches {
            let mut batch = batch.clone().into_iter();
            while let Some(part) = splitter.take(&mut batch) {
                parts.push(part);
            }
            assert!(batch.as_slice().is_empty());
        }
        parts.extend(splitter.flush());
        parts
    }

    proptest! {
        #[test]
        fn nothing_is_lost_order_is_kept_and_limits_hold(
            sizes in prop::collection::vec(0u64..200, 0..3000),
            batch in 1usize..700,
            count in 1usize..2000,
            bytes in 1u64..20_000,
        ) {
            let all = entries(&sizes);
            let batches: Vec<_> = all.chunks(batch).map(<[Entry]>::to_vec).collect();
            let parts = split(Limits { count, bytes }, &batches);
            for part in &parts {
                prop_assert!(!part.entries.is_empty() && part.entries.len() <= count);
                prop_assert_eq!(part.bytes, part.entries.iter().map(|e| e.size).sum::<u64>());
                prop_assert!(part.bytes <= bytes || part.entries.len() == 1);
            }
            let joined: Vec<Entry> = parts.into_iter().flat_map(|part| part.entries).collect();
            prop_assert_eq!(joined, all);
        }
    }

    #[test]
    fn the_first_tasks_of_a_round_are_small() {
        let parts = split(Limits { count: 2500, bytes: u64::MAX }, &[entries(&vec![0; 9000])]);
        let counts: Vec<usize> = parts.iter().map(|part| part.entries.len()).collect();
        assert_eq!(counts, [500, 1000, 2000, 2500, 2500, 500]);
    }

    #[test]
    fn one_object_may_be_larger_than_a_task() {
        let parts = split(Limits { count: 10, bytes: 100 }, &[entries(&[60, 60, 500, 1])]);
        let counts: Vec<u64> = parts.iter().map(|part| part.bytes).collect();
        assert_eq!(counts, [60, 60, 500, 1]);
    }
}
