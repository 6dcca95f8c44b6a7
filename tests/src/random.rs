//! Numbers that a seed decides: the same ones on every machine.

use std::fmt::Write;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// What follows is decided by the seed alone.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound.max(1)
    }
}

/// `BRIGADE_SEEDS=17..18`, or the default.
pub fn seeds(default: &str) -> Range<u64> {
    let text = std::env::var("BRIGADE_SEEDS").unwrap_or_else(|_| default.into());
    let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.unwrap_or_else(|| panic!("BRIGADE_SEEDS={text}: write 17..18"))
}

/// Plays one scenario for each seed, `BRIGADE_SIDE_BY_SIDE` (3) at a time, and panics in the end with those that
/// failed: the command that plays one again, and what `tell` says of it. Gives the seeds.
pub fn play<S>(
    default: &str,
    begin: impl Fn(u64) -> S + Sync,
    run: impl Fn(&mut S) + Sync,
    tell: impl Fn(&S, u64) -> String + Sync,
) -> Range<u64> {
    let seeds = seeds(default);
    let lanes = std::env::var("BRIGADE_SIDE_BY_SIDE").ok().and_then(|lanes| lanes.parse().ok()).unwrap_or(3);
    let next = AtomicU64::new(seeds.start);
    let failed = Mutex::new(String::new());
    let lane = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let mut scenario = begin(seed);
            if catch_unwind(AssertUnwindSafe(|| run(&mut scenario))).is_err() {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = writeln!(failed, "BRIGADE_SEEDS={seed}..{}: {}", seed + 1, tell(&scenario, seed));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(lane);
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failed.is_empty(), "of the seeds {seeds:?} these failed:\n{failed}");
    seeds
}

#[cfg(test)]
mod tests {
    use super::play;

    #[test]
    #[should_panic(expected = "BRIGADE_SEEDS=2..3: told 2")]
    fn a_seed_that_fails_is_told_and_the_others_are_played() {
        let played = std::sync::atomic::AtomicU64::new(0);
        let run = |seed: &mut u64| {
            played.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            assert!(*seed != 2);
        };
        let tell = |seed: &u64, _| {
            while played.load(std::sync::atomic::Ordering::Relaxed) < 5 {
                std::thread::yield_now();
            }
            format!("told {seed}")
        };
        play("0..5", |seed| seed, run, tell);
    }
}
