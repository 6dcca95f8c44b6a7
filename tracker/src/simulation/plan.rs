//! What a seed means: how large its world is, and what goes wrong in it. Each seed leaves some faults out, so
//! that rare pairs of the others meet.

use std::ops::Range;

use rand::Rng;
use rand::rngs::StdRng;

/// Sizes, and how likely each fault is.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) workers: usize,
    /// More than one: an operator started another while the first one still runs.
    pub(super) trackers: usize,
    pub(super) jobs: usize,
    pub(super) tasks: u32,
    pub(super) objects: u32,
    /// Leases that a worker takes at once.
    pub(super) held: usize,
    /// Milliseconds of work for one batch of records.
    pub(super) pace: Range<u64>,
    /// Milliseconds in which things go wrong.
    pub(super) trouble: u64,
    /// Of a message.
    pub(super) loss: f64,
    pub(super) twice: f64,
    /// It takes up to half a minute, and others pass it.
    pub(super) slow: f64,
    /// Of an object, to fail.
    pub(super) fail: f64,
    /// How often something happens in a hundred seconds, in the whole world.
    pub(super) crashes: f64,
    pub(super) stalls: f64,
    pub(super) cuts: f64,
    pub(super) users: f64,
    pub(super) moves: f64,
    /// Share of workers that do not give up a task before they are refused.
    pub(super) stubborn: f64,
    /// Share of workers that are slow.
    pub(super) lame: f64,
}

impl Plan {
    /// Nothing goes wrong.
    pub(super) fn quiet(workers: usize, tasks: u32) -> Self {
        Plan {
            workers,
            trackers: 1,
            jobs: 1,
            tasks,
            objects: 12,
            held: 2,
            pace: 50..1_500,
            trouble: 0,
            loss: 0.0,
            twice: 0.0,
            slow: 0.0,
            fail: 0.0,
            crashes: 0.0,
            stalls: 0.0,
            cuts: 0.0,
            users: 0.0,
            moves: 0.0,
            stubborn: 0.0,
            lame: 0.0,
        }
    }

    /// Small worlds mostly; every tenth is larger, every fiftieth has hundreds of workers and thousands of
    /// tasks.
    pub(super) fn of(seed: u64, rng: &mut StdRng) -> Self {
        let (workers, tasks, trouble) = match (seed % 50, seed % 10) {
            (49, _) => (rng.random_range(150..350), rng.random_range(1_500..3_000), 60_000),
            (_, 4) => (rng.random_range(20..50), rng.random_range(80..240), 100_000),
            _ => (rng.random_range(1..7), rng.random_range(2..30), 180_000),
        };
        let mut often = |share: f64, range: Range<f64>| {
            if rng.random_bool(share) { rng.random_range(range) } else { 0.0 }
        };
        // Events of the whole world: more of them where there is more to hit.
        let many = 1.0 + workers as f64 / 10.0;
        Plan {
            loss: often(0.7, 0.0..0.25),
            twice: often(0.6, 0.0..0.2),
            slow: often(0.6, 0.0..0.15),
            fail: often(0.5, 0.0..0.2),
            crashes: often(0.7, 0.0..25.0) * many,
            stalls: often(0.6, 0.0..20.0) * many,
            cuts: often(0.6, 0.0..15.0) * many,
            users: often(0.6, 0.0..10.0),
            moves: often(0.5, 0.0..20.0) * many,
            stubborn: often(0.5, 0.0..1.0),
            lame: often(0.4, 0.0..0.6),
            trackers: if rng.random_bool(0.3) { 2 } else { 1 },
            jobs: rng.random_range(1..4),
            objects: rng.random_range(1..25),
            held: rng.random_range(1..4),
            trouble,
            ..Plan::quiet(workers, tasks)
        }
    }
}
