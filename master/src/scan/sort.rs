//! Sorts a listing on disk by the keys of the destination: runs of bounded size, merged into one rising stream.
//!
//! A run is a file of blocks: the length (u32, little-endian) and the entries in the form of a manifest,
//! which carries its checksum. Runs never outlive the scan that made them; after a crash the sort begins anew.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use proto::ObjectKey;
use proto::manifest::{self, Entry};

use super::ledger::ScanError;

/// Entries of one run.
const RUN_ENTRIES: usize = 200_000;
/// Bytes of memory of one run.
const RUN_BYTES: usize = 64 << 20;
/// Entries of one block: what a reader holds.
const BLOCK: usize = 1000;
/// Runs that are merged at once.
const FAN_IN: usize = 64;

/// Takes entries in any order.
#[derive(Debug)]
pub(crate) struct Sorter {
    dir: PathBuf,
    name: &'static str,
    entries: Vec<Entry>,
    bytes: usize,
    runs: Vec<Run>,
    made: u32,
    run_entries: usize,
}

/// A sorted file.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    path: PathBuf,
    entries: u64,
}

/// By what it is called at the destination, and by its own key among those that are called alike.
type Place = (ObjectKey, ObjectKey);

/// Sorted files as one stream: rising, each key once.
#[derive(Debug)]
pub(crate) struct Merged {
    readers: Vec<Reader>,
    /// The next entry of each reader, smallest key first.
    heads: BinaryHeap<Reverse<(Place, usize)>>,
    doubles: u64,
}

#[derive(Debug)]
struct Reader {
    run: Run,
    file: BufReader<File>,
    block: IntoIter<Entry>,
    left: u64,
}

// === impl Sorter ===

impl Sorter {
    /// Makes runs `name-…` in `dir`, which is there.
    pub(crate) fn new(dir: PathBuf, name: &'static str) -> Self {
        Sorter {
            dir,
            name,
            entries: Vec::new(),
            bytes: 0,
            runs: Vec::new(),
            made: 0,
            run_entries: RUN_ENTRIES,
        }
    }

    /// With small runs.
    #[cfg(test)]
    pub(crate) fn with_runs_of(mut self, entries: usize) -> Self {
        self.run_entries = entries;
        self
    }

    /// Takes more; writes a run when the memory is used up. Blocks.
    pub(crate) fn push(&mut self, entries: Vec<Entry>) -> Result<(), ScanError> {
        self.bytes += entries.iter().map(memory).sum::<usize>();
        self.entries.extend(entries);
        if self.entries.len() >= self.run_entries || self.bytes >= RUN_BYTES { self.spill() } else { Ok(()) }
    }

    /// All that was taken, sorted. Blocks.
    pub(crate) fn finish(mut self) -> Result<Merged, ScanError> {
        self.spill()?;
        while self.runs.len() > FAN_IN {
            let batch: Vec<Run> = self.runs.drain(..FAN_IN).collect();
            let mut merged = Merged::open(&batch)?;
            let mut writer = self.writer()?;
            while let Some(entry) = merged.next()? {
                writer.add(entry)?;
            }
            self.runs.push(writer.finish()?);
            batch.iter().try_for_each(|run| fs::remove_file(&run.path).map_err(|e| file(&run.path, e)))?;
        }
        Merged::open(&self.runs)
    }

    fn spill(&mut self) -> Result<(), ScanError> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.entries.sort_unstable_by(|a, b| (a.target(), &a.key).cmp(&(b.target(), &b.key)));
        let mut writer = self.writer()?;
        self.entries.drain(..).try_for_each(|entry| writer.add(entry))?;
        self.bytes = 0;
        self.runs.push(writer.finish()?);
        Ok(())
    }

    fn writer(&mut self) -> Result<Writer, ScanError> {
        self.made += 1;
        let path = self.dir.join(format!("{}-{:06}.run", self.name, self.made));
        let out = BufWriter::new(File::create(&path).map_err(|error| file(&path, error))?);
        Ok(Writer { run: Run { path, entries: 0 }, out, block: Vec::with_capacity(BLOCK) })
    }
}

/// About what an entry takes in memory.
fn memory(entry: &Entry) -> usize {
    let etag = entry.etag.as_ref().map_or(0, String::len);
    let to = entry.to.as_ref().map_or(0, |to| to.as_bytes().len() + 48);
    size_of::<Entry>() + entry.key.as_bytes().len() + etag + to + 48
}

fn place(entry: &Entry) -> Place {
    (entry.target().clone(), entry.key.clone())
}

struct Writer {
    run: Run,
    out: BufWriter<File>,
    block: Vec<Entry>,
}

impl Writer {
    fn add(&mut self, entry: Entry) -> Result<(), ScanError> {
        self.block.push(entry);
        if self.block.len() < BLOCK { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<(), ScanError> {
        let bytes = manifest::encode(&self.block);
        let length = (bytes.len() as u32).to_le_bytes();
        let written = self.out.write_all(&length).and_then(|()| self.out.write_all(&bytes));
        written.map_err(|error| file(&self.run.path, error))?;
        self.run.entries += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Run, ScanError> {
        if !self.block.is_empty() {
            self.write()?;
        }
        self.out.flush().map_err(|error| file(&self.run.path, error))?;
        Ok(self.run)
    }
}

// === impl Merged ===

impl Merged {
    fn open(runs: &[Run]) -> Result<Self, ScanError> {
        let mut merged = Merged { readers: Vec::new(), heads: BinaryHeap::new(), doubles: 0 };
        for (i, run) in runs.iter().enumerate() {
            let mut reader = Reader::open(run.clone())?;
            if let Some(key) = reader.head()? {
                merged.heads.push(Reverse((key, i)));
            }
            merged.readers.push(reader);
        }
        Ok(merged)
    }

    /// The next entry: the largest key so far. Blocks.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ScanError> {
        let Some(mut entry) = self.pop()? else { return Ok(None) };
        let place = place(&entry);
        while self.heads.peek().is_some_and(|Reverse((next, _))| *next == place) {
            self.doubles += 1;
            // Listed twice: the later version is the one to move.
            if let Some(other) = self.pop()?.filter(|other| other.modified_ms > entry.modified_ms) {
                entry = other;
            }
        }
        Ok(Some(entry))
    }

    /// Keys that came more than once, so far.
    pub(crate) fn doubles(&self) -> u64 {
        self.doubles
    }

    fn pop(&mut self) -> Result<Option<Entry>, ScanError> {
        let Some(Reverse((_, i))) = self.heads.pop() else { return Ok(None) };
        let Some(reader) = self.readers.get_mut(i) else { return Ok(None) };
        let entry = reader.block.next();
        if let Some(key) = reader.head()? {
            self.heads.push(Reverse((key, i)));
        }
        Ok(entry)
    }
}

// === impl Reader ===

impl Reader {
    fn open(run: Run) -> Result<Self, ScanError> {
        let input = File::open(&run.path).map_err(|error| file(&run.path, error))?;
        let left = run.entries;
        Ok(Reader { run, file: BufReader::new(input), block: Vec::new().into_iter(), left })
    }

    /// The place of the next entry, reading the next block where needed.
    fn head(&mut self) -> Result<Option<Place>, ScanError> {
        if self.block.as_slice().is_empty() && self.left > 0 {
            let block = self.read()?;
            self.left = self.left.saturating_sub(block.len() as u64);
            self.block = block.into_iter();
        }
        Ok(self.block.as_slice().first().map(place))
    }

    fn read(&mut self) -> Result<Vec<Entry>, ScanError> {
        let failed = |error| file(&self.run.path, error);
        let mut length = [0; 4];
        self.file.read_exact(&mut length).map_err(failed)?;
        let mut bytes = Vec::new();
        let wanted = u64::from(u32::from_le_bytes(length));
        self.file.by_ref().take(wanted).read_to_end(&mut bytes).map_err(failed)?;
        let damaged = |error| ScanError::Internal(format!("{}: {error}", self.run.path.display()));
        manifest::decode(&bytes).map_err(damaged)
    }
}

/// The directory, with those above it.
pub(crate) fn make(dir: &Path) -> Result<(), ScanError> {
    fs::create_dir_all(dir).map_err(|error| file(dir, error))
}

/// Away with the directory, if it is there.
pub(crate) fn remove(dir: &Path) -> Result<(), ScanError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file(dir, error)),
        _ => Ok(()),
    }
}

fn file(path: &Path, error: std::io::Error) -> ScanError {
    ScanError::File { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn sorted(sorter: Sorter) -> Vec<ObjectKey> {
        let mut merged = sorter.finish().unwrap();
        std::iter::from_fn(|| merged.next().unwrap()).map(|entry| entry.key).collect()
    }

    fn entry(key: u16, modified_ms: i64) -> Entry {
        Entry { key: ObjectKey::new(key.to_string()), modified_ms: Some(modified_ms), ..Entry::default() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn whatever_comes_leaves_sorted_and_once(keys in prop::collection::vec(any::<u16>(), 0..3000), run in 1usize..40) {
            let dir = tempfile::tempdir().unwrap();
            let mut sorter = Sorter::new(dir.path().to_owned(), "source").with_runs_of(run * 10);
            for page in keys.chunks(7) {
                sorter.push(page.iter().map(|key| entry(*key, 0)).collect()).unwrap();
            }
            let model: BTreeSet<ObjectKey> = keys.iter().map(|key| entry(*key, 0).key).collect();
            prop_assert_eq!(sorted(sorter), model.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn of_two_versions_the_later_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(dir.path().to_owned(), "source").with_runs_of(1);
        sorter.push(vec![entry(1, 5)]).unwrap();
        sorter.push(vec![entry(1, 9), entry(1, 7)]).unwrap();
        let mut merged = sorter.finish().unwrap();
        assert_eq!(merged.next().unwrap(), Some(entry(1, 9)));
        assert_eq!(merged.next().unwrap(), None);
        assert_eq!(merged.doubles(), 2);
    }

    #[test]
    fn a_damaged_run_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(dir.path().to_owned(), "source");
        sorter.push((0..2500).map(|key| entry(key, 0)).collect()).unwrap();
        sorter.spill().unwrap();
        let path = sorter.runs[0].path.clone();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let mut merged = sorter.finish().unwrap();
        let end = std::iter::from_fn(|| merged.next().transpose()).find_map(Result::err);
        assert!(matches!(end, Some(ScanError::Internal(_))), "{end:?}");
    }
}
