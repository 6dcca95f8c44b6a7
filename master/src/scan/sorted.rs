//! The scan of a service that breaks the order: one listing of everything, sorted on disk.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use conf::rename::Mapping;
use futures::StreamExt;
use proto::ObjectKey;
use proto::manifest::Entry;
use storage::ListRequest;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::context::{Context, Halt};
use super::ledger::{Ledger, ScanError};
use super::lister::{Segment, warn_doubles};
use super::merge::Join;
use super::sort::{self, Merged, Sorter};
use super::walk::stands_still;

/// Entries that go from the merge to the committer at once.
const BATCH: usize = 1000;
/// Pages without a key, one after the other, of a listing that stands still.
const EMPTY_PAGES: u32 = 10_000;
/// The same page so often is a listing that stands still.
const REPEATS: u32 = 3;

/// Lists, sorts and sends everything that is in no task yet. Begins anew after a failure of the listing.
pub(crate) async fn run(
    context: Arc<Context>,
    ledger: Arc<dyn Ledger>,
    out: mpsc::Sender<Segment>,
) -> Result<(), Halt> {
    let scratch = ledger.scratch();
    // Blocking work of a scan that was stopped may still write: it shall not find this one's files.
    let dir = scratch.join(format!("{:08x}", rand::random::<u32>()));
    let mut patience = context.patience();
    let (source, special) = loop {
        let (all, own) = (scratch.clone(), dir.clone());
        blocking(move || sort::remove(&all).and_then(|()| sort::make(&own))).await?;
        match list(&context, &Mapping::default(), &dir).await {
            Ok(listed) => break listed,
            Err(Halt::Failed(ScanError::Source(error))) => patience.wait(error).await?,
            Err(halt) => return Err(halt),
        }
    };
    let known = committed(ledger.as_ref(), &dir).await?;
    out.send(Segment { special, ..Segment::default() }).await.map_err(|_| Halt::Stopped)?;
    let doubles = send(&context, source, known, out).await?;
    warn_doubles(&context, doubles);
    blocking(move || sort::remove(&scratch)).await
}

/// One listing from the first page to the last.
pub(super) async fn list(context: &Context, mapping: &Mapping, dir: &Path) -> Result<(Sorter, u64), Halt> {
    let mut sorter = Sorter::new(dir.to_owned(), "source");
    let mut pages = context.source.list(ListRequest::default());
    let mut guard = Guard::default();
    let mut special = 0;
    while let Some(page) = pages.next().await {
        let page = page?;
        context.progress.add_page();
        special += page.special;
        if guard.stands_still(&page.entries) {
            return Err(stands_still().into());
        }
        let mut entries = page.entries;
        entries.retain(|entry| context.filter.keeps(entry));
        super::mapped::apply(mapping, &mut entries);
        sorter = blocking(move || sorter.push(entries).map(|()| sorter)).await?;
    }
    Ok((sorter, special))
}

/// Keys that are in tasks.
async fn committed(ledger: &dyn Ledger, dir: &Path) -> Result<Sorter, Halt> {
    let mut sorter = Sorter::new(dir.to_owned(), "known");
    let mut tasks = ledger.committed().await?;
    while let Some(entries) = tasks.next().await {
        let keys: Vec<Entry> =
            entries?.into_iter().map(|entry| Entry { key: entry.key, ..Entry::default() }).collect();
        sorter = blocking(move || sorter.push(keys).map(|()| sorter)).await?;
    }
    Ok(sorter)
}

/// Merges, drops what is known, joins with the destination's listing. Gives the number of double keys.
async fn send(
    context: &Context,
    source: Sorter,
    known: Sorter,
    out: mpsc::Sender<Segment>,
) -> Result<u64, Halt> {
    let mut merge = blocking(move || Merge::open(source, known)).await?;
    let mut join = Join::new(context, None);
    loop {
        let (next, mut entries) = blocking(move || merge.batch()).await?;
        merge = next;
        if entries.is_empty() {
            return Ok(merge.source.doubles());
        }
        if let Some(join) = &mut join {
            join.fill(context, &mut entries).await;
        }
        let bytes = entries.iter().map(|entry| entry.size).fold(0, u64::saturating_add);
        context.progress.add(entries.len() as u64, bytes);
        out.send(Segment { entries, ..Segment::default() }).await.map_err(|_| Halt::Stopped)?;
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ScanError> + Send + 'static,
) -> Result<T, Halt> {
    match spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(ScanError::Internal(error.to_string()).into()),
    }
}

/// What is listed minus what is known.
struct Merge {
    source: Merged,
    known: Merged,
    next_known: Option<ObjectKey>,
}

impl Merge {
    fn open(source: Sorter, known: Sorter) -> Result<Self, ScanError> {
        let mut known = known.finish()?;
        let next_known = known.next()?.map(|entry| entry.key);
        Ok(Merge { source: source.finish()?, known, next_known })
    }

    fn batch(mut self) -> Result<(Self, Vec<Entry>), ScanError> {
        let mut entries = Vec::with_capacity(BATCH);
        while entries.len() < BATCH {
            let Some(entry) = self.source.next()? else { break };
            while self.next_known.as_ref().is_some_and(|known| *known < entry.key) {
                self.next_known = self.known.next()?.map(|entry| entry.key);
            }
            if self.next_known.as_ref() != Some(&entry.key) {
                entries.push(entry);
            }
        }
        Ok((self, entries))
    }
}

/// Finds a listing that goes in circles, of any length, with one page remembered.
#[derive(Debug, Default)]
struct Guard {
    remembered: Option<u64>,
    since: u64,
    until: u64,
    repeats: u32,
    empty: u32,
}

impl Guard {
    fn stands_still(&mut self, entries: &[Entry]) -> bool {
        if entries.is_empty() {
            self.empty += 1;
            return self.empty >= EMPTY_PAGES;
        }
        self.empty = 0;
        let mut hasher = DefaultHasher::new();
        entries.iter().for_each(|entry| entry.key.hash(&mut hasher));
        let page = hasher.finish();
        if self.remembered == Some(page) {
            self.repeats += 1;
        }
        self.since += 1;
        if self.since > self.until && self.repeats == 0 {
            // Twice as long as before: a circle of any length fits some time.
            (self.remembered, self.since, self.until) = (Some(page), 0, (self.until * 2).max(1));
        }
        self.repeats >= REPEATS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_in_a_circle_is_found_and_a_long_one_is_not() {
        let page = |key: u32| [Entry { key: ObjectKey::new(key.to_string()), ..Entry::default() }];
        for circle in [1, 2, 7, 100] {
            let mut guard = Guard::default();
            let found = (0..circle * 20).position(|i| guard.stands_still(&page(i % circle)));
            assert!(found.is_some(), "{circle}");
        }
        let mut guard = Guard::default();
        assert!((0..10_000).all(|i| !guard.stands_still(&page(i))));
        assert!((1..EMPTY_PAGES).all(|_| !guard.stands_still(&[])));
        assert!(guard.stands_still(&[]));
    }
}
