//! Keeps what a scan finds: manifests on disk first, then tasks and the scan's position in one durable step.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use proto::breakpoint::{self, breakpoint};
use proto::manifest::{Entry, Existing};
use proto::{JobName, JobState, ObjectKey, TaskId};

use crate::error::MasterError;
use crate::manifests::Manifests;
use crate::master::{Master, advance};
use crate::scan::ledger::{Commit, Ledger, LedgerError, ScanMode, ScanState};
use crate::store::record::{RoundRecord, TaskRecord};
use crate::store::{Batch, keys};

/// The keeper of one round of one job.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    pub(crate) master: Arc<Master>,
    pub(crate) job: JobName,
    /// Of the job when the scan began: another job of that name is none of its business.
    pub(crate) life: u64,
    pub(crate) round: u32,
    /// What stands at the destination under these keys is not what it looks like.
    pub(crate) spoiled: Arc<BTreeSet<ObjectKey>>,
}

impl Keeper {
    /// The same keeper with knowledge of wrong writes.
    pub(crate) fn knowing(&self, spoiled: BTreeSet<ObjectKey>) -> Self {
        Keeper { spoiled: Arc::new(spoiled), ..self.clone() }
    }

    /// The round's scan as it was kept last.
    pub(crate) fn state(&self) -> Result<ScanState, MasterError> {
        let book = self.master.book();
        let scan = &book.job(self.job.as_str())?.round.scan;
        if scan.is_empty() {
            return Ok(ScanState::default());
        }
        ScanState::from_bytes(scan).map_err(|error| MasterError::Damaged {
            path: self.master.home.state(),
            what: format!("{}: {error}", self.job),
        })
    }

    fn id(&self, number: u32) -> TaskId {
        TaskId { job: self.job.clone(), round: self.round, number }
    }

    /// How many tasks a round before this one has.
    fn tasks_of(&self, round: u32) -> Result<u32, MasterError> {
        let damaged = |what: String| MasterError::Damaged { path: self.master.home.state(), what };
        let record = self.master.store.get::<RoundRecord>(&keys::round(self.job.as_str(), round))?;
        let record = record.ok_or_else(|| damaged(format!("{} has no round {round}", self.job)))?;
        let state = ScanState::from_bytes(&record.scan);
        Ok(state.map_err(|error| damaged(format!("{}, round {round}: {error}", self.job)))?.last_task)
    }

    /// The entries of these tasks, a task at a time.
    fn read(
        &self,
        tasks: impl Stream<Item = Result<(u32, u32), LedgerError>> + Send + 'static,
    ) -> BoxStream<'static, Result<Vec<Entry>, LedgerError>> {
        let keeper = self.clone();
        let read = move |(round, number)| {
            let keeper = Keeper { round, ..keeper.clone() };
            async move {
                let master = keeper.master.clone();
                let entries = move |_: &Arc<Master>| keeper.manifests().entries(&keeper.id(number).stem());
                master.blocking(entries).await.map_err(ledger_error)
            }
        };
        tasks.and_then(read).boxed()
    }

    fn manifests(&self) -> Manifests {
        Manifests::of(&self.master.folder(&self.job))
    }

    /// Blocks until everything is durable.
    pub(crate) fn keep(&self, commit: &Commit) -> Result<(), MasterError> {
        self.check_mine(&self.master.book())?;
        if !commit.tasks.is_empty() {
            commit.tasks.iter().try_for_each(|task| self.check_unseen(&self.id(task.number)))?;
            let tasks = commit.tasks.iter().map(|task| (self.id(task.number).stem(), &task.entries[..]));
            self.manifests().write(tasks)?;
            breakpoint(breakpoint::MANIFEST_WRITTEN);
        }
        self.keep_records(commit)?;
        breakpoint(breakpoint::COMMITTED);
        Ok(())
    }

    /// Records of a task that is only being made belong to one that the state has forgotten: they speak of
    /// other objects.
    fn check_unseen(&self, id: &TaskId) -> Result<(), MasterError> {
        let path = crate::audit::path(&self.master.folder(&self.job), &id.stem());
        if path.exists() {
            let what = "it holds records of a task that the state does not know".into();
            return Err(MasterError::Damaged { path, what });
        }
        Ok(())
    }

    fn keep_records(&self, commit: &Commit) -> Result<(), MasterError> {
        let name = self.job.as_str();
        let mut book = self.master.book();
        self.check_mine(&book)?;
        let job = book.job(name)?;
        let mut record = job.record.clone();
        let round = round_after(&job.round, &commit.state);
        let mut batch = Batch::default();
        for new in &commit.tasks {
            let key = keys::task(&self.id(new.number));
            if new.entries.is_empty() || self.master.store.has(&key)? {
                return Err(MasterError::Serve(format!(
                    "a bug: {} was cut twice, or is empty",
                    self.id(new.number)
                )));
            }
            let bytes = new.entries.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.size));
            batch.put(&key, &TaskRecord::new(new.entries.len() as u32, bytes));
            record.pending += 1;
            record.objects += new.entries.len() as u64;
            record.bytes = record.bytes.saturating_add(bytes);
        }
        batch.put(&keys::round(name, self.round), &round);
        advance(&mut record, &round)?;
        self.master.keep_job(&mut book, name, batch, record)?;
        let job = book.job_mut(name)?;
        job.round = round;
        job.pending.extend(commit.tasks.iter().map(|task| (self.round, task.number)));
        self.master.work.notify_waiters();
        Ok(())
    }

    fn check_mine(&self, book: &crate::book::Book) -> Result<(), MasterError> {
        let gone = || MasterError::NoJob { job: self.job.to_string() };
        let job = book.job(self.job.as_str())?;
        let mine = job.record.life == self.life && job.record.round == self.round;
        if mine && job.record.state() != JobState::Cancelled && !job.round.done {
            Ok(())
        } else {
            Err(gone())
        }
    }
}

fn round_after(before: &RoundRecord, state: &ScanState) -> RoundRecord {
    RoundRecord {
        scan: state.to_bytes(),
        done: state.done,
        special: state.special,
        sorted: state.mode == ScanMode::Sorted,
        warnings: state.warnings.clone(),
        unknown: state.unknown,
        ..before.clone()
    }
}

#[async_trait]
impl Ledger for Keeper {
    async fn commit(&self, mut commit: Commit) -> Result<(), LedgerError> {
        let entries = commit.tasks.iter_mut().flat_map(|task| &mut task.entries);
        for entry in entries.filter(|entry| self.spoiled.contains(&entry.key)) {
            entry.existing = Existing::Absent;
        }
        let keeper = self.clone();
        self.master.blocking(move |_| keeper.keep(&commit)).await.map_err(ledger_error)
    }

    async fn committed(&self) -> Result<BoxStream<'static, Result<Vec<Entry>, LedgerError>>, LedgerError> {
        let last = self.state().map_err(ledger_error)?.last_task;
        let round = self.round;
        Ok(self.read(stream::iter(1..=last).map(move |number| Ok((round, number)))))
    }

    async fn earlier(&self) -> Result<BoxStream<'static, Result<Vec<Entry>, LedgerError>>, LedgerError> {
        let mut tasks = Vec::new();
        for round in 1..self.round {
            let last = self.tasks_of(round).map_err(ledger_error)?;
            tasks.push((1..=last).map(move |number| Ok((round, number))));
        }
        Ok(self.read(stream::iter(tasks.into_iter().flatten())))
    }

    fn idle(&self) -> bool {
        self.master.is_idle()
    }

    fn scratch(&self) -> PathBuf {
        self.master.folder(&self.job).join(format!("scan-r{}", self.round))
    }
}

fn ledger_error(error: MasterError) -> LedgerError {
    match error {
        MasterError::NoJob { .. } => LedgerError::Gone,
        error => LedgerError::Store(error.to_string()),
    }
}
