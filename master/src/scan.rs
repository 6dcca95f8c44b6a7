//! From a source to tasks: parallel, resumable listing that believes no listing it has not checked.
//!
//! Mode `Ranges`: listers walk key ranges (`ranges`, `lister`, `walk`), the committer cuts tasks and commits
//! them with the positions. A listing out of order ends that: the round goes over to mode `Sorted`, one
//! listing of everything, sorted on disk (`sorted`, `sort`), minus what is in tasks already. A key list
//! (`lines`) takes the place of a listing, and a list of URLs (`urls`) has no other. Where rules change keys (`mapped`),
//! everything is listed first and sorted by what it becomes.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use conf::JobConf;
use conf::job::EndpointType;
use conf::rename::Mapping;
use storage::Source;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::split::Limits;

use committer::Committer;
use context::{Context, Halt};
use ledger::{Commit, Ledger, Progress, ScanEnd, ScanError, ScanMode, ScanState};
use lister::{Lister, Segment};
use ranges::Table;

mod committer;
mod context;
mod keys;
pub(crate) mod ledger;
mod lines;
mod lister;
mod mapped;
mod merge;
mod order;
mod ranges;
pub(crate) mod record;
mod repeats;
mod sort;
mod sorted;
mod urls;
mod walk;

/// Pages between listers and committer.
const SEGMENTS: usize = 16;

/// Lines of a list of URLs between its reader and the committer.
const LINES: usize = 1024;

/// Lines of a key list that are looked at at the same time, for each of `scan_threads`.
const LOOKS_EACH: usize = 4;

/// Scans one round from `state` on, until everything is in tasks or `shutdown` is asked for. `existing` is
/// the destination's listing, where it saves asking for each object. A state that is done is given back.
pub(crate) async fn run(
    job: &JobConf,
    source: Arc<dyn Source>,
    existing: Option<Arc<dyn Source>>,
    state: ScanState,
    ledger: Arc<dyn Ledger>,
    progress: Arc<Progress>,
    shutdown: CancellationToken,
) -> Result<ScanEnd, ScanError> {
    if state.done {
        return Ok(ScanEnd::Complete(state));
    }
    let mapping = Mapping::new(&job.rename).map_err(|error| ScanError::Internal(error.to_string()))?;
    // Where keys change, a listing of the source is in another order than one of the destination.
    let (beside, renamed) = if mapping.is_identity() { (existing, None) } else { (None, existing) };
    let context = Arc::new(Context::new(job, source, beside, progress, state.warnings.clone()));
    let limits = Limits { count: job.task.object_count_limit as usize, bytes: job.task.object_size_limit };
    let scan = Scan { job: job.clone(), context, ledger, limits, shutdown, mapping, renamed };
    Box::pin(scan.run(state)).await
}

struct Scan {
    job: JobConf,
    context: Arc<Context>,
    ledger: Arc<dyn Ledger>,
    limits: Limits,
    shutdown: CancellationToken,
    mapping: Mapping,
    /// The destination's listing, of a job that changes keys.
    renamed: Option<Arc<dyn Source>>,
}

// === impl Scan ===

impl Scan {
    async fn run(&self, mut state: ScanState) -> Result<ScanEnd, ScanError> {
        if self.job.source.kind == EndpointType::Http {
            return ended(self.urls(state).await);
        }
        if !self.mapping.is_identity() {
            return ended(self.mapped(state).await);
        }
        if let Some(path) = &self.job.source.key_list {
            return ended(self.lines(path, state).await);
        }
        if state.mode == ScanMode::Ranges {
            let (halt, after) = self.ranges(state).await?;
            let Some(Halt::Disorder(how)) = halt else { return ended(Ok((halt, after))) };
            state = self.disorder(after, &how).await?;
        }
        let (out, segments) = mpsc::channel(SEGMENTS);
        let committer = self.committer(state, None);
        let work = Box::pin(sorted::run(self.context.clone(), self.ledger.clone(), out));
        ended(self.drive(committer, segments, async { work.await.err() }).await)
    }

    /// Mode `Ranges`, to its end.
    async fn ranges(&self, state: ScanState) -> Result<(Option<Halt>, ScanState), ScanError> {
        let table = Arc::new(Table::new(state.ranges.clone(), state.next_range));
        let (out, segments) = mpsc::channel(SEGMENTS);
        let listers = self.listers(&table, out);
        let committer = self.committer(state, Some(table));
        self.drive(committer, segments, supervise(listers)).await
    }

    fn listers(&self, table: &Arc<Table>, out: mpsc::Sender<Segment>) -> JoinSet<Result<(), Halt>> {
        let lister = Lister { context: self.context.clone(), table: table.clone(), out };
        let mut listers = JoinSet::new();
        for _ in 0..self.job.task.scan_threads.max(1) {
            listers.spawn(lister.clone().work());
        }
        listers.spawn(lister.discover(self.job.task.scan_depth));
        listers
    }

    /// Keys change on the way.
    async fn mapped(&self, state: ScanState) -> Result<(Option<Halt>, ScanState), ScanError> {
        let (out, segments) = mpsc::channel(SEGMENTS);
        let committer = self.committer(state, None);
        let work = Box::pin(mapped::run(self, out));
        self.drive(committer, segments, async { work.await.err() }).await
    }

    fn at_once(&self) -> usize {
        LOOKS_EACH * self.job.task.scan_threads as usize
    }

    /// A key list in place of a listing.
    async fn lines(&self, path: &Path, state: ScanState) -> Result<(Option<Halt>, ScanState), ScanError> {
        let (out, segments) = mpsc::channel(SEGMENTS);
        let work = Box::pin(lines::run(self.context.clone(), path, state.lines, self.at_once(), out));
        let committer = self.committer(state, None);
        self.drive(committer, segments, async { work.await.err() }).await
    }

    /// A list of URLs.
    async fn urls(&self, mut state: ScanState) -> Result<(Option<Halt>, ScanState), ScanError> {
        let prepare = urls::prepare(&self.context, &self.job, self.ledger.as_ref());
        let list = match self.shutdown.run_until_cancelled(Box::pin(prepare)).await {
            None => return Ok((Some(Halt::Stopped), state)),
            Some(Err(halt)) => return Ok((Some(halt), state)),
            Some(Ok(list)) => list,
        };
        if state.lines > 0 && state.list_sum != list.sum {
            return Ok((Some(urls::changed(list.path()).into()), state));
        }
        state.list_sum = list.sum;
        let (out, segments) = mpsc::channel(LINES);
        let work = Box::pin(urls::run(self.context.clone(), list, state.lines, out));
        let committer = self.committer(state, None);
        self.drive(committer, segments, async { work.await.err() }).await
    }

    fn committer(&self, state: ScanState, table: Option<Arc<Table>>) -> Committer {
        Committer::new(self.context.clone(), self.ledger.clone(), table, self.limits, state)
    }

    /// Producers and committer side by side. What was found before a halt is committed.
    async fn drive(
        &self,
        mut committer: Committer,
        segments: mpsc::Receiver<Segment>,
        work: impl Future<Output = Option<Halt>>,
    ) -> Result<(Option<Halt>, ScanState), ScanError> {
        let work = async {
            match self.shutdown.run_until_cancelled(work).await {
                Some(halt) => halt,
                None => Some(Halt::Stopped),
            }
        };
        let (halt, committed) = tokio::join!(work, committer.run(segments));
        committed?;
        let state = committer.finish(halt.is_none()).await?;
        Ok((halt, state))
    }

    /// From here on the listing is sorted on disk.
    async fn disorder(&self, mut state: ScanState, how: &str) -> Result<ScanState, ScanError> {
        self.context.warnings.add(format!(
            "the source does not list in key order ({how}); it is listed once more and sorted on disk"
        ));
        state.mode = ScanMode::Sorted;
        state.ranges.clear();
        state.warnings = self.context.warnings.all();
        self.ledger.commit(Commit { tasks: Vec::new(), state: state.clone() }).await?;
        Ok(state)
    }
}

fn ended(end: Result<(Option<Halt>, ScanState), ScanError>) -> Result<ScanEnd, ScanError> {
    let (halt, state) = end?;
    match halt {
        None => Ok(ScanEnd::Complete(state)),
        Some(Halt::Stopped) => Ok(ScanEnd::Stopped),
        Some(Halt::Failed(error)) => Err(error),
        Some(Halt::Disorder(how)) => Err(ScanError::Internal(how)),
    }
}

/// Until all listers are done, or one of them cannot go on: then the others end as well.
async fn supervise(mut listers: JoinSet<Result<(), Halt>>) -> Option<Halt> {
    let mut worst = None;
    while let Some(end) = listers.join_next().await {
        let halt = match end {
            Ok(Ok(())) => continue,
            Ok(Err(halt)) => halt,
            Err(error) if error.is_cancelled() => continue,
            Err(error) => Halt::Failed(ScanError::Internal(error.to_string())),
        };
        listers.abort_all();
        // The first one counts: what comes after it is its consequence.
        worst.get_or_insert(halt);
    }
    worst
}

#[cfg(test)]
mod tests;
