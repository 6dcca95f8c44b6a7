//! A service that lists in an order of its own, and a ledger that dies on plan.

use std::cmp::Ordering;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use proto::ObjectKey;
use proto::manifest::Entry;
use storage::{Error, ErrorKind, ListRequest, ObjectMeta, Op, Page, Pages, Read, Source, Version};

use crate::scan::ledger::{Commit, Ledger, LedgerError, NewTask, ScanState};

#[derive(Debug, Clone)]
pub(super) struct Service {
    /// In the order of the service.
    pub(super) entries: Arc<Mutex<Vec<Entry>>>,
    pub(super) order: fn(&ObjectKey, &ObjectKey) -> Ordering,
    pub(super) page: usize,
    pub(super) latency: Duration,
    /// Every n-th page comes empty, before the next one.
    pub(super) empty_every: u64,
    /// Every n-th request breaks.
    pub(super) break_every: u64,
    /// Each page begins with the last key of the one before; `start-after` is inclusive.
    pub(super) repeats: bool,
    /// A listing that starts after a key leaves so many out.
    pub(super) skips: usize,
    /// The token stands still after so many entries.
    pub(super) stuck_at: Option<usize>,
    pub(super) calls: Arc<AtomicU64>,
}

pub(super) fn entry(key: &str) -> Entry {
    Entry { key: ObjectKey::from(key), size: key.len() as u64, modified_ms: Some(1), ..Entry::default() }
}

pub(super) fn by_bytes(a: &ObjectKey, b: &ObjectKey) -> Ordering {
    a.cmp(b)
}

/// As a file system lists: `d/x` before `d-x`.
pub(super) fn by_folder(a: &ObjectKey, b: &ObjectKey) -> Ordering {
    let parts =
        |key: &ObjectKey| key.as_bytes().split(|b| *b == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
    parts(a).cmp(&parts(b))
}

/// No order that anybody knows.
pub(super) fn by_noise(a: &ObjectKey, b: &ObjectKey) -> Ordering {
    let noise = |key: &ObjectKey| {
        key.as_bytes().iter().fold(7u64, |n, b| (n ^ u64::from(*b)).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    };
    noise(a).cmp(&noise(b)).then_with(|| a.cmp(b))
}

impl Service {
    pub(super) fn new(
        keys: impl IntoIterator<Item = impl AsRef<str>>,
        order: fn(&ObjectKey, &ObjectKey) -> Ordering,
        page: usize,
    ) -> Self {
        let mut entries: Vec<Entry> = keys.into_iter().map(|key| entry(key.as_ref())).collect();
        entries.sort_by(|a, b| order(&a.key, &b.key));
        entries.dedup_by(|a, b| a.key == b.key);
        Service {
            entries: Arc::new(Mutex::new(entries)),
            order,
            page,
            latency: Duration::from_millis(100),
            empty_every: 0,
            break_every: 0,
            repeats: false,
            skips: 0,
            stuck_at: None,
            calls: Arc::default(),
        }
    }

    pub(super) fn keys(&self) -> Vec<ObjectKey> {
        let mut keys: Vec<_> = self.entries.lock().unwrap().iter().map(|entry| entry.key.clone()).collect();
        keys.sort();
        keys
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// Objects come and go, one every 0.2 s, for ever.
    pub(super) async fn toggle(&self, keys: &[String]) {
        for key in keys.iter().cycle() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let mut entries = self.entries.lock().unwrap();
            let new = entry(key);
            match entries.binary_search_by(|e| (self.order)(&e.key, &new.key)) {
                Ok(at) => drop(entries.remove(at)),
                Err(at) => entries.insert(at, new),
            }
        }
        std::future::pending().await
    }

    fn folded(&self, under: &ObjectKey) -> Page {
        let mut page = Page::default();
        for entry in self.entries.lock().unwrap().iter() {
            let Some(rest) = entry.key.as_bytes().strip_prefix(under.as_bytes()) else { continue };
            match rest.iter().position(|b| *b == b'/') {
                Some(at) => {
                    let prefix =
                        ObjectKey::new(entry.key.as_bytes()[..under.as_bytes().len() + at + 1].to_vec());
                    if page.prefixes.last() != Some(&prefix) {
                        page.prefixes.push(prefix);
                    }
                }
                None => page.entries.push(entry.clone()),
            }
        }
        page
    }

    /// A page of what is after `after`, and the key to go on after; `first`: the client asked for it.
    fn after(&self, after: Option<&ObjectKey>, first: bool) -> (Page, Option<Option<ObjectKey>>) {
        let entries = self.entries.lock().unwrap();
        let mut from =
            after.map_or(0, |after| entries.partition_point(|e| (self.order)(&e.key, after).is_le()));
        if first && after.is_some() {
            from = (from + self.skips).min(entries.len());
        }
        let to = (from + self.page).min(entries.len());
        let before = from.checked_sub(1).and_then(|before| entries.get(before));
        if self.repeats && before.is_some_and(|before| !first || Some(&before.key) == after) {
            from -= 1;
        }
        let page = Page { entries: entries[from..to].to_vec(), ..Page::default() };
        let next = page.entries.last().filter(|_| to < entries.len()).map(|last| Some(last.key.clone()));
        let stuck = self.stuck_at.is_some_and(|stuck| to >= stuck);
        (page, if stuck { Some(after.cloned()) } else { next })
    }
}

#[async_trait]
impl Source for Service {
    async fn check(&self) -> storage::Result<()> {
        Ok(())
    }

    fn list(&self, request: ListRequest) -> Pages {
        let service = self.clone();
        let begin = Some(request.after.clone());
        stream::unfold((begin, true, false), move |(token, first, was_empty)| {
            let (service, request) = (service.clone(), request.clone());
            async move {
                let token = token?;
                tokio::time::sleep(service.latency).await;
                let call = service.calls.fetch_add(1, Relaxed) + 1;
                if service.break_every > 0 && call.is_multiple_of(service.break_every) {
                    return Some((Err(Error::new(ErrorKind::Broken, Op::List, "cut")), (None, false, false)));
                }
                if request.folded {
                    return Some((Ok(service.folded(&request.under)), (None, false, false)));
                }
                if service.empty_every > 0 && !was_empty && call.is_multiple_of(service.empty_every) {
                    return Some((Ok(Page::default()), (Some(token), first, true)));
                }
                let (page, next) = service.after(token.as_ref(), first);
                Some((Ok(page), (next, false, false)))
            }
        })
        .boxed()
    }

    async fn head(&self, key: &ObjectKey) -> storage::Result<ObjectMeta> {
        self.calls.fetch_add(1, Relaxed);
        tokio::time::sleep(self.latency).await;
        let entries = self.entries.lock().unwrap();
        let Some(entry) = entries.iter().find(|entry| entry.key == *key) else {
            return Err(Error::new(ErrorKind::NotFound, Op::Head, "none").on(key));
        };
        Ok(ObjectMeta { size: entry.size, modified_ms: entry.modified_ms, ..ObjectMeta::default() })
    }

    async fn read(&self, key: &ObjectKey, _: Option<Range<u64>>, _: &Version) -> storage::Result<Read> {
        Err(Error::new(ErrorKind::Unsupported, Op::Get, "a scan reads nothing").on(key))
    }
}

#[derive(Debug)]
pub(super) struct Book {
    pub(super) tasks: Mutex<Vec<NewTask>>,
    pub(super) state: Mutex<ScanState>,
    pub(super) commits: AtomicU64,
    pub(super) idle: AtomicBool,
    /// The commit of this number fails; and is durable all the same when `after`.
    pub(super) dies_at: u64,
    pub(super) dies_after: bool,
    pub(super) scratch: tempfile::TempDir,
    pub(super) latency: Duration,
    /// Of the rounds before.
    pub(super) earlier: Vec<Entry>,
}

impl Book {
    pub(super) fn new() -> Self {
        Book {
            tasks: Mutex::default(),
            state: Mutex::default(),
            commits: AtomicU64::new(0),
            idle: AtomicBool::new(false),
            dies_at: 0,
            dies_after: false,
            scratch: tempfile::tempdir().unwrap(),
            latency: Duration::from_millis(10),
            earlier: Vec::new(),
        }
    }

    /// What a restart finds; the next death is planned.
    pub(super) fn reopened(self, dies_at: u64, dies_after: bool) -> Self {
        Book { commits: AtomicU64::new(0), dies_at, dies_after, ..self }
    }

    pub(super) fn state(&self) -> ScanState {
        self.state.lock().unwrap().clone()
    }

    /// Every key in a task, sorted; checks what holds of tasks and state at any time.
    pub(super) fn keys(&self) -> Vec<ObjectKey> {
        let tasks = self.tasks.lock().unwrap();
        let state = self.state();
        assert!(tasks.iter().enumerate().all(|(i, task)| task.number as usize == i + 1));
        assert!(tasks.iter().all(|task| task.bytes == task.entries.iter().map(|e| e.size).sum::<u64>()));
        assert_eq!(state.last_task as usize, tasks.len());
        assert_eq!(state.objects, tasks.iter().map(|task| task.entries.len() as u64).sum::<u64>());
        assert_eq!(state.bytes, tasks.iter().map(|task| task.bytes).sum::<u64>());
        let mut keys: Vec<_> = tasks.iter().flat_map(|task| &task.entries).map(|e| e.key.clone()).collect();
        keys.sort();
        keys
    }
}

#[async_trait]
impl Ledger for Book {
    async fn commit(&self, commit: Commit) -> Result<(), LedgerError> {
        tokio::time::sleep(self.latency).await;
        let dies = self.commits.fetch_add(1, Relaxed) + 1 == self.dies_at;
        if !dies || self.dies_after {
            self.tasks.lock().unwrap().extend(commit.tasks);
            *self.state.lock().unwrap() = ScanState::from_bytes(&commit.state.to_bytes()).unwrap();
        }
        if dies { Err(LedgerError::Store("killed".into())) } else { Ok(()) }
    }

    async fn committed(&self) -> Result<BoxStream<'static, Result<Vec<Entry>, LedgerError>>, LedgerError> {
        let tasks: Vec<_> = self.tasks.lock().unwrap().iter().rev().map(|t| Ok(t.entries.clone())).collect();
        Ok(stream::iter(tasks).boxed())
    }

    async fn earlier(&self) -> Result<BoxStream<'static, Result<Vec<Entry>, LedgerError>>, LedgerError> {
        Ok(stream::iter([Ok(self.earlier.clone())]).boxed())
    }

    fn idle(&self) -> bool {
        self.idle.load(Relaxed)
    }

    fn scratch(&self) -> PathBuf {
        self.scratch.path().join("sort")
    }
}
