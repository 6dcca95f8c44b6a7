//! The master itself: the store, the book, and what wakes whom.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use conf::{Home, JobConf, SysConf};
use proto::text::counted;
use proto::{JobName, JobState};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::book::{Book, Job};
use crate::error::MasterError;
use crate::opener::Opener;
use crate::store::record::{JobRecord, RoundRecord, Sealed};
use crate::store::seal::Seal;
use crate::store::{Batch, Store, keys};

/// Shared by the services and the scans.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) home: Home,
    pub(crate) sys: SysConf,
    pub(crate) store: Store,
    pub(crate) seal: Seal,
    pub(crate) opener: Arc<dyn Opener>,
    book: Mutex<Book>,
    /// Tasks became pending.
    pub(crate) work: Notify,
    /// A job's state changed: scans may have to begin.
    pub(crate) changed: Notify,
    /// A job's state changed: those who watch look again.
    pub(crate) moved: watch::Sender<()>,
    /// A scan ended.
    pub(crate) idle_scan: Notify,
    /// Fetches that wait with nothing to give.
    pub(crate) hungry: AtomicUsize,
    /// One `clean` at a time.
    pub(crate) cleaning: tokio::sync::Mutex<()>,
    /// Only answers from the state: nobody works on its jobs.
    pub(crate) dormant: bool,
    pub(crate) shutdown: CancellationToken,
}

impl Master {
    /// Opens the state and reads it all. Blocks.
    pub(crate) fn open(
        sys: &SysConf,
        home: Home,
        opener: Arc<dyn Opener>,
        shutdown: CancellationToken,
    ) -> Result<Self, MasterError> {
        Store::open(&home.clone(), |store, mut meta| {
            // Numbers that were given are never given again, also not by a state that was put back from a backup.
            meta.next_number = meta.next_number.max(u64::try_from(crate::now_ms()).unwrap_or(0) * 1000);
            let seal = Seal::open(&home.secret_key(), meta.jobs == 0)?;
            let master = Master {
                home,
                sys: sys.clone(),
                store,
                seal,
                opener,
                book: Mutex::new(Book::new(meta)),
                work: Notify::new(),
                changed: Notify::new(),
                moved: watch::Sender::new(()),
                idle_scan: Notify::new(),
                hungry: AtomicUsize::new(0),
                cleaning: tokio::sync::Mutex::new(()),
                dormant: false,
                shutdown,
            };
            master.recover()?;
            Ok(master)
        })
    }

    /// The book. Never held across an await.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Runs what blocks (fsync, files) away from the async threads. It runs to its end also when the caller
    /// goes away.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Master>) -> Result<T, MasterError> + Send + 'static,
    ) -> Result<T, MasterError> {
        let master = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&master)).await;
        done.unwrap_or_else(|error| Err(MasterError::Serve(format!("a bug: {error}"))))
    }

    /// The directory of a job.
    pub(crate) fn folder(&self, job: &JobName) -> PathBuf {
        self.home.job(job.as_str())
    }

    /// The configuration as it was submitted.
    pub(crate) fn conf(&self, name: &str) -> Result<JobConf, MasterError> {
        let sealed = self.store.get::<Sealed>(&keys::conf(name))?;
        let sealed = sealed.ok_or_else(|| MasterError::NoJob { job: name.to_owned() })?;
        let wire = self.seal.open_sealed(name, &sealed.bytes)?;
        JobConf::from_wire(&wire).map_err(MasterError::BadJob)
    }

    /// The configuration as this round uses it: from the second round on everything is compared with the
    /// destination and only what is new or changed moves.
    pub(crate) fn round_conf(&self, name: &str, round: u32) -> Result<JobConf, MasterError> {
        let mut conf = self.conf(name)?;
        if round > 1 {
            conf.since = 0;
            conf.transfer.skip_existing = true;
        }
        Ok(conf)
    }

    /// A number that was never given before. Durable with the batch.
    pub(crate) fn number(&self, book: &mut Book, batch: &mut Batch) -> u64 {
        let number = book.meta.next_number;
        // A commit that fails leaves a gap, which harms nobody.
        book.meta.next_number += 1;
        batch.put(&keys::meta(), &book.meta);
        number
    }

    /// Makes a job's new record durable, with everything else in the batch, and then valid.
    pub(crate) fn keep_job(
        &self,
        book: &mut Book,
        name: &str,
        mut batch: Batch,
        record: JobRecord,
    ) -> Result<(), MasterError> {
        batch.put(&keys::job(name), &record);
        self.store.commit(batch)?;
        let job = book.job_mut(name)?;
        let (before, after) = (job.record.state(), record.state());
        job.record = record;
        if before != after {
            tracing::info!(job = name, from = %before, to = %after, reason = job.record.reason, "state");
            self.changed.notify_one();
            self.moved.send_replace(());
        }
        self.work.notify_waiters();
        Ok(())
    }

    /// Nothing waits in the queue and somebody asks.
    pub(crate) fn is_idle(&self) -> bool {
        self.hungry.load(Ordering::Relaxed) > 0
    }

    /// Stops a job that is under way, with the reason. Its tasks come back as their holders settle them.
    pub(crate) fn suspend(&self, name: &str, life: u64, reason: &str) -> Result<(), MasterError> {
        let mut book = self.book();
        let job = book.job(name)?;
        if job.record.life != life || !active(job.record.state()) {
            return Ok(());
        }
        tracing::warn!(job = name, reason, "paused");
        let mut record = job.record.clone();
        go(&mut record, JobState::Paused)?;
        record.reason = reason.to_owned();
        self.keep_job(&mut book, name, Batch::default(), record)?;
        book.job_mut(name)?.resumed = false;
        stop_scan(book.job(name)?);
        Ok(())
    }
}

/// Something of it may run.
pub(crate) fn active(state: JobState) -> bool {
    matches!(state, JobState::Scanning | JobState::Running | JobState::Waiting)
}

/// Tells the scan to end.
pub(crate) fn stop_scan(job: &Job) {
    if let Some(running) = &job.scan.running {
        running.cancel();
    }
}

/// The one place where a job's state changes.
pub(crate) fn go(record: &mut JobRecord, next: JobState) -> Result<(), MasterError> {
    let state = record.state();
    if state == next {
        return Ok(());
    }
    if !state.may_become(next) {
        let why = format!("it cannot become {next}");
        return Err(MasterError::WrongState { job: record.name.clone(), state, why });
    }
    record.state = next.name().to_owned();
    record.finished_ms = if next.ended() { crate::now_ms().max(record.started_ms) } else { 0 };
    if active(next) || next == JobState::Succeeded {
        record.reason.clear();
    }
    Ok(())
}

/// Where an active job stands, from its scan and its tasks.
pub(crate) fn advance(record: &mut JobRecord, round: &RoundRecord) -> Result<(), MasterError> {
    if !active(record.state()) {
        return Ok(());
    }
    if !round.done {
        return go(record, JobState::Scanning);
    }
    if record.pending + record.dispatched > 0 {
        return go(record, JobState::Running);
    }
    // Nothing is claimed that is not recorded: the settled tasks must add up to what was listed.
    let recorded = record.totals().objects();
    if recorded != record.objects {
        go(record, JobState::Paused)?;
        record.reason = format!(
            "{} recorded and {} listed: this is a bug in Brigade; the job is kept as it is",
            counted(recorded, "object"),
            record.objects
        );
        tracing::error!(job = record.name, reason = record.reason, "paused");
        return Ok(());
    }
    if record.incremental {
        return go(record, JobState::Waiting);
    }
    if record.failed == 0 {
        return go(record, JobState::Succeeded);
    }
    let (tasks, objects) = (record.failed, record.totals().failed);
    go(record, JobState::Failed)?;
    record.reason = format!("{} in {} failed", counted(objects, "object"), counted(tasks, "task"));
    Ok(())
}
