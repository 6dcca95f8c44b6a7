//! From segments to tasks to durable commits: one buffer, one task under way, one commit under way.
//!
//! A range's position moves only when the task that holds its entries is cut, and both go into the same
//! commit. What is buffered at a kill is listed again.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::split::{Limits, Part, Splitter};

use super::context::Context;
use super::ledger::{Commit, Ledger, LedgerError, NewTask, ScanState};
use super::lister::Segment;
use super::ranges::{Mark, Table};

/// Objects in tasks that may wait for the commit under way; then the listers wait.
const WAITING: usize = 40_000;
/// So many pages without an object of the round are as good as a task.
const NOTES: usize = 10_000;
/// Objects of one domain that are worth a task of their own, however many there are.
const OF_A_DOMAIN: usize = 100;
/// So many smaller tasks are made for the sake of domains; a list that mixes them would make a task a line.
const SMALL: u32 = 1000;
/// Workers that have been idle for so long get what there is.
const IDLE: Duration = Duration::from_millis(200);
/// How often that is looked at.
const TICK: Duration = Duration::from_millis(50);
/// Positions that moved without a task are kept after this time.
const CHECKPOINT: Duration = Duration::from_secs(5);

/// Cuts and commits.
pub(crate) struct Committer {
    context: Arc<Context>,
    ledger: Arc<dyn Ledger>,
    /// In mode `Ranges`.
    table: Option<Arc<Table>>,
    splitter: Splitter,
    /// Covers every task that was cut.
    state: ScanState,
    /// Of the task under way: take effect when it is cut.
    notes: Vec<Note>,
    waiting: Vec<NewTask>,
    /// There is something to commit.
    moved: bool,
    /// Tasks that were cut early because the domain changed.
    small: u32,
    under_way: Option<UnderWay>,
    committed_at: Instant,
    idle_since: Option<Instant>,
}

type UnderWay = Pin<Box<dyn Future<Output = Result<(), LedgerError>> + Send>>;

/// What a segment says beside its entries.
#[derive(Debug)]
struct Note {
    mark: Option<Mark>,
    special: u64,
    lines: u64,
}

// === impl Committer ===

impl Committer {
    pub(crate) fn new(
        context: Arc<Context>,
        ledger: Arc<dyn Ledger>,
        table: Option<Arc<Table>>,
        limits: Limits,
        state: ScanState,
    ) -> Self {
        Committer {
            splitter: Splitter::new(limits, state.last_task),
            context,
            ledger,
            table,
            state,
            notes: Vec::new(),
            waiting: Vec::new(),
            moved: false,
            small: 0,
            under_way: None,
            committed_at: Instant::now(),
            idle_since: None,
        }
    }

    /// Until every sender is gone; then all that came is cut, and committed but for the last commit, which
    /// is `finish`. A commit under way is never dropped.
    pub(crate) async fn run(&mut self, mut segments: mpsc::Receiver<Segment>) -> Result<(), LedgerError> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.begin();
            tokio::select! {
                result = under_way(&mut self.under_way) => {
                    self.under_way = None;
                    result?;
                }
                segment = segments.recv(), if self.has_room() => match segment {
                    Some(segment) => self.absorb(segment),
                    None => break,
                },
                _ = tick.tick() => self.tick(),
            }
        }
        self.cut();
        match self.under_way.take() {
            Some(commit) => commit.await,
            None => Ok(()),
        }
    }

    /// The last commit; `done` when the source is wholly in tasks. The state that was committed.
    pub(crate) async fn finish(mut self, done: bool) -> Result<ScanState, LedgerError> {
        self.state.done = done;
        let tasks = std::mem::take(&mut self.waiting);
        let state = self.snapshot();
        self.ledger.commit(Commit { tasks, state: state.clone() }).await?;
        Ok(state)
    }

    fn has_room(&self) -> bool {
        self.waiting.iter().map(|task| task.entries.len()).sum::<usize>() < WAITING
    }

    fn absorb(&mut self, segment: Segment) {
        if segment.apart {
            self.cut_apart();
        }
        let mut entries = segment.entries.into_iter();
        loop {
            let before = entries.len();
            let Some(part) = self.splitter.take(&mut entries) else { break };
            let taken = before - entries.len();
            if let Some(mark) = &segment.mark {
                let mark = Some(inside(mark, &part, taken));
                self.notes.push(Note { mark, special: 0, lines: 0 });
            }
            self.task(part);
        }
        match self.notes.last_mut().filter(|last| last.mark.is_none() && segment.mark.is_none()) {
            // A list has a note a line: the last one says it all.
            Some(last) => {
                last.special += segment.special;
                last.lines = last.lines.max(segment.lines);
            }
            None => {
                let Segment { mark, special, lines, .. } = segment;
                self.notes.push(Note { mark, special, lines });
            }
        }
        if self.splitter.held() == 0 {
            self.settle();
        } else if self.notes.len() > NOTES {
            self.cut();
        }
    }

    fn tick(&mut self) {
        if !self.ledger.idle() || self.splitter.held() == 0 {
            self.idle_since = None;
            return;
        }
        if self.idle_since.get_or_insert_with(Instant::now).elapsed() >= IDLE {
            self.idle_since = None;
            self.cut();
        }
    }

    /// What follows is elsewhere: what is buffered becomes a task, unless that makes far too many.
    fn cut_apart(&mut self) {
        let held = self.splitter.held();
        if held == 0 || held < OF_A_DOMAIN && self.small >= SMALL {
            return;
        }
        if held < OF_A_DOMAIN {
            self.small += 1;
            if self.small == SMALL {
                self.context.warnings.add(
                    "the list changes from domain to domain: from here on tasks hold several; sort it by domain"
                        .to_owned(),
                );
            }
        }
        self.cut();
    }

    /// What is buffered becomes a task.
    fn cut(&mut self) {
        if let Some(part) = self.splitter.flush() {
            self.task(part);
        }
        self.settle();
    }

    fn task(&mut self, part: Part) {
        self.state.last_task += 1;
        self.state.objects += part.entries.len() as u64;
        self.state.bytes = self.state.bytes.saturating_add(part.bytes);
        self.state.unknown += part.entries.iter().filter(|entry| entry.size_unknown).count() as u64;
        self.waiting.push(NewTask { number: self.state.last_task, entries: part.entries, bytes: part.bytes });
        self.settle();
    }

    /// Everything that the notes speak of is in tasks.
    fn settle(&mut self) {
        for Note { mark, special, lines } in self.notes.drain(..) {
            self.moved = true;
            self.state.special += special;
            self.state.lines = self.state.lines.max(lines);
            if let (Some(table), Some(mark)) = (&self.table, mark) {
                table.mark(mark);
            }
        }
    }

    /// Begins a commit when there is something to commit and none is under way.
    fn begin(&mut self) {
        let stale = self.moved && self.committed_at.elapsed() >= CHECKPOINT;
        if self.under_way.is_some() || (self.waiting.is_empty() && !stale) {
            return;
        }
        self.committed_at = Instant::now();
        self.moved = false;
        let commit = Commit { tasks: std::mem::take(&mut self.waiting), state: self.snapshot() };
        let ledger = self.ledger.clone();
        self.under_way = Some(Box::pin(async move { ledger.commit(commit).await }));
    }

    fn snapshot(&self) -> ScanState {
        let mut state = self.state.clone();
        state.warnings = self.context.warnings.all();
        if let Some(table) = &self.table {
            (state.ranges, state.next_range) = table.snapshot();
        }
        state
    }
}

/// Where the range of `mark` stands at the end of `part`, whose last `taken` entries are of its segment.
fn inside(mark: &Mark, part: &Part, taken: usize) -> Mark {
    let mut keys = part.entries.iter().rev().take(taken.min(2)).map(|entry| entry.key.clone());
    Mark { after: mark.after.clone(), at: keys.next(), back: keys.next(), done: false }
}

async fn under_way(commit: &mut Option<UnderWay>) -> Result<(), LedgerError> {
    match commit {
        Some(commit) => commit.await,
        None => pending().await,
    }
}
