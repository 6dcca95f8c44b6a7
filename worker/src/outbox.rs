//! Audit records on their way to the master: in batches, in order, kept until they are acknowledged.
//!
//! The channel is bounded: when the master is away, objects wait here instead of piling up.

use std::time::Duration;

use async_trait::async_trait;
use proto::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::copy::LeaseLost;

/// Records in one batch at most.
const BATCH: usize = 1_000;
/// A record waits at most this long for others.
const LINGER: Duration = Duration::from_millis(200);

/// A master that does not take a report of a task that is to end (its disk is full, or it is gone) is asked for
/// so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Every so many failures in a row are worth a line in the log.
const LOUD: u32 = 10;

/// What a task says to the tracker. A trait so that tests need no tracker.
#[async_trait]
pub(crate) trait Reports: Send + Sync + 'static {
    /// Durable at the master when answered.
    async fn record(&self, batch: v1::RecordBatch) -> Result<(), Status>;
    /// Durable at the master when answered.
    async fn save_upload(&self, progress: v1::UploadProgress) -> Result<(), Status>;
    /// The end of the hand-out.
    async fn settle(&self, settlement: v1::Settlement) -> Result<(), Status>;
}

/// Where objects put their records.
pub(crate) type Sender = mpsc::Sender<v1::AuditRecord>;

/// Room for a few batches.
pub(crate) fn channel() -> (Sender, mpsc::Receiver<v1::AuditRecord>) {
    mpsc::channel(4 * BATCH)
}

/// Delivers until every sender is gone and everything is acknowledged.
pub(crate) async fn deliver(
    mut records: mpsc::Receiver<v1::AuditRecord>,
    task: &v1::TaskRef,
    reports: &dyn Reports,
    until: &Until,
) -> Result<(), LeaseLost> {
    while let Some(batch) = next_batch(&mut records).await {
        let batch = v1::RecordBatch { task: Some(task.clone()), records: batch };
        persist(until, || reports.record(batch.clone())).await?;
    }
    Ok(())
}

/// The first record, and what comes within the linger time.
async fn next_batch(records: &mut mpsc::Receiver<v1::AuditRecord>) -> Option<Vec<v1::AuditRecord>> {
    let mut batch = vec![records.recv().await?];
    let end = Instant::now() + LINGER;
    while batch.len() < BATCH {
        match timeout_at(end, records.recv()).await {
            Ok(Some(record)) => batch.push(record),
            Ok(None) | Err(_) => break,
        }
    }
    Some(batch)
}

/// What ends a report that is not taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Until {
    /// The task is to end: a report has [`PATIENCE`] from then on. What is not recorded is moved again.
    pub(crate) stop: CancellationToken,
    /// The lease is lost, the records are worth nothing: at once.
    pub(crate) killed: CancellationToken,
}

/// Calls until it is answered. A refusal means that the lease is lost, and damage at the master that this
/// hand-out cannot go on: the master sees it again at the next one, and stops the job. Anything else may
/// pass: no connection, a full disk.
pub(crate) async fn persist<F>(until: &Until, mut call: impl FnMut() -> F) -> Result<(), LeaseLost>
where
    F: Future<Output = Result<(), Status>>,
{
    let mut pause = Duration::from_millis(50);
    let mut failed = 0u32;
    let mut last = None;
    loop {
        let answer = tokio::select! {
            answer = call() => answer,
            () = until.killed.cancelled() => return Err(LeaseLost),
        };
        let Err(status) = answer else { return Ok(()) };
        if matches!(
            status.code(),
            Code::FailedPrecondition | Code::NotFound | Code::InvalidArgument | Code::DataLoss
        ) {
            tracing::warn!(code = ?status.code(), "a report was refused: {}", status.message());
            return Err(LeaseLost);
        }
        failed += 1;
        if failed.is_multiple_of(LOUD) {
            tracing::warn!(code = ?status.code(), failed, "a report is not taken: {}", status.message());
        }
        if until.stop.is_cancelled() && Instant::now() >= *last.get_or_insert(Instant::now() + PATIENCE) {
            tracing::warn!(code = ?status.code(), "a report was not taken to the end: {}", status.message());
            return Err(LeaseLost);
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(2)),
            () = until.killed.cancelled() => return Err(LeaseLost),
        }
    }
}
