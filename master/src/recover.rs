//! From the state and the audit files to the book: at every start, by itself.

use proto::{JobState, TaskId, TaskState};

use crate::audit::{self, Sheet};
use crate::book::{Book, Desk, Job, Live};
use crate::error::MasterError;
use crate::files;
use crate::master::Master;
use crate::store::keys;
use crate::store::record::{JobRecord, RoundRecord, TaskRecord};
use crate::store::tally::Tally;

/// What the tasks of a job add up to.
#[derive(Default)]
struct Sum {
    counts: [u64; 4],
    objects: u64,
    bytes: u64,
    totals: Tally,
}

impl Master {
    pub(crate) fn recover(&self) -> Result<(), MasterError> {
        let records: Result<Vec<_>, _> = self.store.scan::<JobRecord>(&keys::jobs()).collect();
        let mut book = self.book();
        for (_, record) in records? {
            self.recover_job(&mut book, record)?;
        }
        Ok(())
    }

    fn recover_job(&self, book: &mut Book, record: JobRecord) -> Result<(), MasterError> {
        let key = record.name.clone();
        let damaged = |what: String| MasterError::Damaged { path: self.home.state(), what };
        let name = key.parse().map_err(|error| damaged(format!("{error}")))?;
        if record.state() == JobState::Cancelled {
            // Half cleaned: what is left of it is not looked at, only removed.
            book.jobs.insert(key, Job::new(name, record, RoundRecord::default()));
            return Ok(());
        }
        self.conf(&key)?;
        self.sync_folders(&key)?;
        let round = self.store.get::<RoundRecord>(&keys::round(&key, record.round))?;
        let round = round.ok_or_else(|| damaged(format!("{key} has no round {}", record.round)))?;
        let mut job = Job::new(name, record, round);
        let mut sum = Sum::default();
        for found in self.store.scan::<TaskRecord>(&keys::tasks(&key)) {
            let (at, task) = found?;
            let place = at.task_numbers().ok_or_else(|| damaged(format!("the key {}", at.to_text())))?;
            sum.add(&task);
            self.recover_task(&mut job, job_task(&key, place)?, &task)?;
        }
        sum.check(&job.record).map_err(|what| damaged(format!("{key}: {what}")))?;
        book.jobs.insert(key, job);
        Ok(())
    }

    /// Names that a killed master made and did not sync count from now on.
    fn sync_folders(&self, job: &str) -> Result<(), MasterError> {
        let folder = self.home.job(job);
        let inside = ["audit", "manifests", "failed_tasks"].map(|name| folder.join(name));
        let all = [folder.parent().map(Into::into), Some(folder)].into_iter().flatten().chain(inside);
        all.filter(|folder| folder.is_dir()).try_for_each(|folder| files::sync_dir(&folder))
    }

    fn recover_task(&self, job: &mut Job, id: TaskId, task: &TaskRecord) -> Result<(), MasterError> {
        let place = (id.round, id.number);
        let state = task.state();
        if matches!(state, TaskState::Succeeded | TaskState::Failed) {
            return Ok(());
        }
        let tally = if task.attempt > 0 { self.read_tally(&id, task) } else { Tally::default() };
        if state == TaskState::Pending {
            job.back(place, tally);
        } else {
            let desk = Some(std::sync::Arc::new(Desk::new(id, task)));
            job.live.insert(place, Live { tally, desk });
        }
        job.note_wait(place, task);
        Ok(())
    }

    /// A file that cannot be read stops its own job when the task is handed out, not the master.
    fn read_tally(&self, id: &TaskId, task: &TaskRecord) -> Tally {
        let path = audit::path(&self.folder(&id.job), &id.stem());
        match Sheet::open(path, task.objects, task.void) {
            Ok(sheet) => sheet.tally().clone(),
            Err(error) => {
                tracing::error!(task = %id, %error, "the audit record cannot be read");
                Tally::default()
            }
        }
    }
}

fn job_task(job: &str, (round, number): (u32, u32)) -> Result<TaskId, MasterError> {
    let job =
        job.parse().map_err(|error: proto::id::BadJobName| MasterError::BadRequest(error.to_string()))?;
    Ok(TaskId { job, round, number })
}

impl Sum {
    fn add(&mut self, task: &TaskRecord) {
        self.counts[task.state() as usize] += 1;
        self.objects += u64::from(task.objects);
        self.bytes = self.bytes.saturating_add(task.bytes);
        if let Some(tally) = task.tally.as_ref() {
            self.totals.plus(tally);
        }
    }

    /// The records of the tasks and of the job were written together: they must agree.
    fn check(&self, record: &JobRecord) -> Result<(), String> {
        let counts = [record.pending, record.dispatched, record.succeeded, record.failed];
        if counts != self.counts {
            return Err(format!("{counts:?} tasks were written, {:?} are there", self.counts));
        }
        if (self.objects, self.bytes) != (record.objects, record.bytes) {
            return Err(format!("its tasks hold {} objects, not {}", self.objects, record.objects));
        }
        if self.totals != record.totals() {
            return Err("the counters do not fit the tasks".into());
        }
        Ok(())
    }
}
