//! Inputs that are almost valid.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Numbers at which something ends.
const NUMBERS: [&str; 16] = [
    "0",
    "-1",
    "1",
    "255",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999",
    "1e308",
];

/// What means something somewhere.
const WORDS: [&str; 24] = [
    "\0",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\u{1b}[31m",
    "\u{202e}",
    "\u{2066}",
    "\u{feff}",
    "\u{2028}",
    "..",
    "../",
    "/",
    "//",
    "\\",
    "\"",
    "'",
    "%",
    "%00",
    "%2e%2e%2f",
    "=cmd()",
    "${HOME}",
    "\u{fffd}",
    "é",
];

/// Input number `seed`: one of the valid ones with a few changes; sometimes nothing but noise.
pub(crate) fn mutated(seed: u64, valid: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(seed);
    if valid.is_empty() || rng.random_bool(0.02) {
        let length = rng.random_range(0..300);
        return (0..length).map(|_| rng.random()).collect();
    }
    let mut input = valid.choose(&mut rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..6) {
        change(&mut rng, &mut input, valid, words);
    }
    input.truncate(1 << 20);
    input
}

fn change(rng: &mut StdRng, input: &mut Vec<u8>, valid: &[Vec<u8>], words: &[&str]) {
    let at = rng.random_range(0..=input.len());
    let range = at..(at + rng.random_range(0..40)).min(input.len());
    match rng.random_range(0..11) {
        0 | 1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
        2 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = rng.random();
            }
        }
        3 => drop(input.drain(range)),
        4 => input.truncate(at),
        5 => {
            // The same again, often.
            let part = input[range].to_vec();
            let times = *[1, 2, 100, 2_000].choose(rng).unwrap_or(&1);
            let more = part.repeat(times);
            drop(input.splice(at..at, more));
        }
        6 => {
            let other = valid.choose(rng).cloned().unwrap_or_default();
            let from = rng.random_range(0..=other.len());
            drop(input.splice(at.., other[from..].to_vec()));
        }
        7 => {
            let number = NUMBERS.choose(rng).unwrap_or(&"0");
            let digits = digits(input, at);
            drop(input.splice(digits, number.bytes()));
        }
        8 => {
            // As the binary forms write large numbers.
            let large =
                [&[0xff; 8][..], &[0x80; 9], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0x7f, 0xff, 0xff, 0xff]];
            let large = large.choose(rng).copied().unwrap_or_default().to_vec();
            let end = (at + large.len()).min(input.len());
            drop(input.splice(at..end, large));
        }
        _ => {
            let all: Vec<&str> = words.iter().chain(&WORDS).copied().collect();
            let word = all.choose(rng).copied().unwrap_or_default();
            let long = rng.random_bool(0.05);
            drop(input.splice(range, word.repeat(if long { 5_000 } else { 1 }).into_bytes()));
        }
    }
}

/// The decimal number at or behind this place.
fn digits(input: &[u8], at: usize) -> std::ops::Range<usize> {
    let from = (at..input.len()).find(|at| input[*at].is_ascii_digit()).unwrap_or(at);
    let to = (from..input.len()).find(|at| !input[*at].is_ascii_digit()).unwrap_or(input.len());
    from..to
}
