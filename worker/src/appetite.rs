//! When a worker asks for one more task. Pure.
//!
//! Objects wait for their slot inside the mover, so "started" says nothing: what counts is how many of the
//! unfinished objects are really in flight. A worker that took tasks as fast as it can start them would sit
//! on all tasks of a job whose tasks are one large object each, while other workers have nothing to do.

/// What the held tasks amount to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Objects of held tasks that have not ended.
    pub(crate) left: usize,
    /// Of these: in flight.
    pub(crate) in_flight: usize,
    /// Objects that may be in flight now.
    pub(crate) concurrency: usize,
}

impl Load {
    /// One more task is needed: fewer objects wait than are likely to get their slot soon. Twice what is in
    /// flight, because a large object takes a slot for each part and few of them fill the worker.
    pub(crate) fn hungry(self) -> bool {
        let waiting = self.left.saturating_sub(self.in_flight);
        let ahead = (2 * self.in_flight).max(2).min(self.concurrency.max(1));
        waiting < ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes tasks of `objects` each as long as it is hungry, with room for `slots` objects in flight.
    fn held(objects: usize, slots: usize, concurrency: usize) -> usize {
        let (mut tasks, mut load) = (0, Load { concurrency, ..Load::default() });
        while load.hungry() {
            tasks += 1;
            load.left += objects;
            load.in_flight = load.left.min(slots);
            assert!(tasks < 10_000, "it takes everything that there is");
        }
        tasks
    }

    #[test]
    fn tasks_of_one_object_fill_the_slots_and_are_not_hoarded() {
        let tasks = held(1, 60, 60);
        assert!((60..=120).contains(&tasks), "{tasks}");
    }

    #[test]
    fn large_objects_that_take_several_slots_are_not_hoarded() {
        let tasks = held(1, 4, 60);
        assert!((5..=12).contains(&tasks), "{tasks}");
    }

    #[test]
    fn one_task_of_many_objects_is_enough() {
        assert_eq!(held(10_000, 60, 60), 1);
    }

    #[test]
    fn the_next_task_is_fetched_before_the_last_object_began() {
        assert!(Load { left: 100, in_flight: 60, concurrency: 60 }.hungry());
        assert!(!Load { left: 120, in_flight: 60, concurrency: 60 }.hungry());
    }
}
