//! How fast a scan is, and a master alone, and how much memory they take, without a network: run by hand, optimised.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use proto::ObjectKey;
use proto::manifest::{self, Entry};
use storage::{Error, ErrorKind, ListRequest, ObjectMeta, Op, Page, Pages, Read, Source, Version};
use tokio_util::sync::CancellationToken;

use super::job;
use crate::scan::ledger::{Commit, Ledger, LedgerError, ScanEnd, ScanState};
use crate::scan::run;
use crate::testing::Bench;

/// `objects` keys that are made when they are asked for.
#[derive(Debug, Clone, Copy)]
struct Endless {
    objects: u64,
}

impl Endless {
    fn key(i: u64) -> ObjectKey {
        ObjectKey::new(format!("photos/2026/img-{i:010}.jpg"))
    }

    /// The number of the first key after `after`.
    fn place(self, after: &ObjectKey) -> u64 {
        let (mut low, mut high) = (0, self.objects);
        while low < high {
            let middle = u64::midpoint(low, high);
            if Self::key(middle) <= *after { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn entry(i: u64) -> Entry {
        let etag = [i.wrapping_mul(0x9e37_79b9_7f4a_7c15), i.wrapping_mul(0xd1b5_4a32_d192_ed03)];
        Entry {
            key: Self::key(i),
            size: 4096 + i % 1000,
            modified_ms: Some(1_790_000_000_000 + i as i64),
            etag: Some(hex::encode(etag.map(u64::to_be_bytes).concat())),
            ..Entry::default()
        }
    }
}

#[async_trait]
impl Source for Endless {
    async fn check(&self) -> storage::Result<()> {
        Ok(())
    }

    fn list(&self, request: ListRequest) -> Pages {
        let all = *self;
        let begin = request.after.map_or(0, |after| all.place(&after));
        stream::unfold(begin, move |at| async move {
            tokio::task::yield_now().await;
            let to = (at + 1000).min(all.objects);
            let entries = (at..to).map(Endless::entry).collect();
            (at < to).then_some((Ok(Page { entries, ..Page::default() }), to))
        })
        .boxed()
    }

    async fn head(&self, key: &ObjectKey) -> storage::Result<ObjectMeta> {
        Err(Error::new(ErrorKind::Unsupported, Op::Head, "").on(key))
    }

    async fn read(
        &self,
        k: &ObjectKey,
        _: Option<std::ops::Range<u64>>,
        _: &Version,
    ) -> storage::Result<Read> {
        Err(Error::new(ErrorKind::Unsupported, Op::Get, "").on(k))
    }
}

/// Encodes, and keeps nothing.
#[derive(Debug, Default)]
struct Shredder {
    bytes: AtomicU64,
}

#[async_trait]
impl Ledger for Shredder {
    async fn commit(&self, commit: Commit) -> Result<(), LedgerError> {
        for task in commit.tasks {
            self.bytes.fetch_add(manifest::encode(&task.entries).len() as u64, Relaxed);
        }
        self.bytes.fetch_add(commit.state.to_bytes().len() as u64, Relaxed);
        Ok(())
    }

    async fn committed(&self) -> Result<BoxStream<'static, Result<Vec<Entry>, LedgerError>>, LedgerError> {
        Ok(stream::empty().boxed())
    }

    async fn earlier(&self) -> Result<BoxStream<'static, Result<Vec<Entry>, LedgerError>>, LedgerError> {
        Ok(stream::empty().boxed())
    }

    fn idle(&self) -> bool {
        false
    }

    fn scratch(&self) -> PathBuf {
        PathBuf::new()
    }
}

#[tokio::test]
#[ignore = "a measurement: run it by hand, optimised"]
async fn speed_and_memory() {
    let job = job(16, 10_000);
    for objects in [1_000_000, 4_000_000, 20_000_000] {
        let ledger = Arc::new(Shredder::default());
        let begun = std::time::Instant::now();
        let (source, token) = (Arc::new(Endless { objects }), CancellationToken::new());
        let end = run(&job, source, None, ScanState::default(), ledger.clone(), Arc::default(), token);
        assert!(matches!(end.await.unwrap(), ScanEnd::Complete(state) if state.objects == objects));
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "{objects} objects: {:.0}/s, {}, {} bytes",
            objects as f64 / seconds,
            memory(),
            ledger.bytes.load(Relaxed)
        );
    }
}

/// A hundred million objects in ten thousand tasks, kept as a master keeps them; then killed, and given out.
#[tokio::test]
#[ignore = "a measurement: run it by hand, optimised"]
async fn a_master_alone() {
    let objects = std::env::var("BRIGADE_OBJECTS").map_or(100_000_000, |n| n.parse().unwrap());
    let bench = Bench::new();
    bench.master().submit(&crate::testing::conf("many").to_wire()).unwrap();
    let begun = std::time::Instant::now();
    let (source, token) = (Arc::new(Endless { objects }), CancellationToken::new());
    let keeper = Arc::new(bench.keeper("many"));
    let job = job(16, 10_000);
    let end = run(&job, source, None, ScanState::default(), keeper, Arc::default(), token);
    assert!(matches!(end.await.unwrap(), ScanEnd::Complete(state) if state.objects == objects));
    let rate = objects as f64 / begun.elapsed().as_secs_f64();
    println!("{objects} objects: {rate:.0}/s kept, {}", memory());
    let mut next = bench.killed();
    println!(
        "{:.1} bytes of state and manifests an object",
        size(next.home().root()) as f64 / objects as f64
    );
    let begun = std::time::Instant::now();
    next.restart();
    println!("after a kill: {:.2?} until it answers", begun.elapsed());
    let (begun, mut given) = (std::time::Instant::now(), Vec::new());
    loop {
        match next.fetch(32) {
            none if none.is_empty() => break,
            some => given.extend(some),
        }
    }
    let rate = given.len() as f64 / begun.elapsed().as_secs_f64();
    println!("{} tasks: {rate:.0}/s given out, {}", given.len(), memory());
    assert_eq!(given.iter().map(|grant| u64::from(grant.objects)).sum::<u64>(), objects);
}

/// The most that this process ever had resident.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().to_owned()
}

/// Bytes of all files below.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata().unwrap() {
            meta if meta.is_dir() => size(&entry.path()),
            meta => meta.len(),
        })
        .sum()
}
