//! Rounds and their scans: which has to run now, and what follows from how it ended.
//!
//! A job never ends well on a listing that did not: an error that stays pauses the job, and resuming it goes
//! on where the scan was.

use std::sync::Arc;
use std::time::Duration;

use conf::JobConf;
use conf::job::JobKind;
use proto::{JobName, JobState, breakpoint};
use storage::open::Context;
use storage::retry::{self, Decision, Policy};
use storage::{ErrorKind, Meter, Source};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::error::MasterError;
use crate::keeper::Keeper;
use crate::master::{Master, go};
use crate::scan::ledger::{Commit, Progress, ScanEnd, ScanError};
use crate::store::record::RoundRecord;
use crate::store::{Batch, keys};

/// Between two attempts at a listing whose service is away.
const AGAIN: Duration = Duration::from_secs(2);

/// How often a scan that broke off is begun again before the job is paused. It retries its pages itself.
const ATTEMPTS: u32 = 3;

/// Starts scans and rounds when they are due, until the master stops; then waits for them.
pub(crate) async fn run(master: Arc<Master>) {
    let mut scans = JoinSet::new();
    while !master.shutdown.is_cancelled() {
        let next = due(&master, &mut scans).await;
        tidy(&master, &mut scans);
        tokio::select! {
            () = master.changed.notified() => {}
            Some(_) = scans.join_next(), if !scans.is_empty() => {}
            () = sleep(next) => {}
            () = master.shutdown.cancelled() => {}
        }
    }
    // A job that ended a moment ago: its caller may be the one who stops the master.
    tidy(&master, &mut scans);
    while scans.join_next().await.is_some() {}
}

fn tidy(master: &Arc<Master>, tasks: &mut JoinSet<()>) {
    for name in master.take_untidy() {
        let master = master.clone();
        tasks.spawn(async move { master.tidy(name).await });
    }
}

/// Begins what is due now. Gives the time until something else is.
async fn due(master: &Arc<Master>, scans: &mut JoinSet<()>) -> Duration {
    let now = crate::now_ms();
    let (mut next, mut rounds) = (Duration::from_secs(3600), Vec::new());
    {
        let mut book = master.book();
        for (name, job) in &mut book.jobs {
            match job.record.state() {
                JobState::Scanning if job.scan.running.is_none() => {
                    let token = master.shutdown.child_token();
                    job.scan.running = Some(token.clone());
                    job.scan.progress = Arc::new(Progress::default());
                    job.scan.base = (job.record.objects, job.record.bytes);
                    let keeper = Keeper {
                        master: master.clone(),
                        job: job.name.clone(),
                        life: job.record.life,
                        round: job.record.round,
                        spoiled: Arc::default(),
                    };
                    scans.spawn(scan_job(keeper, job.scan.progress.clone(), token));
                }
                JobState::Waiting if !job.tidying => {
                    let interval_ms = match breakpoint::round_at_once(job.record.round + 1) {
                        true => 0,
                        false => job.record.interval_ms,
                    };
                    match until_round(job.round.started_ms, interval_ms, now) {
                        Some(left) => next = next.min(left),
                        None => rounds.push(name.clone()),
                    }
                }
                _ => {}
            }
        }
    }
    for name in rounds {
        next = Duration::from_millis(100);
        let begun = master.blocking(move |master| master.begin_round(&name)).await;
        if let Err(error) = begun {
            tracing::error!(%error, "the next round cannot begin");
            next = Duration::from_secs(10);
        }
    }
    next
}

/// The time to the next round; `None`: it is due. A clock that was set back delays it by one interval at most.
fn until_round(started_ms: i64, interval_ms: i64, now_ms: i64) -> Option<Duration> {
    let left = u64::try_from(started_ms.saturating_add(interval_ms).saturating_sub(now_ms)).ok()?;
    let most = u64::try_from(interval_ms).unwrap_or(0).saturating_mul(2);
    (left > 0 && left <= most).then(|| Duration::from_millis(left))
}

impl Master {
    /// The next pass of an incremental job that waits for it.
    pub(crate) fn begin_round(&self, name: &str) -> Result<(), MasterError> {
        let mut book = self.book();
        let job = book.job(name)?;
        if job.record.state() != JobState::Waiting {
            return Ok(());
        }
        let mut record = job.record.clone();
        record.past_special += job.round.special;
        record.round += 1;
        let round =
            RoundRecord { number: record.round, started_ms: crate::now_ms(), ..RoundRecord::default() };
        let mut batch = Batch::default();
        record.revision = self.number(&mut book, &mut batch);
        go(&mut record, JobState::Scanning)?;
        batch.put(&keys::round(name, round.number), &round);
        tracing::info!(job = name, round = round.number, "a round begins");
        self.keep_job(&mut book, name, batch, record)?;
        book.job_mut(name)?.round = round;
        // Again: the state has to be seen together with its round.
        self.changed.notify_one();
        Ok(())
    }

    /// The scan of this job ended, however it did.
    fn scan_ended(&self, job: &JobName) {
        if let Ok(job) = self.book().job_mut(job.as_str()) {
            job.scan.running = None;
        }
        self.idle_scan.notify_waiters();
        self.changed.notify_one();
    }
}

async fn scan_job(keeper: Keeper, progress: Arc<Progress>, token: CancellationToken) {
    let (master, job) = (keeper.master.clone(), keeper.job.clone());
    tracing::info!(%job, round = keeper.round, "scan");
    let (mut attempt, mut pages, mut since) = (0, progress.pages(), Instant::now());
    loop {
        let error = match scan_once(&keeper, &progress, &token).await {
            Ok(()) => break,
            Err(error) => error,
        };
        if progress.pages() > pages {
            // It was there since: this is another outage.
            (pages, since) = (progress.pages(), Instant::now());
        }
        let again = match &error {
            ScanError::Source(error) => {
                let patience = patience(&keeper).await;
                // A service that was there before is waited for.
                if pages > 0 && retry::is_transient(error.kind()) && since.elapsed() < patience {
                    Decision::Retry(AGAIN)
                } else {
                    // Pages in between do not count: a listing that is wrong is wrong again behind them.
                    attempt += 1;
                    Policy::new(ATTEMPTS, patience).decide(error, attempt, patience)
                }
            }
            _ => Decision::GiveUp,
        };
        tracing::warn!(%job, %error, attempt, "the scan broke off");
        if let Decision::Retry(pause) = again {
            tokio::select! {
                () = sleep(pause) => continue,
                () = token.cancelled() => break,
            }
        }
        if !matches!(error, ScanError::Ledger(crate::scan::ledger::LedgerError::Gone)) {
            stop_for(&keeper, &error).await;
        }
        break;
    }
    master.scan_ended(&job);
}

/// As the job says it now: a job that goes on may have been given another.
async fn patience(keeper: &Keeper) -> Duration {
    let (master, name) = (keeper.master.clone(), keeper.job.to_string());
    let conf = master.blocking(move |master| master.conf(&name)).await;
    conf.map_or(Duration::ZERO, |conf| conf.transfer.patience)
}

async fn scan_once(
    keeper: &Keeper,
    progress: &Arc<Progress>,
    token: &CancellationToken,
) -> Result<(), ScanError> {
    let internal = |error: MasterError| ScanError::Internal(error.to_string());
    let (name, round) = (keeper.job.to_string(), keeper.round);
    let conf =
        keeper.master.blocking(move |master| master.round_conf(&name, round)).await.map_err(internal)?;
    let source = open(keeper, &conf, true)?;
    let existing = existing(keeper, &conf).await?;
    let state = keeper.state().map_err(internal)?;
    let name = keeper.job.to_string();
    let spoiled = keeper.master.blocking(move |master| master.spoiled(&name, round)).await;
    let ledger = Arc::new(keeper.knowing(spoiled.map_err(internal)?));
    let ended =
        crate::scan::run(&conf, source, existing, state, ledger, progress.clone(), token.clone()).await?;
    let ScanEnd::Complete(mut state) = ended else { return Ok(()) };
    let pages = progress.pages();
    tracing::info!(job = %keeper.job, objects = state.objects, bytes = state.bytes, pages, "the scan is complete");
    state.done = true;
    let keeper = keeper.clone();
    let master = keeper.master.clone();
    let done = master.blocking(move |master| {
        let kept = master.book().job(keeper.job.as_str())?.round.done;
        if kept { Ok(()) } else { keeper.keep(&Commit { tasks: Vec::new(), state }) }
    });
    done.await.map_err(internal)
}

/// One end of the job, to be listed. Its requests go on being counted when a scan begins again.
fn open(keeper: &Keeper, conf: &JobConf, source: bool) -> Result<Arc<dyn Source>, ScanError> {
    let meter = {
        let mut book = keeper.master.book();
        let job = book.job_mut(keeper.job.as_str());
        job.map_or_else(
            |_| Meter::unlimited(),
            |job| {
                job.divide_requests();
                let limits = job.scan.limits.clone();
                let slot = if source { &mut job.scan.source } else { &mut job.scan.destination };
                slot.get_or_insert_with(|| Meter::new(limits)).clone()
            },
        )
    };
    let endpoint = if source { &conf.source } else { &conf.destination };
    let context = Context { meter, timeout: conf.transfer.timeout, job: conf.name.clone() };
    Ok(keeper.master.opener.source(endpoint, &context)?)
}

/// The destination's listing, where it saves asking for each object.
async fn existing(keeper: &Keeper, conf: &JobConf) -> Result<Option<Arc<dyn Source>>, ScanError> {
    if conf.kind != JobKind::Audit && !conf.transfer.skip_existing {
        return Ok(None);
    }
    let there = open(keeper, conf, false)?;
    match there.check().await {
        Ok(()) => Ok(Some(there)),
        // A directory that the first write will make, or a listing that is not allowed: the worker looks itself.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::BucketNotFound | ErrorKind::AccessDenied | ErrorKind::Unsupported
            ) =>
        {
            tracing::info!(job = %keeper.job, %error, "the destination is not listed");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn stop_for(keeper: &Keeper, error: &ScanError) {
    let reason = match error {
        ScanError::Source(source) => {
            format!("the source cannot be listed to its end: {error}. {}", retry::next_step(source.kind()))
        }
        error => format!("the scan cannot go on: {error}"),
    };
    let (name, life) = (keeper.job.to_string(), keeper.life);
    let stopped = keeper.master.blocking(move |master| master.suspend(&name, life, &reason)).await;
    if let Err(error) = stopped {
        tracing::error!(job = %keeper.job, %error, "cannot be paused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_does_not_put_off_a_round_for_ever() {
        let hour = 3_600_000;
        let left = |now| until_round(10 * hour, hour, now).map(|left| left.as_secs() / 60);
        assert_eq!(left(10 * hour), Some(60));
        assert_eq!(left(11 * hour - 60_000), Some(1));
        assert_eq!(left(11 * hour), None);
        assert_eq!(left(9 * hour + 1), Some(119));
        // Set back by more than an interval: it is due, and begins the count anew.
        assert_eq!(left(8 * hour), None);
        assert_eq!(left(-8 * hour), None);
    }
}
