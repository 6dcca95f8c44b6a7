//! Tasks that were fetched and wait for a worker: by priority, then in the order in which they came. The
//! master sees to fairness between jobs; this queue is only as long as workers ask for. Pure.

use std::collections::VecDeque;

use proto::v1::Grant;

/// Fetched tasks.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    tasks: VecDeque<(i32, Grant)>,
}

impl Queue {
    /// Adds a task behind those of its priority.
    pub(crate) fn push(&mut self, priority: i32, grant: Grant) {
        let at = self.tasks.partition_point(|(other, _)| *other >= priority);
        self.tasks.insert(at, (priority, grant));
    }

    /// The next task.
    pub(crate) fn pop(&mut self) -> Option<Grant> {
        self.tasks.pop_front().map(|(_, grant)| grant)
    }

    /// Takes out all tasks for which `which` holds.
    pub(crate) fn take(&mut self, which: impl Fn(&Grant) -> bool) -> Vec<Grant> {
        let (taken, kept) = std::mem::take(&mut self.tasks).into_iter().partition(|(_, grant)| which(grant));
        self.tasks = kept;
        let taken: VecDeque<(i32, Grant)> = taken;
        taken.into_iter().map(|(_, grant)| grant).collect()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// The fences of all that wait.
    pub(crate) fn fences(&self) -> Vec<u64> {
        self.tasks.iter().filter_map(|(_, grant)| grant.task.as_ref()).map(|task| task.fence).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(attempt: u32) -> Grant {
        Grant { attempt, ..Grant::default() }
    }

    #[test]
    fn higher_priority_goes_first_and_equals_keep_their_order() {
        let mut queue = Queue::default();
        for (priority, attempt) in [(0, 1), (5, 2), (0, 3), (5, 4), (-1, 5)] {
            queue.push(priority, grant(attempt));
        }
        let order: Vec<u32> = std::iter::from_fn(|| queue.pop()).map(|grant| grant.attempt).collect();
        assert_eq!(order, [2, 4, 1, 3, 5]);
    }

    #[test]
    fn what_is_taken_out_is_gone_and_the_rest_stays() {
        let mut queue = Queue::default();
        for attempt in 1..=4 {
            queue.push(0, grant(attempt));
        }
        assert_eq!(queue.take(|grant| grant.attempt % 2 == 0), [grant(2), grant(4)]);
        assert_eq!(queue.len(), 2);
    }
}
