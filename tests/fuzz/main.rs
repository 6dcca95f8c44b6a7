//! Whatever comes from outside, changed at random: no panic, no hang, no memory out of proportion, and what is
//! accepted means what it says. A target is a function over bytes; its inputs are valid ones, mutated by a
//! number, so that every run is the same.
//!
//! `BRIGADE_SEEDS=0..1000000 cargo test -p tests --test fuzz --all-features -- NAME` runs longer, or one input
//! again.

#[cfg(test)]
mod configuration;
#[cfg(test)]
mod http;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod mutate;
#[cfg(test)]
mod persisted;
#[cfg(test)]
mod services;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory is counted for the whole process, so one target runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Until it is dropped, no other target runs.
fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// No input of these sizes takes longer, on the slowest machine.
const HANG: Duration = Duration::from_secs(20);

/// What a target may take beside its input, and for each byte of it.
#[derive(Debug, Clone, Copy)]
struct Bound {
    base: usize,
    each: usize,
}

const SMALL: Bound = Bound { base: 4 << 20, each: 400 };

/// `BRIGADE_SEEDS=from..to`, or the first `otherwise`.
fn seeds(otherwise: u64) -> Range<u64> {
    let Ok(text) = std::env::var("BRIGADE_SEEDS") else { return 0..otherwise };
    let ends = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.unwrap_or_else(|| panic!("BRIGADE_SEEDS={text:?} is not of the form 17..18"))
}

/// Runs the target over the valid inputs and over mutations of them.
fn fuzz(name: &str, times: u64, bound: Bound, valid: &[Vec<u8>], words: &[&str], target: impl FnMut(&[u8])) {
    run(name, times, bound, valid, |seed| mutate::mutated(seed, valid, words), target);
}

/// The same for messages, whose fields are changed; `head` bytes before the message stay.
fn fuzz_messages(
    name: &str,
    times: u64,
    bound: Bound,
    (valid, head): (&[Vec<u8>], usize),
    words: &[&str],
    target: impl FnMut(&[u8]),
) {
    run(name, times, bound, valid, |seed| mutate::mutated_message(seed, valid, head, words), target);
}

fn run(
    name: &str,
    times: u64,
    bound: Bound,
    valid: &[Vec<u8>],
    input: impl Fn(u64) -> Vec<u8>,
    mut target: impl FnMut(&[u8]),
) {
    let _alone = alone();
    for whole in valid {
        target(whole);
    }
    for seed in seeds(times) {
        let input = input(seed);
        MEMORY.reset_peak_usage();
        let (before, begun) = (MEMORY.current_usage(), Instant::now());
        let ended = catch_unwind(AssertUnwindSafe(|| target(&input)));
        let (took, peak) = (begun.elapsed(), MEMORY.peak_usage().saturating_sub(before));
        let most = bound.base + bound.each * input.len();
        let what = match &ended {
            Err(_) => "panics".to_owned(),
            Ok(()) if took > HANG => format!("takes {took:?}"),
            Ok(()) if peak > most => {
                format!("takes {peak} bytes of memory, at most {most} are in proportion")
            }
            Ok(()) => continue,
        };
        let shown: String = String::from_utf8_lossy(&input).escape_debug().take(4000).collect();
        let again = format!(
            "{name}: input {seed} of {} bytes {what}\n{shown}\nonce more:\n  BRIGADE_SEEDS={seed}..{} cargo test \
             -p tests --test fuzz --all-features -- {name}\n",
            input.len(),
            seed + 1
        );
        let panic = ended.err().unwrap_or_else(|| Box::new(""));
        let text =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        panic!("{again}{}", text.unwrap_or_default());
    }
}
