//! One leased task: its entries, minus what is recorded, through the mover; records to the outbox; then the
//! settlement.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use proto::breakpoint::{self, breakpoint};
use proto::manifest::Entry;
use proto::v1;
use proto::v1::settlement::Result as Settled;
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::copy::{LeaseLost, Moved, Mover, SaveUpload};
use crate::outbox::{self, Reports, Until};

/// How long objects in flight may take after the task was told to stop.
const GRACE: Duration = Duration::from_secs(20);

/// What moves one object. A trait so that tests need no stores.
#[async_trait]
pub(crate) trait MoveObject: Send + Sync + 'static {
    /// See [`Mover::move_object`].
    async fn move_object(
        &self,
        index: u32,
        entry: &Entry,
        resume: Option<v1::Upload>,
        saver: &dyn SaveUpload,
    ) -> Moved;
    /// How many objects may be in flight.
    fn concurrency(&self) -> usize;
}

/// Moves what failed before, and is retried.
pub(crate) struct Again(pub(crate) Arc<Mover>);

/// One task under one lease.
pub(crate) struct Task {
    /// Names the hand-out in every report.
    pub(crate) task: v1::TaskRef,
    /// The worker's name, for records that this file makes itself.
    pub(crate) worker: String,
    /// The manifest.
    pub(crate) entries: Arc<Vec<Entry>>,
    /// Bit i: entry i is recorded already.
    pub(crate) recorded: Vec<u8>,
    /// Uploads that an earlier holder left.
    pub(crate) uploads: Vec<v1::Upload>,
    /// Moves the objects.
    pub(crate) mover: Arc<dyn MoveObject>,
    /// To the tracker.
    pub(crate) reports: Arc<dyn Reports>,
    /// Start nothing more; what is in flight may end.
    pub(crate) stop: CancellationToken,
    /// The lease is lost: drop everything.
    pub(crate) killed: CancellationToken,
    /// Entries that have not ended.
    pub(crate) left: Arc<AtomicUsize>,
    /// Told whenever `left` falls.
    pub(crate) hungry: Arc<Notify>,
}

/// How the moving of a task ended.
enum End {
    Finished,
    Returned,
    Suspended(String),
    Aborted(String),
    /// Some objects wait for a restore, everything else is recorded.
    Deferred,
    Lost,
}

/// Runs a task to its settlement. Answers how it was settled; `None`: the lease was lost.
pub(crate) async fn run(task: Task) -> Option<Settled> {
    let (sender, receiver) = outbox::channel();
    let until = task.until();
    let (end, delivered) = tokio::join!(task.move_all(sender), async {
        let delivered = outbox::deliver(receiver, &task.task, &*task.reports, &until).await;
        if delivered.is_err() {
            task.killed.cancel();
        }
        delivered
    });
    task.left.store(0, Ordering::Relaxed);
    task.hungry.notify_one();
    let (result, reason) = match (end, delivered) {
        (End::Lost, _) | (_, Err(LeaseLost)) => {
            tracing::warn!("the lease is lost, the task is dropped");
            return None;
        }
        (End::Finished, Ok(())) => (Settled::Finished, String::new()),
        (End::Returned, Ok(())) => (Settled::Returned, String::new()),
        (End::Deferred, Ok(())) => (Settled::Deferred, String::new()),
        (End::Suspended(reason), Ok(())) => (Settled::Suspended, reason),
        (End::Aborted(reason), Ok(())) => (Settled::Aborted, reason),
    };
    breakpoint(breakpoint::NOT_SETTLED);
    let settlement =
        v1::Settlement { task: Some(task.task.clone()), result: result.into(), reason, stat: None };
    outbox::persist(&until, || task.reports.settle(settlement.clone())).await.ok()?;
    tracing::debug!(?result, "settled");
    Some(result)
}

/// What is being moved, by the id of its future.
#[derive(Default)]
struct InFlight {
    set: JoinSet<(u32, Moved)>,
    indexes: HashMap<Id, u32>,
    /// Objects that wait for a restore.
    deferred: u32,
}

impl InFlight {
    /// How a task ends whose objects have all ended.
    fn end(&self) -> End {
        if self.deferred > 0 { End::Deferred } else { End::Finished }
    }
}

impl Task {
    /// Every entry that is not recorded. The sender is dropped at the end: the outbox then flushes. Nothing
    /// moves any more when this has ended.
    async fn move_all(&self, sender: outbox::Sender) -> End {
        let mut flight = InFlight::default();
        let mut end = self.move_entries(&mut flight, &sender).await;
        // What arrived in the meantime is recorded, whatever it was that ended the task.
        while let (false, Some(joined)) = (matches!(end, End::Lost), flight.set.try_join_next_with_id()) {
            if let Some(End::Lost) = self.settle_one(joined, &mut flight, &sender).await {
                end = End::Lost;
            }
        }
        flight.set.shutdown().await;
        end
    }

    async fn move_entries(&self, flight: &mut InFlight, sender: &outbox::Sender) -> End {
        let mut todo = (0..self.entries.len() as u32).filter(|index| !self.is_recorded(*index)).peekable();
        loop {
            while todo.peek().is_some()
                && flight.set.len() < self.mover.concurrency().max(1)
                && !self.stop.is_cancelled()
            {
                let Some(index) = todo.next() else { break };
                self.start(index, flight);
            }
            if flight.set.is_empty() {
                return if todo.peek().is_none() { flight.end() } else { End::Returned };
            }
            let joined = tokio::select! {
                joined = flight.set.join_next_with_id() => joined,
                () = self.killed.cancelled() => return End::Lost,
                () = self.stop.cancelled() => return self.drain(flight, sender, todo.peek().is_none()).await,
            };
            let Some(joined) = joined else { continue };
            if let Some(end) = self.settle_one(joined, flight, sender).await {
                return end;
            }
        }
    }

    fn until(&self) -> Until {
        Until { stop: self.stop.clone(), killed: self.killed.clone() }
    }

    fn is_recorded(&self, index: u32) -> bool {
        self.recorded.get(index as usize / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    fn start(&self, index: u32, flight: &mut InFlight) {
        let (entries, mover) = (self.entries.clone(), self.mover.clone());
        let resume = self.uploads.iter().find(|upload| upload.index == index && !upload.finished).cloned();
        let saver = Saver { task: self.task.clone(), reports: self.reports.clone(), until: self.until() };
        let moved = async move {
            match entries.get(index as usize) {
                Some(entry) => (index, mover.move_object(index, entry, resume, &saver).await),
                None => (index, Moved::Abort { reason: "the manifest has no such entry".into() }),
            }
        };
        let handle = flight.set.spawn(moved.in_current_span());
        flight.indexes.insert(handle.id(), index);
    }

    /// After the stop: what is in flight may end within the grace.
    async fn drain(&self, flight: &mut InFlight, sender: &outbox::Sender, all_started: bool) -> End {
        let drain = async {
            while let Some(joined) = flight.set.join_next_with_id().await {
                if let Some(end) = self.settle_one(joined, flight, sender).await {
                    return end;
                }
            }
            if all_started { flight.end() } else { End::Returned }
        };
        tokio::select! {
            end = tokio::time::timeout(GRACE, drain) => end.unwrap_or(End::Returned),
            () = self.killed.cancelled() => End::Lost,
        }
    }

    /// Takes one result; `Some` ends the task.
    async fn settle_one(
        &self,
        joined: Result<(Id, (u32, Moved)), JoinError>,
        flight: &mut InFlight,
        sender: &outbox::Sender,
    ) -> Option<End> {
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        self.hungry.notify_one();
        let record = match joined {
            Ok((id, (_, moved))) => {
                flight.indexes.remove(&id);
                match moved {
                    Moved::Recorded(record) => *record,
                    Moved::Deferred => {
                        flight.deferred += 1;
                        return None;
                    }
                    Moved::Suspend { reason } => return Some(End::Suspended(reason)),
                    Moved::Abort { reason } => return Some(End::Aborted(reason)),
                    Moved::LeaseLost => return Some(End::Lost),
                }
            }
            Err(error) => self.record_of_panic(flight.indexes.remove(&error.id())?, &error),
        };
        tokio::select! {
            sent = sender.send(record) => sent.err().map(|_| End::Lost),
            () = self.killed.cancelled() => Some(End::Lost),
        }
    }

    /// A bug of ours must not lose an object silently.
    fn record_of_panic(&self, index: u32, error: &JoinError) -> v1::AuditRecord {
        tracing::error!(index, "moving an object panicked: {error}");
        let entry = self.entries.get(index as usize);
        v1::AuditRecord {
            index,
            key: entry.map(|entry| entry.key.as_bytes().to_vec()).unwrap_or_default(),
            size: entry.map_or(0, |entry| entry.size),
            outcome: v1::Outcome::Failed.into(),
            attempts: 1,
            code: proto::ObjectErrorCode::Internal.name().into(),
            text: "an internal error ended the move; the worker's log has it".into(),
            finished_at: jiff::Timestamp::now().as_millisecond(),
            worker: self.worker.clone(),
            ..v1::AuditRecord::default()
        }
    }
}

/// Upload progress of one task.
struct Saver {
    task: v1::TaskRef,
    reports: Arc<dyn Reports>,
    until: Until,
}

#[async_trait]
impl SaveUpload for Saver {
    async fn save(&self, upload: v1::Upload) -> Result<(), LeaseLost> {
        let progress = v1::UploadProgress { task: Some(self.task.clone()), upload: Some(upload) };
        outbox::persist(&self.until, || self.reports.save_upload(progress.clone())).await
    }
}

#[async_trait]
impl MoveObject for Mover {
    async fn move_object(
        &self,
        index: u32,
        entry: &Entry,
        resume: Option<v1::Upload>,
        saver: &dyn SaveUpload,
    ) -> Moved {
        Mover::move_object(self, index, entry, resume, saver).await
    }

    fn concurrency(&self) -> usize {
        Mover::concurrency(self)
    }
}

#[async_trait]
impl MoveObject for Again {
    async fn move_object(
        &self,
        index: u32,
        entry: &Entry,
        resume: Option<v1::Upload>,
        saver: &dyn SaveUpload,
    ) -> Moved {
        self.0.move_again(index, entry, resume, saver).await
    }

    fn concurrency(&self) -> usize {
        self.0.concurrency()
    }
}

#[cfg(test)]
mod tests;
