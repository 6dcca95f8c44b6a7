//! The scan of a key list: one key a line, each looked at to get its size, time and ETag.

use std::future::ready;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt, stream};
use proto::ObjectKey;
use proto::manifest::{CLASS_MISSING, CLASS_UNSEEN, Entry};
use storage::{ErrorKind, ObjectMeta, retry};
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::mpsc;

use super::context::{Context, Halt};
use super::ledger::ScanError;
use super::lister::Segment;
use super::urls::bad;

/// Bytes of a line; a longer one is no key of any service.
const LONGEST: usize = 64 << 10;

/// One line of the list.
struct Line {
    number: u64,
    holds: Holds,
}

/// What is in a line.
enum Holds {
    Nothing,
    Key(ObjectKey),
    /// It names no object: it is answered for as one that failed.
    Bad(Entry),
}

/// Sends an entry for each line after `done`, in the order of the file, looking at `at_once` of them at a time.
pub(crate) async fn run(
    context: Arc<Context>,
    path: &Path,
    done: u64,
    at_once: usize,
    out: mpsc::Sender<Segment>,
) -> Result<(), Halt> {
    let fails = |error| ScanError::File { path: path.to_owned(), error };
    let input = BufReader::new(File::open(path).await.map_err(fails)?);
    let lines = stream::unfold((input, 0), |(mut input, number)| async move {
        let line = read_line(&mut input).await.transpose()?;
        Some((line.map(|text| (number + 1, text)), (input, number + 1)))
    });
    let looked = lines
        .filter(|line| ready(line.as_ref().map_or(true, |(number, _)| *number > done)))
        .map(|line| async {
            let (number, text) = line.map_err(fails)?;
            look(&context, parse(number, &text)).await
        })
        .buffered(at_once.max(1));
    let mut looked = std::pin::pin!(looked);
    while let Some(segment) = looked.next().await {
        let segment = segment?;
        let bytes = segment.entries.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.size));
        context.progress.add(segment.entries.len() as u64, bytes);
        out.send(segment).await.map_err(|_| Halt::Stopped)?;
    }
    Ok(())
}

/// Of a line that is too long, only so much that this is seen: what no line end is in may have any size.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if (&mut *input).take(LONGEST as u64 + 1).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && line.len() > LONGEST {
        pass_line(input).await?;
    }
    for end in [b'\n', b'\r'] {
        line.pop_if(|last| *last == end);
    }
    Ok(Some(line))
}

async fn pass_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<()> {
    loop {
        let buffer = input.fill_buf().await?;
        let (length, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(length);
        if ended {
            return Ok(());
        }
    }
}

fn parse(number: u64, line: &[u8]) -> Line {
    let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
    let holds = match std::str::from_utf8(line) {
        Ok("") => Holds::Nothing,
        _ if line.len() > LONGEST => Holds::Bad(bad(number, line, "it is longer than any key")),
        Ok(text) => Holds::Key(ObjectKey::from_line(text)),
        Err(_) => Holds::Bad(bad(number, line, "it is not UTF-8; write such bytes as %XX")),
    };
    Line { number, holds }
}

/// One line, one segment: so a task never ends in the middle of one.
async fn look(context: &Context, line: Line) -> Result<Segment, Halt> {
    let mut segment = Segment { lines: line.number, ..Segment::default() };
    let key = match line.holds {
        Holds::Nothing => return Ok(segment),
        Holds::Key(key) => key,
        Holds::Bad(entry) => {
            segment.entries.push(entry);
            return Ok(segment);
        }
    };
    let mut patience = context.patience();
    let entry = loop {
        match context.source.head(&key).await {
            Ok(meta) => break Some(known(key, meta)).filter(|entry| context.filter.keeps(entry)),
            Err(error) if error.kind() == ErrorKind::NotFound => break Some(classed(key, CLASS_MISSING)),
            Err(error) => {
                let systemic = retry::is_systemic(error.kind()) || error.kind() == ErrorKind::Unreachable;
                if let Err(error) = patience.wait(error).await {
                    if systemic {
                        return Err(error.into());
                    }
                    // A failure of this object alone: the worker looks again, and records what it meets.
                    break Some(classed(key, CLASS_UNSEEN));
                }
            }
        }
    };
    segment.entries.extend(entry);
    Ok(segment)
}

fn known(key: ObjectKey, meta: ObjectMeta) -> Entry {
    let ObjectMeta { size, modified_ms, etag, class, .. } = meta;
    Entry { key, size, modified_ms, etag, class, ..Entry::default() }
}

/// Of which nothing else is known.
fn classed(key: ObjectKey, class: &str) -> Entry {
    Entry { key, class: Some(class.into()), ..Entry::default() }
}
