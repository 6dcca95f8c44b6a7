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

/// Message number `seed` of a gRPC call: its fields say other things, and the whole still decodes mostly. The
/// first `head` bytes of an input stay.
pub(crate) fn mutated_message(seed: u64, valid: &[Vec<u8>], head: usize, words: &[&str]) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(seed);
    let input = valid.choose(&mut rng).cloned().unwrap_or_default();
    let (kept, message) = input.split_at(head.min(input.len()));
    let Some(mut fields) = fields(message) else { return mutated(seed, valid, words) };
    for _ in 0..rng.random_range(1..4) {
        change_fields(&mut rng, &mut fields, words);
    }
    let mut out = kept.to_vec();
    write(&fields, &mut out);
    // What was repeated may have been repeated again.
    if out.len() > 1 << 20 { input } else { out }
}

/// A field on the wire: its number, and what it holds.
type Field = (u64, Value);

#[derive(Debug, Clone)]
enum Value {
    Number(u64),
    Eight([u8; 8]),
    Bytes(Vec<u8>),
    Message(Vec<Field>),
}

fn number(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn fields(mut input: &[u8]) -> Option<Vec<Field>> {
    let mut found = Vec::new();
    while !input.is_empty() {
        let tag = number(&mut input)?;
        let value = match tag & 7 {
            0 => Value::Number(number(&mut input)?),
            1 => {
                let (eight, rest) = input.split_first_chunk::<8>()?;
                input = rest;
                Value::Eight(*eight)
            }
            2 => {
                let length = usize::try_from(number(&mut input)?).ok()?;
                let (bytes, rest) = input.split_at_checked(length)?;
                input = rest;
                // A short text may look like a message; then it is mutated like one, and is one on the wire.
                match fields(bytes).filter(|inner| !inner.is_empty()) {
                    Some(inner) => Value::Message(inner),
                    None => Value::Bytes(bytes.to_vec()),
                }
            }
            _ => return None,
        };
        (1..100).contains(&(tag >> 3)).then_some(())?;
        found.push((tag >> 3, value));
    }
    Some(found)
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn write(fields: &[Field], out: &mut Vec<u8>) {
    for (field, value) in fields {
        let kind = match value {
            Value::Number(_) => 0,
            Value::Eight(_) => 1,
            Value::Bytes(_) | Value::Message(_) => 2,
        };
        write_number(field << 3 | kind, out);
        match value {
            Value::Number(number) => write_number(*number, out),
            Value::Eight(eight) => out.extend(eight),
            Value::Bytes(bytes) => {
                write_number(bytes.len() as u64, out);
                out.extend(bytes);
            }
            Value::Message(inner) => {
                let mut bytes = Vec::new();
                write(inner, &mut bytes);
                write_number(bytes.len() as u64, out);
                out.extend(bytes);
            }
        }
    }
}

fn change_fields(rng: &mut StdRng, fields: &mut Vec<Field>, words: &[&str]) {
    const EDGES: [u64; 14] = [
        0,
        1,
        2,
        3,
        4,
        7,
        255,
        65_536,
        0x7fff_ffff,
        0xffff_ffff,
        0x1_0000_0000,
        0x7fff_ffff_ffff_ffff,
        0x8000_0000_0000_0000,
        u64::MAX,
    ];
    if fields.is_empty() || rng.random_bool(0.1) {
        // A field that was not said.
        let value = Value::Number(*EDGES.choose(rng).unwrap_or(&0));
        fields.push((rng.random_range(1..20), value));
        return;
    }
    let at = rng.random_range(0..fields.len());
    match rng.random_range(0..10) {
        0 => drop(fields.remove(at)),
        1 => {
            let times = *[1, 2, 1_200].choose(rng).unwrap_or(&1);
            let again = fields[at].clone();
            fields.extend(std::iter::repeat_n(again, times));
        }
        _ => match &mut fields[at].1 {
            Value::Number(number) => {
                *number = if rng.random_bool(0.8) { *EDGES.choose(rng).unwrap_or(&0) } else { rng.random() };
            }
            Value::Eight(eight) => {
                *eight = [f64::NAN, f64::INFINITY, -1.0, f64::MAX][rng.random_range(0..4)].to_le_bytes();
            }
            Value::Bytes(bytes) => {
                let valid = [bytes.clone()];
                change(rng, bytes, &valid, words);
                if rng.random_bool(0.7) {
                    *bytes = String::from_utf8_lossy(bytes).into_owned().into_bytes();
                }
            }
            Value::Message(inner) => change_fields(rng, inner, words),
        },
    }
}
