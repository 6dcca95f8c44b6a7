//! What users do to jobs: submit, pause, resume, retry, limit. Durable before it is answered.

use conf::JobConf;
use conf::differs::Differences;
use conf::job::JobKind;
use proto::breakpoint::{self, breakpoint};
use proto::v1::{LimitRequest, RefreshReply, RetryReply};
use proto::{JobName, JobState, TaskId, TaskState};

use crate::book::{Job, Live};
use crate::error::MasterError;
use crate::master::{Master, active, advance, go, stop_scan};
use crate::store::record::{JobRecord, RoundRecord, Sealed, TaskRecord};
use crate::store::{Batch, keys};

impl Master {
    /// Takes a job and begins its first round.
    pub(crate) fn submit(&self, wire: &[u8]) -> Result<String, MasterError> {
        let conf = JobConf::from_wire(wire).map_err(MasterError::BadJob)?;
        let name: JobName = conf.name.parse().map_err(|error| MasterError::BadJob(format!("{error}")))?;
        let mut book = self.book();
        if let Some(job) = book.jobs.get(name.as_str()) {
            return Err(MasterError::Exists { job: name.to_string(), state: job.record.state() });
        }
        let mut batch = Batch::default();
        let sealed = Sealed { bytes: self.seal.seal(name.as_str(), wire)? };
        batch.put(&keys::conf(name.as_str()), &sealed);
        let round = RoundRecord { number: 1, started_ms: crate::now_ms(), ..RoundRecord::default() };
        batch.put(&keys::round(name.as_str(), 1), &round);
        let mut record = record_of(&conf);
        record.life = self.number(&mut book, &mut batch);
        record.revision = self.number(&mut book, &mut batch);
        let meta = crate::store::record::Meta { jobs: book.meta.jobs + 1, ..book.meta.clone() };
        batch.put(&keys::meta(), &meta);
        batch.put(&keys::job(name.as_str()), &record);
        breakpoint(breakpoint::SEALED);
        self.store.commit(batch)?;
        tracing::info!(job = %name, source = record.source, destination = record.destination, "submitted");
        book.meta = meta;
        book.cleaned.retain(|(cleaned, _)| cleaned != name.as_str());
        book.jobs.insert(name.to_string(), Job::new(name.clone(), record, round));
        self.changed.notify_one();
        Ok(name.to_string())
    }

    /// Stops a job until it is resumed, also over a restart.
    pub(crate) fn pause(&self, name: &str, reason: &str) -> Result<(), MasterError> {
        let (state, life) = {
            let book = self.book();
            let record = &book.job(name)?.record;
            (record.state(), record.life)
        };
        if state.ended() {
            let why = "it has ended and cannot be paused".into();
            return Err(MasterError::WrongState { job: name.into(), state, why });
        }
        self.suspend(name, life, if reason.is_empty() { "paused by the user" } else { reason })
    }

    /// Goes on where the job was.
    pub(crate) fn resume(&self, name: &str) -> Result<(), MasterError> {
        let mut book = self.book();
        let job = book.job(name)?;
        let state = job.record.state();
        if active(state) {
            return Ok(());
        }
        let unscanned = !job.round.done;
        if !(state == JobState::Paused || state == JobState::Failed && unscanned) {
            let why = format!("there is nothing to go on with; `brigade retry {name}` repeats what failed");
            return Err(MasterError::WrongState { job: name.into(), state, why });
        }
        let mut record = job.record.clone();
        go(&mut record, JobState::Running)?;
        advance(&mut record, &job.round)?;
        self.keep_job(&mut book, name, Batch::default(), record)?;
        book.job_mut(name)?.resumed = true;
        Ok(())
    }

    /// Failed tasks are pending again: what failed in them is moved once more, and nothing else.
    pub(crate) fn retry(&self, name: &str) -> Result<RetryReply, MasterError> {
        let mut book = self.book();
        let job = book.job(name)?;
        let state = job.record.state();
        if state == JobState::Cancelled {
            let why = "it is being cleaned".into();
            return Err(MasterError::WrongState { job: name.into(), state, why });
        }
        let mut record = job.record.clone();
        let (mut batch, mut back, mut objects) = (Batch::default(), Vec::new(), 0);
        let failed = if record.failed == 0 { Vec::new() } else { self.failed_tasks(job)? };
        for (id, mut task) in failed {
            let tally = task.tally.take().unwrap_or_default();
            task.go(TaskState::Pending);
            task.void = task.records;
            batch.put(&keys::task(&id), &task);
            record.moved(TaskState::Failed, TaskState::Pending);
            let mut totals = record.totals();
            totals.minus(&tally);
            record.totals = Some(totals);
            objects += tally.failed;
            back.push(((id.round, id.number), tally.without_failures()));
        }
        if !back.is_empty() && state.ended() {
            go(&mut record, JobState::Running)?;
        }
        advance(&mut record, &job.round)?;
        self.keep_job(&mut book, name, batch, record)?;
        breakpoint(breakpoint::RETRIED);
        let job = book.job_mut(name)?;
        let tasks = back.len() as u64;
        for (place, tally) in back {
            job.back(place, tally);
        }
        // Whoever asks wants to know now.
        job.look_now();
        self.work.notify_waiters();
        Ok(RetryReply { tasks, objects, stat: None })
    }

    /// Tasks in which something failed.
    pub(crate) fn failed_tasks(&self, job: &Job) -> Result<Vec<(TaskId, TaskRecord)>, MasterError> {
        let mut failed = Vec::new();
        for found in self.store.scan::<TaskRecord>(&keys::tasks(job.name.as_str())) {
            let (key, task) = found?;
            if let (TaskState::Failed, Some(place)) = (task.state(), key.task_numbers()) {
                failed.push((job.task(place), task));
            }
        }
        Ok(failed)
    }

    /// Ceilings and priority; without a job, the cluster's.
    pub(crate) fn limit(&self, request: &LimitRequest) -> Result<(), MasterError> {
        let mut book = self.book();
        if request.job.is_empty() {
            if request.priority.is_some() {
                return Err(MasterError::BadRequest("a priority belongs to a job: name one".into()));
            }
            let mut meta = book.meta.clone();
            meta.bytes_per_s = request.bytes_per_s.or(meta.bytes_per_s);
            meta.requests_per_s = request.requests_per_s.or(meta.requests_per_s);
            let mut batch = Batch::default();
            batch.put(&keys::meta(), &meta);
            self.store.commit(batch)?;
            book.meta = meta;
            return Ok(());
        }
        let mut record = book.job(&request.job)?.record.clone();
        record.bytes_per_s = request.bytes_per_s.unwrap_or(record.bytes_per_s);
        record.requests_per_s = request.requests_per_s.unwrap_or(record.requests_per_s);
        record.priority = request.priority.unwrap_or(record.priority);
        self.keep_job(&mut book, &request.job, Batch::default(), record)
    }

    /// What a job file says otherwise than the job that is known; takes over what may change while it lives.
    pub(crate) fn refresh(&self, wire: &[u8], compare_only: bool) -> Result<RefreshReply, MasterError> {
        let conf = JobConf::from_wire(wire).map_err(MasterError::BadJob)?;
        let name = conf.name.as_str();
        let mut book = self.book();
        let mut record = book.job(name)?.record.clone();
        let old = self.conf(name)?;
        let Differences { renewable, fixed } = old.differences(&conf);
        if !compare_only && fixed.is_empty() && !renewable.is_empty() {
            let mut batch = Batch::default();
            batch.put(&keys::conf(name), &Sealed { bytes: self.seal.seal(name, wire)? });
            record.revision = self.number(&mut book, &mut batch);
            // What was set by `limit` stays, unless the file says something new.
            if old.transfer.bytes_per_s != conf.transfer.bytes_per_s {
                record.bytes_per_s = conf.transfer.bytes_per_s;
            }
            if old.transfer.requests_per_s != conf.transfer.requests_per_s {
                record.requests_per_s = conf.transfer.requests_per_s;
            }
            if old.priority != conf.priority {
                record.priority = conf.priority;
            }
            record.interval_ms = i64::try_from(conf.interval.as_millis()).unwrap_or(i64::MAX);
            breakpoint(breakpoint::SEALED);
            self.keep_job(&mut book, name, batch, record)?;
            tracing::info!(job = name, keys = ?renewable, "changed");
        }
        Ok(RefreshReply { renewable, fixed })
    }

    /// The first step of `clean`: from now on nobody works on the job, nothing is taken for it.
    pub(crate) fn cancel(&self, name: &str, keep_uploads: bool, force: bool) -> Result<(), MasterError> {
        let mut book = self.book();
        let job = book.job(name)?;
        let state = job.record.state();
        if active(state) && !force && !self.dormant {
            let why = format!("pause it first (`brigade pause {name}`), or force it");
            return Err(MasterError::WrongState { job: name.into(), state, why });
        }
        let mut record = job.record.clone();
        go(&mut record, JobState::Cancelled)?;
        if state != JobState::Cancelled {
            record.keep_uploads = keep_uploads;
        }
        self.keep_job(&mut book, name, Batch::default(), record)?;
        let job = book.job_mut(name)?;
        stop_scan(job);
        job.pending.clear();
        job.waits.clear();
        let live: Vec<Live> = std::mem::take(&mut job.live).into_values().collect();
        drop(book);
        // A report that is being written ends first; the next one is refused.
        for desk in live.iter().filter_map(|live| live.desk.as_ref()) {
            drop(desk.hold());
        }
        Ok(())
    }
}

fn record_of(conf: &JobConf) -> JobRecord {
    JobRecord {
        name: conf.name.clone(),
        kind: if conf.kind == JobKind::Audit { "audit" } else { "import" }.into(),
        state: JobState::Scanning.name().into(),
        round: 1,
        started_ms: crate::now_ms(),
        priority: conf.priority,
        bytes_per_s: conf.transfer.bytes_per_s,
        requests_per_s: conf.transfer.requests_per_s,
        source: conf.source.describe(),
        destination: conf.destination.describe(),
        incremental: conf.incremental,
        interval_ms: i64::try_from(conf.interval.as_millis()).unwrap_or(i64::MAX),
        ..JobRecord::default()
    }
}

#[cfg(test)]
mod tests;
