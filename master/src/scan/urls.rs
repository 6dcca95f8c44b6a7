//! The scan of a list of URLs. Nothing is asked of the servers: what an object is, the worker learns when it reads it.
//!
//! The list is read twice. The first time finds out which lines give a key that an earlier line gave (sorted on
//! disk), and what the list is, so that a scan that is resumed goes on only in the same list. The second time
//! sends the lines on. Memory does not grow with the list but for two bits a line. Every line is answered for: it
//! is an object, it repeats an earlier line, or it is recorded as failed with its number and what is wrong with it.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use conf::JobConf;
use crc_fast::{CrcAlgorithm, Digest};
use proto::ObjectKey;
use proto::manifest::Entry;
use storage::Meter;
use storage::weblist::line::{Columns, parse, shown};
use storage::weblist::{fetch, read_line};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::context::{Context, Halt};
use super::ledger::{Ledger, ScanError};
use super::lister::Segment;
use super::repeats::{Finder, Repeats};
use super::sort;

/// Bytes of a line; a longer one is no URL of any server.
const LONGEST: usize = 64 << 10;
/// Bytes of a bad line that are recorded.
const SHOWN: usize = 1024;
/// Bytes of the list that are read at once.
const READ: usize = 1 << 20;

/// A list that was read once.
#[derive(Debug)]
pub(crate) struct List {
    path: PathBuf,
    columns: Columns,
    repeats: Repeats,
    /// What tells it from another list.
    pub(crate) sum: u64,
    lines: u64,
    bad: u64,
    scratch: PathBuf,
}

/// Ends blocking work when whoever waits for it is gone.
#[derive(Debug, Default, Clone)]
struct Stop(Arc<AtomicBool>);

struct StopOnDrop(Stop);

/// What is read, line by line.
struct Lines<'a> {
    input: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    digest: Digest,
    path: &'a Path,
}

/// What a line is.
enum Kind<'a> {
    Blank,
    Object { origin: &'a str, domain: &'a str, key: &'a str },
    Bad(String),
}

// === impl Stop ===

impl Stop {
    fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Runs it on a thread of its own; when this future is dropped, it ends soon.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Stop) -> Result<T, Halt> + Send + 'static,
) -> Result<T, Halt> {
    let stop = Stop::default();
    let _guard = StopOnDrop(stop.clone());
    let ended = spawn_blocking(move || work(&stop)).await;
    ended.unwrap_or_else(|error| Err(ScanError::Internal(error.to_string()).into()))
}

// === impl Lines ===

impl<'a> Lines<'a> {
    fn open(path: &'a Path) -> Result<Self, ScanError> {
        let file = File::open(path).map_err(|error| ScanError::File { path: path.to_owned(), error })?;
        Ok(Lines {
            input: BufReader::with_capacity(READ, file),
            line: Vec::new(),
            number: 0,
            digest: Digest::new(CrcAlgorithm::Crc64Nvme),
            path,
        })
    }

    /// The next line is in `line`.
    fn next(&mut self) -> Result<bool, ScanError> {
        let read = read_line(&mut self.input, &mut self.line, LONGEST);
        let more = read.map_err(|error| ScanError::File { path: self.path.to_owned(), error })?;
        if more {
            self.number += 1;
            self.digest.update(&self.line);
            self.digest.update(b"\n");
        }
        Ok(more)
    }

    /// What an editor put before the first line is none of it.
    fn text(&self) -> &[u8] {
        let line = &self.line[..];
        if self.number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line }
    }

    fn kind(&self, columns: Columns) -> Kind<'_> {
        let line = self.text();
        if line.len() > LONGEST {
            return Kind::Bad(format!("it is longer than {LONGEST} bytes"));
        }
        if line.contains(&0) {
            return Kind::Bad("it has a NUL character in it".to_owned());
        }
        match std::str::from_utf8(line).map(|line| parse(line, columns)) {
            Err(_) => Kind::Bad("it is not UTF-8: write such bytes as %XX".to_owned()),
            Ok(Err(why)) => Kind::Bad(why),
            Ok(Ok(None)) => Kind::Blank,
            Ok(Ok(Some(line))) => Kind::Object { origin: line.origin, domain: line.domain, key: line.key },
        }
    }
}

/// Gets the list where it is a URL itself, and reads it for the first time.
pub(crate) async fn prepare(context: &Context, job: &JobConf, ledger: &dyn Ledger) -> Result<List, Halt> {
    let scratch = ledger.scratch();
    // Blocking work of a scan that was stopped may still write: it shall not find this one's files.
    let dir = scratch.join(format!("{:08x}", rand::random::<u32>()));
    let (all, own) = (scratch.clone(), dir.clone());
    blocking(move |_| sort::remove(&all).and_then(|()| sort::make(&own)).map_err(Halt::from)).await?;
    let fetched = dir.join("list");
    let context_of_list = storage::open::Context {
        meter: Meter::unlimited(),
        timeout: job.transfer.timeout,
        job: job.name.clone(),
    };
    let mut patience = context.patience();
    let path = loop {
        match fetch(&job.source, &context_of_list, &fetched).await {
            Ok(true) => break fetched,
            Ok(false) => break job.source.key_list.clone().unwrap_or_default(),
            Err(error) => patience.wait(error).await?,
        }
    };
    let columns = Columns { prefix: job.source.prefix_column, path: job.source.path_column };
    let list = blocking(move |stop| survey(path, columns, dir, scratch, stop)).await?;
    warn(context, &list);
    Ok(list)
}

/// The first time.
fn survey(
    path: PathBuf,
    columns: Columns,
    dir: PathBuf,
    scratch: PathBuf,
    stop: &Stop,
) -> Result<List, Halt> {
    let mut lines = Lines::open(&path)?;
    let mut finder = Finder::new(dir);
    let mut bad = 0;
    while lines.next()? {
        if stop.asked() {
            return Err(Halt::Stopped);
        }
        match lines.kind(columns) {
            Kind::Blank => {}
            Kind::Bad(_) => bad += 1,
            Kind::Object { origin, key, .. } => finder.add(lines.number, origin, key)?,
        }
    }
    let (sum, count) = (lines.digest.finalize(), lines.number);
    let repeats = finder.finish(count)?;
    Ok(List { path, columns, repeats, sum, lines: count, bad, scratch })
}

fn warn(context: &Context, list: &List) {
    if list.bad > 0 {
        context.warnings.add(format!(
            "{} of the {} lines of the list name no object: each is recorded as failed, with its number",
            list.bad, list.lines
        ));
    }
    let (same, clashing) = (list.repeats.same(), list.repeats.clashing());
    if same > 0 {
        let text =
            format!("{same} lines of the list repeat an earlier one, with the same URL: they are left out");
        context.warnings.add(text);
    }
    if clashing > 0 {
        context.warnings.add(format!(
            "{clashing} lines of the list give a key that an earlier line gives with another URL: each is \
             recorded as failed, with its number; the first line counts"
        ));
    }
}

/// The second time: sends what is behind line `done`.
pub(crate) async fn run(
    context: Arc<Context>,
    list: List,
    done: u64,
    out: mpsc::Sender<Segment>,
) -> Result<(), Halt> {
    let scratch = list.scratch.clone();
    blocking(move |stop| send(&context, &list, done, &out, stop)).await?;
    blocking(move |_| sort::remove(&scratch).map_err(Halt::from)).await
}

fn send(
    context: &Context,
    list: &List,
    done: u64,
    out: &mpsc::Sender<Segment>,
    stop: &Stop,
) -> Result<(), Halt> {
    let mut lines = Lines::open(&list.path)?;
    let (mut origin, mut domain) = (Arc::<str>::from(""), String::new());
    while lines.next()? {
        if stop.asked() {
            return Err(Halt::Stopped);
        }
        if lines.number <= done {
            continue;
        }
        let mut segment = Segment { lines: lines.number, ..Segment::default() };
        match lines.kind(list.columns) {
            Kind::Blank => {}
            Kind::Bad(why) => segment.entries.push(bad_url(lines.number, lines.text(), &why)),
            Kind::Object { .. } if list.repeats.is_same(lines.number) => {}
            Kind::Object { key, .. } if list.repeats.is_clashing(lines.number) => {
                let earlier = list.repeats.first_of(lines.number);
                let earlier = earlier.map_or("an earlier line".to_owned(), |line| format!("line {line}"));
                let why = format!("{earlier} gives the key {key:?} with another URL");
                segment.entries.push(bad_url(lines.number, lines.text(), &why));
            }
            Kind::Object { origin: begin, domain: there, key } => {
                if *origin != *begin {
                    origin = Arc::from(begin);
                }
                segment.apart = !domain.is_empty() && !domain.eq_ignore_ascii_case(there);
                if domain != there {
                    domain = there.to_owned();
                }
                segment.entries.push(Entry {
                    key: ObjectKey::new(key.to_owned()),
                    size_unknown: true,
                    origin: Some(origin.clone()),
                    ..Entry::default()
                });
            }
        }
        segment.entries.retain(|entry| context.filter.keeps(entry));
        context.progress.add(segment.entries.len() as u64, 0);
        out.blocking_send(segment).map_err(|_| Halt::Stopped)?;
    }
    if lines.digest.finalize() != list.sum {
        return Err(changed(&list.path).into());
    }
    Ok(())
}

/// It is not the list that was read before.
pub(crate) fn changed(list: &Path) -> ScanError {
    ScanError::Changed(format!(
        "the list {} was changed since it was read first: give the job the list as it was and resume it, or \
         clean the job and submit it again",
        list.display()
    ))
}

/// Of what there is, and how much, nobody knows anything.
fn bad_url(number: u64, line: &[u8], why: &str) -> Entry {
    Entry { size_unknown: true, ..bad(number, line, why) }
}

/// A line that names no object is answered for as one that failed.
pub(crate) fn bad(number: u64, line: &[u8], why: &str) -> Entry {
    let text = shown(&String::from_utf8_lossy(&line[..line.len().min(SHOWN)]));
    Entry {
        key: ObjectKey::new(text),
        refused: Some(format!(
            "line {number} of the list: {why}. Correct the line, and import the list of what failed."
        )),
        ..Entry::default()
    }
}

impl List {
    /// Where its lines are read from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
