//! Tasks go out under a fence and come back: attach, fetch, release, settle.
//!
//! A task is handed out durably before the tracker hears of it, and its end is durable before the worker
//! does. Every hand-out has a fence that is never given again; whoever reports under another one is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proto::breakpoint::{self, breakpoint};
use proto::manifest::Entry;
use proto::v1::settlement::Result as Ending;
use proto::v1::{AuditRecord, Grant, Settlement, TaskRef};
use proto::{JobState, TaskState};
use tokio::time::{Instant, timeout_at};

use crate::audit::{self, Sheet};
use crate::book::{Book, Desk, Place};
use crate::error::MasterError;
use crate::folders;
use crate::manifests::Manifests;
use crate::master::{Master, advance};
use crate::store::record::{JobRecord, TaskRecord};
use crate::store::tally::Tally;
use crate::store::{Batch, keys};
use crate::waits;

/// Tasks of one Fetch at most.
const MOST: u32 = 256;

/// A grant and its job's priority.
pub(crate) type Given = (Grant, i32);

impl Master {
    /// A tracker came: it learns its session and what is out.
    pub(crate) fn attach(&self) -> Result<(u64, Vec<Grant>), MasterError> {
        let desks: Vec<Arc<Desk>>;
        let session = {
            let mut book = self.book();
            let mut batch = Batch::default();
            let session = self.number(&mut book, &mut batch);
            self.store.commit(batch)?;
            book.session = session;
            let live = book.jobs.values().flat_map(|job| job.live.values());
            desks = live.filter_map(|live| live.desk.clone()).collect();
            session
        };
        tracing::info!(session, outstanding = desks.len(), "a tracker attached");
        Ok((session, self.grants(desks)?.into_iter().map(|(grant, _)| grant).collect()))
    }

    /// Waits until there is something to give, `wait` is over, or the master stops.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        session: u64,
        most: u32,
        wait: Duration,
    ) -> Result<Vec<Given>, MasterError> {
        let end = Instant::now() + wait;
        loop {
            let work = self.work.notified();
            tokio::pin!(work);
            work.as_mut().enable();
            if self.shutdown.is_cancelled() {
                return Err(MasterError::Stopping);
            }
            let given = self.blocking(move |master| master.dispatch(session, most.min(MOST))).await?;
            if !given.is_empty() || most == 0 || Instant::now() >= end {
                return Ok(given);
            }
            let wake = self.next_wake().map_or(end, |left| end.min(Instant::now() + left));
            let hungry = Hungry::new(self);
            tokio::select! {
                _ = timeout_at(wake, work) => {}
                () = self.shutdown.cancelled() => {}
            }
            drop(hungry);
        }
    }

    /// Hands out up to `most` pending tasks.
    pub(crate) fn dispatch(&self, session: u64, most: u32) -> Result<Vec<Given>, MasterError> {
        let desks = {
            let mut book = self.book();
            if session == 0 || book.session != session {
                return Err(MasterError::OldSession);
            }
            waits::wake(&mut book, crate::now_ms());
            let picked = pick(&book, most as usize);
            if picked.is_empty() {
                return Ok(Vec::new());
            }
            self.hand_out(&mut book, picked)?
        };
        breakpoint(breakpoint::HANDED_OUT);
        self.grants(desks)
    }

    fn hand_out(&self, book: &mut Book, picked: Vec<(String, Place)>) -> Result<Vec<Arc<Desk>>, MasterError> {
        let mut batch = Batch::default();
        let mut records: BTreeMap<String, JobRecord> = BTreeMap::new();
        let mut desks = Vec::new();
        for (name, place) in picked {
            let job = book.job(&name)?;
            let id = job.task(place);
            let record = job.record.clone();
            let mut task = self.task(&id)?;
            if !task.go(TaskState::Dispatched) {
                return Err(MasterError::Serve(format!("a bug: {id} is queued and {}", task.state().name())));
            }
            task.attempt += 1;
            task.wake_ms = 0;
            task.fence = self.number(book, &mut batch);
            batch.put(&keys::task(&id), &task);
            let record = records.entry(name).or_insert(record);
            record.moved(TaskState::Pending, TaskState::Dispatched);
            desks.push(Arc::new(Desk::new(id, &task)));
        }
        for (name, record) in &records {
            batch.put(&keys::job(name), record);
        }
        self.store.commit(batch)?;
        for (name, record) in records {
            book.job_mut(&name)?.record = record;
        }
        for desk in &desks {
            let job = book.job_mut(desk.id.job.as_str())?;
            job.pending.remove(&desk.place());
            job.live.entry(desk.place()).or_default().desk = Some(desk.clone());
        }
        Ok(desks)
    }

    /// What the holders need to know. A task whose audit record cannot be read stays here, and its job stops.
    fn grants(&self, desks: Vec<Arc<Desk>>) -> Result<Vec<Given>, MasterError> {
        let mut given = Vec::new();
        for desk in desks {
            match self.grant(&desk) {
                Ok(grant) => given.push(grant),
                Err(MasterError::LeaseLost { .. } | MasterError::NoJob { .. }) => {}
                Err(MasterError::DamagedAudit { what, .. }) if self.may_begin_anew(&desk)? => {
                    self.set_aside(&desk, &what)?;
                    self.give_back(&desk)?;
                }
                Err(error) => {
                    tracing::error!(task = %desk.id, %error, "cannot be handed out");
                    let life = self.book().job(desk.id.job.as_str())?.record.life;
                    self.suspend(desk.id.job.as_str(), life, &error.to_string())?;
                    self.give_back(&desk)?;
                }
            }
        }
        Ok(given)
    }

    /// The user was told of the damage, and resumed.
    fn may_begin_anew(&self, desk: &Desk) -> Result<bool, MasterError> {
        Ok(self.book().job(desk.id.job.as_str())?.resumed)
    }

    /// A damaged audit file gets another name, and the task begins with an empty one.
    fn set_aside(&self, desk: &Desk, what: &str) -> Result<(), MasterError> {
        let path = audit::path(&self.folder(&desk.id.job), &desk.id.stem());
        let aside = path.with_extension("bra.damaged");
        std::fs::rename(&path, &aside).map_err(MasterError::file("set aside", &path))?;
        path.parent().map_or(Ok(()), crate::files::sync_dir)?;
        let mut task = self.task(&desk.id)?;
        task.void = 0;
        let mut batch = Batch::default();
        batch.put(&keys::task(&desk.id), &task);
        tracing::warn!(task = %desk.id, what, aside = %aside.display(), "the audit record is set aside, its objects are moved again");
        self.store.commit(batch)
    }

    fn grant(&self, desk: &Arc<Desk>) -> Result<Given, MasterError> {
        let mut held = desk.hold();
        let sheet = self.sheet(desk, &mut held)?;
        let uploads = self.uploads_of(&desk.id)?;
        let recorded = if desk.waited { sheet.recorded_at_all() } else { sheet.recorded() };
        let uploads = uploads.into_iter().filter(|upload| !sheet.is_done(upload.index)).collect();
        let book = self.book();
        book.desk(&desk.task_ref())?;
        let record = &book.job(desk.id.job.as_str())?.record;
        let grant = Grant {
            task: Some(desk.task_ref()),
            attempt: desk.attempt,
            objects: desk.objects,
            bytes: desk.bytes,
            recorded,
            uploads,
            job_revision: record.revision,
            retried: desk.void > 0,
        };
        Ok((grant, record.priority))
    }

    /// Leases that ran out. Those that are not out any more are no error.
    pub(crate) fn release(&self, session: u64, tasks: &[TaskRef]) -> Result<(), MasterError> {
        if session == 0 || self.book().session != session {
            return Err(MasterError::OldSession);
        }
        for task in tasks {
            let desk = self.book().desk(task);
            if let Ok(desk) = desk {
                tracing::info!(task = %desk.id, fence = desk.fence, "released");
                self.note_lost(desk.id.job.as_str())?;
                self.give_back(&desk)?;
            }
        }
        Ok(())
    }

    fn give_back(&self, desk: &Arc<Desk>) -> Result<(), MasterError> {
        let held = desk.hold();
        match self.end(desk, held.as_ref(), TaskState::Pending) {
            Err(MasterError::LeaseLost { .. }) => Ok(()),
            ended => ended,
        }
    }

    /// The end of a hand-out, as its holder reports it.
    pub(crate) fn settle(&self, settlement: &Settlement) -> Result<(), MasterError> {
        let task = settlement.task.clone().unwrap_or_default();
        let desk = self.book().desk(&task)?;
        let mut held = desk.hold();
        // Nobody can take the task away while the desk is held; somebody may have before.
        self.book().desk(&task)?;
        if let (Some(worker), Ok(job)) = (&settlement.stat, self.book().job_mut(&task.job)) {
            job.rates.settled(&task.job, worker);
        }
        let reason = &settlement.reason;
        match settlement.result() {
            Ending::Finished => match self.finish(&desk, &mut held) {
                Err(error) if error.is_damage() || matches!(error, MasterError::File { .. }) => {
                    self.stop_for(&desk, held.as_ref(), &error.to_string())?;
                    return Err(error);
                }
                finished => finished?,
            },
            Ending::Returned => self.end(&desk, held.as_ref(), TaskState::Pending)?,
            Ending::Deferred => self.park(&desk, &mut held)?,
            Ending::Suspended => self.stop_for(&desk, held.as_ref(), reason)?,
            Ending::Aborted => {
                let reason = format!("an unknown error, and abort_on_unknown_error is set: {reason}");
                self.stop_for(&desk, held.as_ref(), &reason)?;
            }
            Ending::Unspecified => {
                return Err(MasterError::BadRequest("a settlement without a result".into()));
            }
        }
        breakpoint(breakpoint::SETTLED);
        Ok(())
    }

    fn finish(&self, desk: &Arc<Desk>, held: &mut Option<Sheet>) -> Result<(), MasterError> {
        let folder = self.folder(&desk.id.job);
        let sheet = self.sheet(desk, held)?;
        let missing = sheet.missing();
        if missing > 0 {
            tracing::warn!(task = %desk.id, missing, "settled as finished and is not");
            self.end(desk, Some(sheet), TaskState::Pending)?;
            return Err(MasterError::Unfinished { task: desk.id.to_string(), missing });
        }
        self.check_keys(desk, &folder)?;
        if sheet.tally().failed == 0 {
            self.end(desk, Some(sheet), TaskState::Succeeded)?;
            // The task is settled; an old list that stays is untidy, not wrong.
            if let Err(error) = folders::remove(&folder, &desk.id.stem()) {
                tracing::warn!(task = %desk.id, %error, "the list of its former failures stays");
            }
            return Ok(());
        }
        folders::write(&folder, &desk.id.stem(), desk.void)?;
        self.end(desk, Some(sheet), TaskState::Failed)
    }

    /// Each record speaks of the object that the manifest has in its place.
    fn check_keys(&self, desk: &Desk, folder: &std::path::Path) -> Result<(), MasterError> {
        let stem = desk.id.stem();
        let entries = Manifests::of(folder).entries(&stem)?;
        let path = audit::path(folder, &stem);
        let records = audit::last_records(&path, desk.void)?;
        let fits = |(record, entry): (&AuditRecord, &Entry)| record.key == entry.key.as_bytes();
        if records.len() == entries.len() && records.iter().zip(&entries).all(fits) {
            return Ok(());
        }
        Err(MasterError::DamagedAudit {
            path,
            what: "its records are not those of the manifest's objects".into(),
        })
    }

    fn stop_for(&self, desk: &Arc<Desk>, sheet: Option<&Sheet>, reason: &str) -> Result<(), MasterError> {
        let name = desk.id.job.as_str();
        let life = self.book().job(name)?.record.life;
        self.suspend(name, life, reason)?;
        self.end(desk, sheet, TaskState::Pending)
    }

    /// A file of the record cannot be written (a full disk): the job waits until somebody has made room. Its
    /// holders keep what is not recorded for a while.
    pub(crate) fn stop_unwritable(&self, desk: &Desk, error: MasterError) -> MasterError {
        if let MasterError::File { .. } = error {
            let name = desk.id.job.as_str();
            let life = self.book().job(name).map(|job| job.record.life);
            let stopped = life.and_then(|life| self.suspend(name, life, &error.to_string()));
            return stopped.map_or_else(|worse| worse, |()| error);
        }
        error
    }

    /// Everything is recorded, but what waits for a restore at the source: the task comes again later.
    fn park(&self, desk: &Arc<Desk>, held: &mut Option<Sheet>) -> Result<(), MasterError> {
        if self.sheet(desk, held)?.missing() == 0 {
            return self.finish(desk, held);
        }
        let sheet = self.sheet(desk, held)?;
        let waiting = u32::try_from(sheet.missing()).unwrap_or(u32::MAX);
        tracing::info!(task = %desk.id, waiting, "waits for a restore");
        self.end_as(desk, Some(sheet), TaskState::Pending, waiting)?;
        breakpoint(breakpoint::PARKED);
        Ok(())
    }

    fn end(&self, desk: &Arc<Desk>, sheet: Option<&Sheet>, next: TaskState) -> Result<(), MasterError> {
        self.end_as(desk, sheet, next, 0)
    }

    /// The hand-out ends: task, counters and whatever follows for the job in one durable step. `waiting` objects of
    /// it are looked at later.
    fn end_as(
        &self,
        desk: &Arc<Desk>,
        sheet: Option<&Sheet>,
        next: TaskState,
        waiting: u32,
    ) -> Result<(), MasterError> {
        let name = desk.id.job.as_str();
        let mut book = self.book();
        book.desk(&desk.task_ref())?;
        let job = book.job(name)?;
        let mut record = job.record.clone();
        let mut task = self.task(&desk.id)?;
        if task.fence != desk.fence || !task.go(next) {
            return Err(MasterError::Serve(format!("a bug: {} is out and {}", desk.id, task.state().name())));
        }
        record.moved(TaskState::Dispatched, next);
        let known = job.live.get(&desk.place()).map(|live| live.tally.clone()).unwrap_or_default();
        let tally = sheet.map_or(known, |sheet| sheet.tally().clone());
        if next != TaskState::Pending {
            task.records = sheet.map_or(0, Sheet::records);
            let mut totals = record.totals();
            totals.plus(&tally);
            record.totals = Some(totals);
            task.tally = Some(tally.clone());
        }
        task.wait(next, waiting, crate::now_ms());
        advance(&mut record, &job.round)?;
        let mut batch = Batch::default();
        batch.put(&keys::task(&desk.id), &task);
        self.keep_job(&mut book, name, batch, record)?;
        let job = book.job_mut(name)?;
        match next {
            TaskState::Pending => job.back(desk.place(), tally),
            _ => drop(job.live.remove(&desk.place())),
        }
        job.note_wait(desk.place(), &task);
        self.work.notify_waiters();
        Ok(())
    }

    /// A task's record.
    pub(crate) fn task(&self, id: &proto::TaskId) -> Result<TaskRecord, MasterError> {
        let task = self.store.get::<TaskRecord>(&keys::task(id))?;
        task.ok_or_else(|| MasterError::Damaged {
            path: self.home.state(),
            what: format!("the record of {id} is missing"),
        })
    }

    /// What a live task adds up to now.
    pub(crate) fn note_tally(&self, desk: &Desk, tally: Tally) {
        let mut book = self.book();
        let job = book.jobs.get_mut(desk.id.job.as_str());
        let live = job.and_then(|job| job.live.get_mut(&desk.place()));
        if let Some(live) = live.filter(|live| live.desk.as_ref().is_some_and(|at| at.fence == desk.fence)) {
            live.tally = tally;
        }
    }
}

/// Which tasks go next: the highest priority first; among equals, the job that has the fewest out.
fn pick(book: &Book, most: usize) -> Vec<(String, Place)> {
    let may = |state| matches!(state, JobState::Scanning | JobState::Running);
    let mut queues: Vec<_> = book
        .jobs
        .iter()
        .filter(|(_, job)| may(job.record.state()) && !job.pending.is_empty())
        .map(|(name, job)| (name, job.record.priority, job.record.dispatched, job.pending.iter().peekable()))
        .collect();
    let mut picked = Vec::new();
    while picked.len() < most {
        let next = queues
            .iter_mut()
            .filter_map(|queue| queue.3.peek().is_some().then_some(queue))
            .min_by_key(|(_, priority, out, _)| (std::cmp::Reverse(*priority), *out));
        let Some((name, _, out, places)) = next else { break };
        *out += 1;
        picked.extend(places.next().map(|place| ((*name).clone(), *place)));
    }
    picked
}

/// Counts a Fetch that waits, for as long as it does.
struct Hungry<'a>(&'a Master);

impl<'a> Hungry<'a> {
    fn new(master: &'a Master) -> Self {
        master.hungry.fetch_add(1, Ordering::Relaxed);
        Hungry(master)
    }
}

impl Drop for Hungry<'_> {
    fn drop(&mut self) {
        self.0.hungry.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
