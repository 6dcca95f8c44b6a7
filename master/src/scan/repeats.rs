//! Which lines of a list give a key that an earlier line gave. Sorted on disk by key and line, so that any list
//! fits into little memory; what is kept of the answer are two bits a line.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use proto::ObjectKey;
use proto::manifest::Entry;

use super::ledger::ScanError;
use super::sort::Sorter;

/// Entries that go to the sorter at once.
const BATCH: usize = 4096;
/// So many lines are named with the earlier line that they clash with.
const NAMED: usize = 10_000;
/// Bytes behind a key in the sort: a NUL, which no line has, and the line's number.
const TAIL: usize = 9;

/// Takes lines in their order.
#[derive(Debug)]
pub(crate) struct Finder {
    sorter: Sorter,
    batch: Vec<Entry>,
}

/// The answer.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    same: Bits,
    clashing: Bits,
    first: BTreeMap<u64, u64>,
}

#[derive(Debug, Default)]
struct Bits {
    words: Vec<u64>,
    count: u64,
}

// === impl Finder ===

impl Finder {
    /// Its files go into `dir`, which is there.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Finder { sorter: Sorter::new(dir, "line"), batch: Vec::new() }
    }

    /// Blocks.
    pub(crate) fn add(&mut self, line: u64, origin: &str, key: &str) -> Result<(), ScanError> {
        let mut sorted = Vec::with_capacity(key.len() + TAIL);
        sorted.extend_from_slice(key.as_bytes());
        sorted.push(0);
        sorted.extend_from_slice(&line.to_be_bytes());
        let mut hasher = DefaultHasher::new();
        origin.hash(&mut hasher);
        // The place of the time: a number that the form of a run has room for.
        let origin = Some(hasher.finish() as i64);
        self.batch.push(Entry { key: ObjectKey::new(sorted), modified_ms: origin, ..Entry::default() });
        if self.batch.len() < BATCH { Ok(()) } else { self.sorter.push(std::mem::take(&mut self.batch)) }
    }

    /// Of `lines` lines. Blocks.
    pub(crate) fn finish(mut self, lines: u64) -> Result<Repeats, ScanError> {
        self.sorter.push(self.batch)?;
        let mut merged = self.sorter.finish()?;
        let mut repeats = Repeats { same: Bits::of(lines), clashing: Bits::of(lines), ..Repeats::default() };
        let mut first: Option<(ObjectKey, Option<i64>)> = None;
        while let Some(entry) = merged.next()? {
            let line = line_of(&entry.key);
            match &first {
                Some((earlier, origin)) if key_of(earlier) == key_of(&entry.key) => {
                    if *origin == entry.modified_ms {
                        repeats.same.set(line);
                    } else {
                        repeats.clashing.set(line);
                        if repeats.first.len() < NAMED {
                            repeats.first.insert(line, line_of(earlier));
                        }
                    }
                }
                _ => first = Some((entry.key, entry.modified_ms)),
            }
        }
        Ok(repeats)
    }
}

fn key_of(sorted: &ObjectKey) -> &[u8] {
    let bytes = sorted.as_bytes();
    &bytes[..bytes.len().saturating_sub(TAIL)]
}

fn line_of(sorted: &ObjectKey) -> u64 {
    let bytes = sorted.as_bytes();
    let tail = &bytes[bytes.len().saturating_sub(8)..];
    tail.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

// === impl Repeats ===

impl Repeats {
    /// An earlier line has the same URL.
    pub(crate) fn is_same(&self, line: u64) -> bool {
        self.same.get(line)
    }

    /// An earlier line gives its key with another URL.
    pub(crate) fn is_clashing(&self, line: u64) -> bool {
        self.clashing.get(line)
    }

    /// Which one, where there are not too many.
    pub(crate) fn first_of(&self, line: u64) -> Option<u64> {
        self.first.get(&line).copied()
    }

    pub(crate) fn same(&self) -> u64 {
        self.same.count
    }

    pub(crate) fn clashing(&self) -> u64 {
        self.clashing.count
    }
}

// === impl Bits ===

impl Bits {
    fn of(lines: u64) -> Self {
        Bits { words: vec![0; usize::try_from(lines / 64 + 1).unwrap_or(0)], count: 0 }
    }

    fn set(&mut self, at: u64) {
        if let Some(word) = self.words.get_mut((at / 64) as usize) {
            *word |= 1 << (at % 64);
            self.count += 1;
        }
    }

    fn get(&self, at: u64) -> bool {
        self.words.get((at / 64) as usize).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn the_first_line_of_a_key_counts(
            lines in prop::collection::vec(("[ab]{1,3}", "[xy]"), 0..200), run in 1usize..50,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut finder = Finder::new(dir.path().to_owned());
            finder.sorter = finder.sorter.with_runs_of(run);
            let mut model: HashMap<&str, (u64, &str)> = HashMap::new();
            let mut wanted = Vec::new();
            for (at, (key, origin)) in lines.iter().enumerate() {
                let line = at as u64 + 1;
                finder.add(line, origin, key).unwrap();
                let (first, there) = *model.entry(key).or_insert((line, origin));
                wanted.push((line, first != line && there == origin, (there != origin).then_some(first)));
            }
            let found = finder.finish(lines.len() as u64).unwrap();
            for (line, same, clash) in &wanted {
                prop_assert_eq!(found.is_same(*line), *same);
                prop_assert_eq!(found.is_clashing(*line), clash.is_some());
                prop_assert_eq!(found.first_of(*line), *clash);
            }
            prop_assert_eq!(found.same(), wanted.iter().filter(|(_, same, _)| *same).count() as u64);
            prop_assert_eq!(found.clashing(), wanted.iter().filter(|(.., clash)| clash.is_some()).count() as u64);
        }
    }
}
