//! The scan of a job that changes keys: everything is listed, sorted on disk by what it becomes, and only then put
//! into tasks.
//!
//! So two keys that become the same one lie side by side before anything of them is written: the first of them is
//! the owner, each other one is refused and says whose name it would take. A name that was given once stays with its
//! owner: within the round over kills, and over all rounds of the job. And in this order the entries can be joined
//! with the destination's listing.

use std::path::Path;
use std::sync::Arc;

use conf::rename::{Mapped, Mapping};
use futures::StreamExt;
use proto::ObjectKey;
use proto::manifest::Entry;
use storage::Source;
use tokio::sync::mpsc;

use super::context::{Context, Halt};
use super::ledger::{Ledger, ScanError};
use super::lister::{Segment, warn_doubles};
use super::merge::Join;
use super::ranges::Table;
use super::sort::{self, Merged, Sorter};
use super::sorted::{self, blocking};
use super::{SEGMENTS, Scan, lines, supervise};

/// Entries that go from the merge to the committer at once.
const BATCH: usize = 1000;
/// Bytes of a destination key that a refusal repeats.
const SHOWN: usize = 256;

/// Gives the entries what they are called at the destination.
pub(super) fn apply(mapping: &Mapping, entries: &mut [Entry]) {
    if mapping.is_identity() {
        return;
    }
    for entry in entries {
        // A key that is no text is refused by whoever would write it.
        match entry.key.to_str().map(|key| mapping.map(key)) {
            None | Some(Mapped::Same) => {}
            Some(Mapped::To(to)) => entry.to = Some(ObjectKey::new(to)),
            Some(Mapped::Refused(why)) => entry.refused = Some(why),
        }
    }
}

/// Lists, sorts and sends everything that is in no task yet. A scan that was killed begins here anew.
pub(super) async fn run(scan: &Scan, out: mpsc::Sender<Segment>) -> Result<(), Halt> {
    let scratch = scan.ledger.scratch();
    // Blocking work of a scan that was stopped may still write: it shall not find this one's files.
    let dir = scratch.join(format!("{:08x}", rand::random::<u32>()));
    let (all, own) = (scratch.clone(), dir.clone());
    blocking(move || sort::remove(&all).and_then(|()| sort::make(&own))).await?;
    let listed = match gather(scan, &dir).await {
        Err(Halt::Disorder(how)) => {
            scan.context.warnings.add(format!(
                "the source does not list in key order ({how}); it is listed once more, from the first to the last key"
            ));
            sorted::list(&scan.context, &scan.mapping, &dir).await
        }
        listed => listed,
    };
    let (source, special) = listed?;
    let (known, owners) = given(scan.ledger.as_ref(), &dir).await?;
    out.send(Segment { special, ..Segment::default() }).await.map_err(|_| Halt::Stopped)?;
    let groups = blocking(move || Groups::open(source, known, owners)).await?;
    let doubles = send(&scan.context, scan.renamed.clone(), groups, out).await?;
    warn_doubles(&scan.context, doubles);
    blocking(move || sort::remove(&scratch)).await
}

/// Everything that the source has, or that the key list names.
async fn gather(scan: &Scan, dir: &Path) -> Result<(Sorter, u64), Halt> {
    let (out, segments) = mpsc::channel(SEGMENTS);
    let collected = collect(&scan.mapping, segments, Sorter::new(dir.to_owned(), "source"));
    let Some(path) = &scan.job.source.key_list else {
        let table = Arc::new(Table::new(Vec::new(), 0));
        let (halt, collected) = tokio::join!(supervise(scan.listers(&table, out)), collected);
        // Without a collector the listers only stop: its error is the cause.
        return collected.and_then(|collected| halt.map_or(Ok(collected), Err));
    };
    let looked = Box::pin(lines::run(scan.context.clone(), path, 0, scan.at_once(), out));
    let (looked, collected) = tokio::join!(looked, collected);
    collected.and_then(|collected| looked.map(|()| collected))
}

/// What the listers find, as long as one of them lives.
async fn collect(
    mapping: &Mapping,
    mut segments: mpsc::Receiver<Segment>,
    mut sorter: Sorter,
) -> Result<(Sorter, u64), Halt> {
    let mut special = 0;
    while let Some(segment) = segments.recv().await {
        special += segment.special;
        let mut entries = segment.entries;
        apply(mapping, &mut entries);
        sorter = blocking(move || sorter.push(entries).map(|()| sorter)).await?;
    }
    Ok((sorter, special))
}

/// What is in tasks of this round, and who owns which name since when.
async fn given(ledger: &dyn Ledger, dir: &Path) -> Result<(Sorter, Sorter), Halt> {
    let name = |entry: &Entry| Entry { key: entry.key.clone(), to: entry.to.clone(), ..Entry::default() };
    let owned =
        |entries: &[Entry]| entries.iter().filter(|entry| entry.refused.is_none()).map(name).collect();
    let mut known = Sorter::new(dir.to_owned(), "known");
    let mut owners = Sorter::new(dir.to_owned(), "owners");
    let mut tasks = ledger.committed().await?;
    while let Some(entries) = tasks.next().await {
        let entries = entries?;
        let (keys, own): (Vec<Entry>, Vec<Entry>) = (entries.iter().map(name).collect(), owned(&entries));
        (known, owners) = blocking(move || {
            known.push(keys)?;
            owners.push(own)?;
            Ok((known, owners))
        })
        .await?;
    }
    let mut tasks = ledger.earlier().await?;
    while let Some(entries) = tasks.next().await {
        let own = owned(&entries?);
        owners = blocking(move || owners.push(own).map(|()| owners)).await?;
    }
    Ok((known, owners))
}

/// Drops what is in tasks, joins with the destination's listing. Gives the number of double keys.
async fn send(
    context: &Context,
    existing: Option<Arc<dyn Source>>,
    mut groups: Groups,
    out: mpsc::Sender<Segment>,
) -> Result<u64, Halt> {
    let mut join = existing.map(|listing| Join::over(listing, context, None));
    loop {
        let (next, mut entries) = blocking(move || groups.batch()).await?;
        groups = next;
        if entries.is_empty() {
            return Ok(groups.source.doubles());
        }
        if let Some(join) = &mut join {
            join.fill(context, &mut entries).await;
        }
        out.send(Segment { entries, ..Segment::default() }).await.map_err(|_| Halt::Stopped)?;
    }
}

/// What is listed, in groups of one name each.
struct Groups {
    source: Merged,
    known: Merged,
    next_known: Option<Entry>,
    owners: Merged,
    next_owner: Option<Entry>,
    /// The name of the group under way.
    name: Option<ObjectKey>,
    /// Whose it is.
    owner: Option<ObjectKey>,
}

impl Groups {
    fn open(source: Sorter, known: Sorter, owners: Sorter) -> Result<Self, ScanError> {
        let (mut known, mut owners) = (known.finish()?, owners.finish()?);
        let (next_known, next_owner) = (known.next()?, owners.next()?);
        let source = source.finish()?;
        Ok(Groups { source, known, next_known, owners, next_owner, name: None, owner: None })
    }

    fn batch(mut self) -> Result<(Self, Vec<Entry>), ScanError> {
        let mut entries = Vec::with_capacity(BATCH);
        while entries.len() < BATCH {
            let Some(mut entry) = self.source.next()? else { break };
            if self.name.as_ref() != Some(entry.target()) {
                self.owner = self.owner_of(entry.target())?;
                self.name = Some(entry.target().clone());
            }
            if self.is_known(&entry)? {
                continue;
            }
            if entry.refused.is_none() {
                self.judge(&mut entry);
            }
            entries.push(entry);
        }
        Ok((self, entries))
    }

    /// The first one of a name takes it, each other one is refused.
    fn judge(&mut self, entry: &mut Entry) {
        let owner = self.owner.get_or_insert_with(|| entry.key.clone());
        if *owner != entry.key {
            // The record has it as well, and many texts lie in one manifest.
            let name = Some(entry.target()).filter(|name| name.as_bytes().len() <= SHOWN);
            let name = name.map(|name| format!(" {name:?}")).unwrap_or_default();
            entry.refused = Some(format!(
                "its destination key{name} is also that of {owner:?}, which has it: one would be written over the other. \
                 Rename one of them at the source, or move it with other rules in a new job."
            ));
        }
    }

    fn owner_of(&mut self, name: &ObjectKey) -> Result<Option<ObjectKey>, ScanError> {
        while self.next_owner.as_ref().is_some_and(|owner| owner.target() < name) {
            self.next_owner = self.owners.next()?;
        }
        let owner = self.next_owner.as_ref().filter(|owner| owner.target() == name);
        Ok(owner.map(|owner| owner.key.clone()))
    }

    fn is_known(&mut self, entry: &Entry) -> Result<bool, ScanError> {
        let place = (entry.target(), &entry.key);
        while self.next_known.as_ref().is_some_and(|known| (known.target(), &known.key) < place) {
            self.next_known = self.known.next()?;
        }
        Ok(self.next_known.as_ref().is_some_and(|known| (known.target(), &known.key) == place))
    }
}
