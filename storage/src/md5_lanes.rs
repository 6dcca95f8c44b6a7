//! MD5 (RFC 1321) of four messages at once.
//!
//! A step of MD5 waits for the one before it, so that one message leaves most of a processor idle. Four of them,
//! word beside word, fill it: 0.50 s of processor time a GiB where one after the other takes 1.58 (docs/performance.md).
//! Plain code: the compiler makes vectors of the four words where the processor has them. Eight at once are slower, and
//! even in wide registers hardly faster.

use std::array::from_fn;
use std::slice::Iter;

use bytes::Bytes;

use crate::payload::Payload;

/// Messages at once.
pub(crate) const LANES: usize = 4;
const BLOCK: usize = 64;

/// One word of each message.
type Words = [u32; LANES];

const BEGIN: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
];

/// The MD5s of four payloads. Best where they have one length: the work is that of the longest.
pub(crate) fn md5_of_four(payloads: [&Payload; LANES]) -> [[u8; 16]; LANES] {
    let mut lanes = payloads.map(Lane::new);
    let mut state = BEGIN.map(|word| [word; LANES]);
    let mut md5s = [[0; 16]; LANES];
    while let Some(busy) = lanes.iter().position(|lane| lane.left > 0) {
        let run = lanes.iter().filter(|lane| lane.left > 0).map(Lane::at_hand).min().unwrap_or_default();
        if run > 0 {
            let blocks = from_fn(|lane| lanes[if lanes[lane].left > 0 { lane } else { busy }].blocks());
            for block in 0..run {
                compress(&mut state, blocks.map(|blocks| &blocks[block]));
            }
            lanes.iter_mut().for_each(|lane| lane.skip(run));
        } else {
            let blocks = from_fn::<_, LANES, _>(|lane| lanes[lane].gather());
            compress(&mut state, from_fn(|lane| &blocks[lane]));
            for (lane, md5) in md5s.iter_mut().enumerate() {
                if lanes[lane].ends() {
                    *md5 = digest(&state, lane);
                }
            }
        }
    }
    md5s
}

/// One message on its way through.
struct Lane<'a> {
    chunks: Iter<'a, Bytes>,
    /// Of the current chunk.
    rest: &'a [u8],
    bytes: u64,
    /// Blocks to come, with those that pad.
    left: u64,
    /// The bit behind the message was set.
    marked: bool,
}

// === impl Lane ===

impl<'a> Lane<'a> {
    fn new(payload: &'a Payload) -> Self {
        let bytes = payload.len();
        Lane { chunks: payload.chunks().iter(), rest: &[], bytes, left: (bytes + 8) / 64 + 1, marked: false }
    }

    /// Whole blocks that lie together.
    fn at_hand(&self) -> usize {
        self.rest.len() / BLOCK
    }

    fn blocks(&self) -> &'a [[u8; BLOCK]] {
        self.rest.as_chunks().0
    }

    fn skip(&mut self, blocks: usize) {
        if self.left > 0 {
            self.rest = &self.rest[blocks * BLOCK..];
            self.left -= blocks as u64;
        }
    }

    /// The next block wherever its bytes lie, padded at the end. Of a message that ended: anything.
    fn gather(&mut self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            if self.rest.is_empty() {
                match self.chunks.next() {
                    Some(chunk) => self.rest = chunk,
                    None => break,
                }
            }
            let (now, rest) = self.rest.split_at(self.rest.len().min(BLOCK - filled));
            block[filled..filled + now.len()].copy_from_slice(now);
            filled += now.len();
            self.rest = rest;
        }
        if filled < BLOCK && !self.marked {
            block[filled] = 0x80;
            self.marked = true;
        }
        if self.left == 1 {
            block[BLOCK - 8..].copy_from_slice(&(self.bytes << 3).to_le_bytes());
        }
        block
    }

    /// Counts a gathered block: was it the last one?
    fn ends(&mut self) -> bool {
        let ends = self.left == 1;
        self.left = self.left.saturating_sub(1);
        ends
    }
}

fn digest(state: &[Words; 4], lane: usize) -> [u8; 16] {
    let mut md5 = [0; 16];
    for (bytes, words) in md5.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&words[lane].to_le_bytes());
    }
    md5
}

/// The four rounds of RFC 1321, section 3.4, on a block of each message. Written out by macros: as loops the words
/// do not stay in registers.
#[inline(always)]
fn compress(state: &mut [Words; 4], blocks: [&[u8; BLOCK]; LANES]) {
    let message: [Words; 16] = from_fn(|word| blocks.map(|block| le_word(block, word)));
    let [mut a, mut b, mut c, mut d] = *state;
    macro_rules! step {
        ($mix:expr, $i:expr, $word:expr) => {
            let (word, shift) = (&message[$word % 16], SHIFTS[$i / 16][$i % 4]);
            let next = from_fn(|lane| {
                let mixed: u32 = $mix(b[lane], c[lane], d[lane]);
                let sum = a[lane].wrapping_add(word[lane]).wrapping_add(SINES[$i]).wrapping_add(mixed);
                b[lane].wrapping_add(sum.rotate_left(shift))
            });
            (a, d, c, b) = (d, c, b, next);
        };
    }
    macro_rules! four_steps {
        ($mix:expr, $i:expr, $stride:expr, $first:expr) => {
            step!($mix, $i, $i * $stride + $first);
            step!($mix, $i + 1, ($i + 1) * $stride + $first);
            step!($mix, $i + 2, ($i + 2) * $stride + $first);
            step!($mix, $i + 3, ($i + 3) * $stride + $first);
        };
    }
    macro_rules! round {
        ($mix:expr, $i:expr, $stride:expr, $first:expr) => {
            four_steps!($mix, $i, $stride, $first);
            four_steps!($mix, $i + 4, $stride, $first);
            four_steps!($mix, $i + 8, $stride, $first);
            four_steps!($mix, $i + 12, $stride, $first);
        };
    }
    round!(|b: u32, c: u32, d: u32| (b & c) | (!b & d), 0, 1, 0);
    round!(|b: u32, c: u32, d: u32| (d & b) | (!d & c), 16, 5, 1);
    round!(|b: u32, c: u32, d: u32| b ^ c ^ d, 32, 3, 5);
    round!(|b: u32, c: u32, d: u32| c ^ (b | !d), 48, 7, 0);
    for (words, more) in state.iter_mut().zip([a, b, c, d]) {
        *words = from_fn(|lane| words[lane].wrapping_add(more[lane]));
    }
}

fn le_word(block: &[u8; BLOCK], word: usize) -> u32 {
    let [a, b, c, d] = from_fn(|byte| block[word * 4 + byte]);
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payload(chunks: &[Vec<u8>]) -> Payload {
        Payload::new(chunks.iter().cloned().map(Bytes::from).collect())
    }

    #[test]
    fn the_answers_of_the_specification() {
        // RFC 1321, A.5.
        let texts = ["", "a", "message digest", "abcdefghijklmnopqrstuvwxyz"];
        let md5s = [
            "d41d8cd98f00b204e9800998ecf8427e",
            "0cc175b9c0f1b6a831c399e269772661",
            "f96b697d7cb7938d525a2f31aaf161d0",
            "c3fcd3d76192e4007dfb496cca67e13b",
        ];
        let payloads = texts.map(Payload::from);
        assert_eq!(md5_of_four(payloads.each_ref()).map(hex::encode), md5s);
    }

    #[test]
    fn every_length_around_a_block_is_padded_right() {
        for length in (0..=200).step_by(4) {
            let payloads: [Payload; 4] = from_fn(|more| payload(&[vec![0xa7; length + more]]));
            assert_eq!(md5_of_four(payloads.each_ref()), payloads.each_ref().map(Payload::md5), "{length}");
        }
    }

    proptest! {
        #[test]
        fn four_at_once_are_four_one_after_the_other(
            chunks in proptest::array::uniform4(proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..300), 0..6)),
        ) {
            let payloads = chunks.each_ref().map(|chunks| payload(chunks));
            prop_assert_eq!(md5_of_four(payloads.each_ref()), payloads.each_ref().map(Payload::md5));
        }
    }
}
