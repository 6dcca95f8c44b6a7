//! Keys as numbers in the base of the characters seen so far: where to cut a range in two.
//!
//! Nothing here has to be exact. Any key is a legal border; a good one only makes the halves alike.

use std::collections::BTreeSet;

use proto::ObjectKey;

/// Digits after the first difference that count.
const PRECISION: usize = 10;

/// The characters that keys are made of.
#[derive(Debug, Default)]
pub(crate) struct Alphabet {
    /// Sorted; the order of characters is the order of their UTF-8 bytes.
    symbols: Vec<char>,
    seen: BTreeSet<char>,
}

// === impl Alphabet ===

impl Alphabet {
    /// The characters of `key` are there from now on.
    pub(crate) fn learn(&mut self, key: &ObjectKey) {
        let before = self.seen.len();
        self.seen.extend(text(key).chars());
        if self.seen.len() > before {
            self.symbols = self.seen.iter().copied().collect();
        }
    }

    /// How many times the way from `first` to `at` fits between `at` and `end`. Infinite where it cannot
    /// be told. `first <= at < end`.
    pub(crate) fn ratio(&self, first: &ObjectKey, at: &ObjectKey, end: &ObjectKey) -> f64 {
        let shared = common(first, end);
        let value = |key| {
            self.digits(key, shared, PRECISION)
                .iter()
                .rev()
                .fold(0.0, |v, d| (v + f64::from(*d)) / self.base())
        };
        let (first, at, end) = (value(first), value(at), value(end));
        if at > first { (end - at) / (at - first) } else { f64::INFINITY }
    }

    /// The key `times` the way from `first` to `at` behind `at`, where there is room for it.
    pub(crate) fn beyond(&self, first: &ObjectKey, at: &ObjectKey, times: f64) -> Option<ObjectKey> {
        let shared = common(first, at);
        let (low, high) = (self.digits(first, 0, shared + PRECISION), self.digits(at, 0, shared + PRECISION));
        let base = self.base() as i64;
        let times = (times * 16.0).clamp(1.0, 1e9) as i64;
        let mut sum = vec![0u32; high.len()];
        let mut carry = 0i64;
        for i in (0..high.len()).rev() {
            let way = (i64::from(high[i]) - i64::from(low[i])) * times;
            // `times` counts sixteenths; what a digit has left over is too little to matter.
            let digit = i64::from(high[i]) + way / 16 + carry;
            sum[i] = digit.rem_euclid(base) as u32;
            carry = digit.div_euclid(base);
        }
        if carry != 0 { None } else { self.key(&sum, at) }
    }

    /// A key about in the middle of two.
    pub(crate) fn middle(&self, low: &ObjectKey, high: &ObjectKey) -> Option<ObjectKey> {
        let length = common(low, high) + PRECISION;
        let (from, to) = (self.digits(low, 0, length), self.digits(high, 0, length));
        let base = self.base() as u32;
        let mut half = vec![0u32; length];
        let mut rest = 0;
        for i in 0..length {
            let sum = from[i] + to[i] + rest * base;
            half[i] = sum / 2;
            rest = sum % 2;
        }
        // A digit of one sum may reach the base: carry it upwards.
        for i in (1..length).rev() {
            half[i - 1] += half[i] / base;
            half[i] %= base;
        }
        self.key(&half, low).filter(|key| key < high)
    }

    /// The largest key of up to `PRECISION` characters that shares nothing with any other: a far end.
    pub(crate) fn far(&self) -> Option<ObjectKey> {
        let last = self.symbols.last()?;
        Some(ObjectKey::new(String::from_iter([*last; PRECISION])))
    }

    /// One more than there are symbols: digit 0 is the end of the key.
    fn base(&self) -> f64 {
        (self.symbols.len() + 1) as f64
    }

    fn digits(&self, key: &ObjectKey, skip: usize, count: usize) -> Vec<u32> {
        let digit = |c: char| match self.symbols.binary_search(&c) {
            Ok(i) => i as u32 + 1,
            Err(i) => i as u32,
        };
        let mut digits: Vec<u32> = text(key).chars().skip(skip).take(count).map(digit).collect();
        digits.resize(count, 0);
        digits
    }

    /// The shortest useful key of these digits that is after `low`.
    fn key(&self, digits: &[u32], low: &ObjectKey) -> Option<ObjectKey> {
        let used = digits.len() - digits.iter().rev().take_while(|d| **d == 0).count();
        let mut key = String::new();
        let mut spare = 3;
        for digit in &digits[..used] {
            key.push(*self.symbols.get((*digit as usize).saturating_sub(1))?);
            if key.as_bytes() > low.as_bytes() {
                spare -= 1;
            }
            if spare == 0 {
                break;
            }
        }
        (key.as_bytes() > low.as_bytes()).then(|| ObjectKey::new(key))
    }
}

/// The part of a key that is text; bytes that are not end it.
fn text(key: &ObjectKey) -> &str {
    key.as_bytes().utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// Characters that both begin with.
fn common(a: &ObjectKey, b: &ObjectKey) -> usize {
    text(a).chars().zip(text(b).chars()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alphabet(keys: &[&ObjectKey]) -> Alphabet {
        let mut alphabet = Alphabet::default();
        keys.iter().for_each(|key| alphabet.learn(key));
        alphabet
    }

    fn key() -> impl Strategy<Value = ObjectKey> {
        prop_oneof![
            "[0-9a-f]{0,12}".prop_map(ObjectKey::new),
            "photos/[a-c/]{0,4}[0-9]{1,8}".prop_map(ObjectKey::new),
            "\\PC{0,6}".prop_map(ObjectKey::new),
            prop::collection::vec(any::<u8>(), 0..8).prop_map(ObjectKey::new),
        ]
    }

    proptest! {
        #[test]
        fn a_border_lies_inside_its_range(a in key(), b in key(), c in key(), times in 0.0f64..1e6) {
            let mut keys = [a, b, c];
            keys.sort();
            let [first, at, end] = keys;
            let alphabet = alphabet(&[&first, &at, &end]);
            if let Some(middle) = alphabet.middle(&at, &end) {
                prop_assert!(at < middle && middle < end, "{at:?} {middle:?} {end:?}");
                prop_assert!(middle.to_str().is_some());
            }
            if let Some(beyond) = alphabet.beyond(&first, &at, times) {
                prop_assert!(at < beyond, "{at:?} {beyond:?}");
            }
        }
    }

    #[test]
    fn the_middle_is_about_in_the_middle() {
        let (low, high) = (ObjectKey::from("key-0001"), ObjectKey::from("key-0009"));
        let digits: Vec<ObjectKey> = (0..10).map(|i| ObjectKey::new(format!("{i}"))).collect();
        let mut alphabet = alphabet(&digits.iter().collect::<Vec<_>>());
        alphabet.learn(&low);
        let middle = alphabet.middle(&low, &high).unwrap();
        assert!(middle.as_bytes().starts_with(b"key-0005"), "{middle:?}");
        assert!((alphabet.ratio(&low, &ObjectKey::from("key-0003"), &high) - 3.0).abs() < 0.01);
        let beyond = alphabet.beyond(&low, &ObjectKey::from("key-0002"), 4.0).unwrap();
        assert!(beyond.as_bytes().starts_with(b"key-0006"), "{beyond:?}");
    }

    #[test]
    fn neighbours_have_no_middle() {
        let (low, high) = (ObjectKey::from("a"), ObjectKey::new(vec![b'a', 0]));
        assert_eq!(alphabet(&[&low, &high]).middle(&low, &high), None);
    }
}
