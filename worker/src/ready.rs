//! What a task needs before its first object: the job's mover and the manifest.
//!
//! The master may be away for a while; the lease lives on by heartbeats, so asking again is all that is
//! needed. What asking again cannot mend pauses the job with the reason: giving the task back would only
//! send it round in circles.

use std::sync::Arc;
use std::time::Duration;

use proto::manifest::{self, Entry};
use proto::v1;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::agent::{Agent, CALL};
use crate::copy::Mover;
use crate::jobs::OpenError;

/// A manifest that does not decode is read again so often: the file is damaged only if it stays so.
const READS: u32 = 3;

/// So many failures of the master itself (a missing file, a disk that cannot be read) in a row, about ten
/// seconds of them, do not pass by asking again.
const PATIENCE: u32 = 10;

/// While others still use what this worker is to have of a limit, or the tracker has not heard of it yet.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Why a task cannot begin.
#[derive(Debug)]
pub(crate) enum Unready {
    /// Nobody here can do it: pause the job with this reason.
    Suspend(String),
    /// The worker stops: give the task back.
    Stopped,
    /// The lease is lost.
    Lost,
}

impl Agent {
    /// Both, however long it takes.
    pub(crate) async fn ready(
        &self,
        grant: &v1::Grant,
        task: &v1::TaskRef,
        stop: &CancellationToken,
        killed: &CancellationToken,
    ) -> Result<(Arc<Mover>, Vec<Entry>), Unready> {
        let prepare = async {
            let mover = self.open_job(task, grant.job_revision).await?;
            let entries = self.manifest(task).await?;
            Ok((mover, entries))
        };
        tokio::select! {
            ready = prepare => ready,
            () = killed.cancelled() => Err(Unready::Lost),
            () = stop.cancelled() => Err(Unready::Stopped),
        }
    }

    async fn open_job(&self, task: &v1::TaskRef, revision: u64) -> Result<Arc<Mover>, Unready> {
        let mut pause = Pause::default();
        loop {
            let opened = timeout(CALL, self.jobs.mover(&self.tracker, &task.job, revision)).await;
            match opened.unwrap_or_else(|_| Err(OpenError::Away(Status::deadline_exceeded("no answer")))) {
                Ok(mover) => {
                    // The limits, before the first byte passes.
                    while !self.jobs.may_begin(&task.job) {
                        self.beat().await;
                        if !self.jobs.may_begin(&task.job) {
                            sleep(ASK_AGAIN).await;
                        }
                    }
                    return Ok(mover);
                }
                Err(OpenError::Refused(reason)) => {
                    return Err(Unready::Suspend(format!(
                        "the job cannot be opened on {}: {reason}",
                        self.name
                    )));
                }
                Err(OpenError::Away(status)) => pause.after(&status).await?,
            }
        }
    }

    async fn manifest(&self, task: &v1::TaskRef) -> Result<Vec<Entry>, Unready> {
        let mut pause = Pause::default();
        let mut reads = 0;
        loop {
            let answer = timeout(CALL, self.manifest_file(task)).await;
            match answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer"))) {
                Ok(file) => match manifest::decode(&file) {
                    Ok(entries) => return Ok(entries),
                    Err(error) => {
                        reads += 1;
                        if reads == READS {
                            return Err(Unready::Suspend(damaged(task, &error.to_string())));
                        }
                    }
                },
                Err(status) if status.code() == Code::DataLoss => {
                    return Err(Unready::Suspend(status.message().to_owned()));
                }
                Err(status) => pause.after(&status).await?,
            }
        }
    }

    async fn manifest_file(&self, task: &v1::TaskRef) -> Result<Vec<u8>, Status> {
        let request = v1::ManifestRequest { task: Some(task.clone()) };
        let mut chunks = self.tracker.clone().manifest(request).await?.into_inner();
        let mut file = Vec::new();
        while let Some(chunk) = chunks.message().await? {
            file.extend_from_slice(&chunk.data);
        }
        Ok(file)
    }
}

fn damaged(task: &v1::TaskRef, why: &str) -> String {
    format!(
        "the manifest r{}-{:06} of the job cannot be read: {why}; restore the file at the master from a backup \
         and resume, or clean the job and submit it again",
        task.round, task.number
    )
}

/// Longer from try to try.
struct Pause {
    next: Duration,
    /// Failures of the master itself in a row.
    internal: u32,
}

impl Default for Pause {
    fn default() -> Self {
        Pause { next: Duration::from_millis(50), internal: 0 }
    }
}

impl Pause {
    /// Waits, where asking again may help.
    async fn after(&mut self, status: &Status) -> Result<(), Unready> {
        if matches!(status.code(), Code::FailedPrecondition | Code::NotFound | Code::InvalidArgument) {
            tracing::warn!(code = ?status.code(), "the task cannot begin: {}", status.message());
            return Err(Unready::Lost);
        }
        self.internal = if status.code() == Code::Internal { self.internal + 1 } else { 0 };
        if self.internal == PATIENCE {
            return Err(Unready::Suspend(format!(
                "the master cannot hand out the task: {}",
                status.message()
            )));
        }
        tracing::debug!(code = ?status.code(), "the task cannot begin yet: {}", status.message());
        sleep(self.next).await;
        self.next = (self.next * 2).min(Duration::from_secs(2));
        Ok(())
    }
}
