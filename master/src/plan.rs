//! What a job would find: the scan of a round, counted and forgotten. Nothing is kept, and only an unordered
//! listing is sorted on disk, in the system's directory for temporary files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use conf::JobConf;
use futures::stream::{self, BoxStream, StreamExt};
use proto::ObjectKey;
use proto::manifest::Entry;
use storage::{Meter, RequestKind, Source};
use tokio_util::sync::CancellationToken;

use crate::scan::ledger::{Commit, Ledger, LedgerError, Progress, ScanEnd, ScanState};

/// The upper ends of the size classes, in bytes; what is larger is the last class.
const CLASSES: [u64; 6] = [0, 4 << 10, 64 << 10, 1 << 20, 16 << 20, 1 << 30];
/// So many prefixes are told apart; objects below others are counted together.
const PREFIXES: usize = 10_000;
/// So many keys are shown with what they become, and so many that are refused.
const FIRST: usize = 10;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Everything that the job would look at.
    pub all: Count,
    /// Of them, those whose size is not known before they are read: they are in no class of sizes.
    pub unknown: u64,
    /// By size: up to and including so many bytes, `None`: more than all before.
    pub sizes: Vec<(Option<u64>, Count)>,
    /// By the first segment of the key, with its `/`; the empty one has the objects without any. In key order.
    pub prefixes: Vec<(ObjectKey, Count)>,
    /// Below prefixes that are too many to be told apart.
    pub other_prefixes: Count,
    /// No objects: sockets, devices, links that are not followed.
    pub special: u64,
    /// Requests for pages of the listing.
    pub list_requests: u64,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What the first keys become, in the order of the destination; empty without rules.
    pub mapping: Vec<(ObjectKey, ObjectKey)>,
    /// Objects that the rules leave without a name of their own.
    pub refused: u64,
    /// The first of them, and why.
    pub refusals: Vec<(ObjectKey, String)>,
}

/// Objects and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub objects: u64,
    /// Sum of their sizes.
    pub bytes: u64,
}

/// The source cannot be listed to its end.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(String);

/// Scans what `job` would scan. `meter` is the source's.
///
/// # Errors
/// What would end the scan of the job.
pub async fn plan(job: &JobConf, source: Arc<dyn Source>, meter: &Meter) -> Result<Plan, PlanError> {
    let counter = Arc::new(Counter::default());
    let scratch = counter.scratch();
    let scanned = crate::scan::run(
        job,
        source,
        None,
        ScanState::default(),
        counter.clone(),
        Arc::new(Progress::default()),
        CancellationToken::new(),
    );
    let ended = Box::pin(scanned).await;
    // The scan removes it itself, unless it fails.
    let _ = std::fs::remove_dir_all(scratch);
    match ended.map_err(|error| PlanError(error.to_string()))? {
        ScanEnd::Stopped => Err(PlanError("the scan was stopped".to_owned())),
        ScanEnd::Complete(state) => {
            let listed = meter.counts().into_iter().find(|count| count.kind == RequestKind::List);
            let mut plan = counter.tally().plan();
            plan.special = state.special;
            if job.rename.is_empty() {
                plan.mapping.clear();
            }
            plan.warnings = state.warnings;
            plan.list_requests = listed.map_or(0, |count| count.requests);
            Ok(plan)
        }
    }
}

/// Takes the tasks that a scan makes, and keeps their sums.
#[derive(Debug)]
struct Counter {
    tally: Mutex<Tally>,
    scratch: PathBuf,
}

#[derive(Debug, Default)]
struct Tally {
    all: Count,
    unknown: u64,
    sizes: [Count; CLASSES.len() + 1],
    prefixes: BTreeMap<Vec<u8>, Count>,
    other: Count,
    mapping: Vec<(ObjectKey, ObjectKey)>,
    refused: u64,
    refusals: Vec<(ObjectKey, String)>,
}

// === impl Count, Tally, Counter ===

impl Count {
    fn add(&mut self, entry: &Entry) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(entry.size);
    }
}

impl Tally {
    fn add(&mut self, entry: &Entry) {
        self.all.add(entry);
        self.map(entry);
        if entry.size_unknown {
            self.unknown += 1;
        } else {
            self.sizes[CLASSES.partition_point(|most| *most < entry.size)].add(entry);
        }
        let key = entry.key.as_bytes();
        let prefix = key.iter().position(|byte| *byte == b'/').map_or(&key[..0], |at| &key[..=at]);
        if let Some(count) = self.prefixes.get_mut(prefix) {
            count.add(entry);
        } else if self.prefixes.len() < PREFIXES {
            self.prefixes.entry(prefix.to_vec()).or_default().add(entry);
        } else {
            self.other.add(entry);
        }
    }

    fn map(&mut self, entry: &Entry) {
        if let Some(why) = &entry.refused {
            self.refused += 1;
            if self.refusals.len() < FIRST {
                self.refusals.push((entry.key.clone(), why.clone()));
            }
        } else if self.mapping.len() < FIRST {
            self.mapping.push((entry.key.clone(), entry.target().clone()));
        }
    }

    fn plan(&self) -> Plan {
        let ends = CLASSES.into_iter().map(Some).chain([None]);
        Plan {
            all: self.all,
            unknown: self.unknown,
            sizes: ends.zip(self.sizes).collect(),
            prefixes: self
                .prefixes
                .iter()
                .map(|(key, count)| (ObjectKey::new(key.clone()), *count))
                .collect(),
            other_prefixes: self.other,
            mapping: self.mapping.clone(),
            refused: self.refused,
            refusals: self.refusals.clone(),
            ..Plan::default()
        }
    }
}

impl Default for Counter {
    fn default() -> Self {
        let name = format!("brigade-plan-{}-{:08x}", std::process::id(), rand::random::<u32>());
        Counter { tally: Mutex::default(), scratch: std::env::temp_dir().join(name) }
    }
}

impl Counter {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Ledger for Counter {
    async fn commit(&self, commit: Commit) -> Result<(), LedgerError> {
        let mut tally = self.tally();
        commit.tasks.iter().flat_map(|task| &task.entries).for_each(|entry| tally.add(entry));
        Ok(())
    }

    /// The service broke the order, and everything is listed once more: it is counted anew.
    async fn committed(&self) -> Result<BoxStream<'static, Result<Vec<Entry>, LedgerError>>, LedgerError> {
        *self.tally() = Tally::default();
        Ok(stream::empty().boxed())
    }

    async fn earlier(&self) -> Result<BoxStream<'static, Result<Vec<Entry>, LedgerError>>, LedgerError> {
        Ok(stream::empty().boxed())
    }

    fn idle(&self) -> bool {
        false
    }

    fn scratch(&self) -> PathBuf {
        self.scratch.clone()
    }
}

#[cfg(test)]
mod tests {
    use storage::memory::MemoryStore;

    use super::*;

    async fn planned(keys: &[(&str, usize)]) -> Plan {
        let (store, meter) = (MemoryStore::new(), Meter::unlimited());
        for (key, size) in keys {
            store.insert(*key, vec![0; *size]);
        }
        let job = crate::testing::conf("plan");
        plan(&job, Arc::new(store.metered(meter.clone())), &meter).await.unwrap()
    }

    #[tokio::test]
    async fn objects_are_counted_by_prefix_and_by_size() {
        let found = planned(&[("a/1", 0), ("a/b/2", 4096), ("a/3", 4097), ("c", 10), ("d/e", 70_000)]).await;
        let count = |objects, bytes| Count { objects, bytes };
        assert_eq!(found.all, count(5, 78_203));
        let prefixes: Vec<(&str, Count)> =
            found.prefixes.iter().map(|(key, count)| (key.to_str().unwrap(), *count)).collect();
        assert_eq!(prefixes, [("", count(1, 10)), ("a/", count(3, 8193)), ("d/", count(1, 70_000))]);
        let sizes: Vec<u64> = found.sizes.iter().map(|(_, count)| count.objects).collect();
        assert_eq!(sizes, [1, 2, 1, 1, 0, 0, 0]);
        assert_eq!((found.sizes[1].0, found.sizes[6].0), (Some(4096), None));
        assert!(found.list_requests > 0);
    }

    #[test]
    fn too_many_prefixes_are_counted_together() {
        let mut tally = Tally::default();
        for n in 0..PREFIXES + 7 {
            tally.add(&Entry { key: format!("p{n}/x").as_str().into(), size: 2, ..Entry::default() });
        }
        let plan = tally.plan();
        assert_eq!((plan.prefixes.len(), plan.other_prefixes), (PREFIXES, Count { objects: 7, bytes: 14 }));
        assert_eq!(plan.all.objects, PREFIXES as u64 + 7);
    }
}
