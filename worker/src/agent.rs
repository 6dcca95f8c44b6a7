//! The worker's life: register, acquire while there is room, keep leases alive, give them back at the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use conf::SysConf;
use proto::channel::{self, Caller};
use proto::v1;
use proto::v1::leases_client::LeasesClient;
use proto::v1::settlement::Result as Settled;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::Instrument;

use crate::appetite::Load;
use crate::engine::Engine;
use crate::heartbeat::Usage;
use crate::jobs::Jobs;
use crate::outbox::{Reports, Until, persist};
use crate::ready::Unready;
use crate::task::{self, Again, Task};
use crate::{Options, WorkerError};

/// How often it is looked whether there is room, beside the end of each object.
const LOOK: Duration = Duration::from_millis(100);
/// After an Acquire that failed, or that brought nothing and did not wait: the tracker is away, or stops.
const QUIET: Duration = Duration::from_millis(200);
/// How long the tracker may hold an Acquire open.
const ACQUIRE_WAIT_MS: u32 = 10_000;
/// A call that is not answered by then is made again.
pub(crate) const CALL: Duration = Duration::from_secs(30);

/// One worker.
#[derive(Debug)]
pub(crate) struct Agent {
    /// `name/incarnation`.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) tracker: LeasesClient<Caller>,
    pub(crate) jobs: Jobs,
    pub(crate) slots: u32,
    held: Mutex<BTreeMap<u64, Held>>,
    hungry: Arc<Notify>,
    pub(crate) process: Mutex<Usage>,
    /// When this worker began, by both clocks.
    pub(crate) born: (i64, Instant),
    /// Held by the heartbeat that is under way.
    pub(crate) beating: tokio::sync::Mutex<()>,
}

/// A task that this worker holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) task: v1::TaskRef,
    /// Start nothing more; what is in flight may end.
    pub(crate) stop: CancellationToken,
    /// The lease is lost: drop everything.
    pub(crate) killed: CancellationToken,
    /// Objects that have not ended.
    left: Arc<AtomicUsize>,
}

pub(crate) async fn run(
    conf: &SysConf,
    options: Options,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let caller = channel::call(options.tracker, &options.token)?;
    let tracker = LeasesClient::new(caller)
        .max_decoding_message_size(channel::MAX_MESSAGE)
        .max_encoding_message_size(channel::MAX_MESSAGE);
    let worker_limits =
        v1::Limits { bytes_per_s: conf.worker_bytes_per_s, requests_per_s: conf.worker_requests_per_s };
    let agent = Arc::new(Agent {
        id: format!("{}/{:016x}", options.name, rand::random::<u64>()),
        jobs: Jobs::new(Arc::new(Engine::new(conf, &options.name)), worker_limits),
        name: options.name,
        tracker,
        slots: conf.task_threads,
        held: Mutex::default(),
        hungry: Arc::default(),
        process: Mutex::default(),
        born: (jiff::Timestamp::now().as_millisecond(), Instant::now()),
        beating: tokio::sync::Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    let Some(terms) = agent.register(&shutdown).await? else { return Ok(()) };
    let left = CancellationToken::new();
    // A worker that the tracker refuses stops like one that was told to.
    let stop = shutdown.child_token();
    let heartbeat = async {
        let ended = agent.clone().heartbeat(terms, left.clone()).await;
        if ended.is_err() {
            stop.cancel();
        }
        ended
    };
    let work = async {
        agent.clone().acquire(&mut tasks, &stop).await;
        for held in agent.held().values() {
            held.stop.cancel();
        }
        while tasks.join_next().await.is_some() {}
        left.cancel();
    };
    tokio::join!(work, heartbeat).1
}

impl Agent {
    pub(crate) fn held(&self) -> MutexGuard<'_, BTreeMap<u64, Held>> {
        self.held.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Until the tracker answers; `None`: it did not before the shutdown.
    pub(crate) async fn register(
        &self,
        shutdown: &CancellationToken,
    ) -> Result<Option<v1::RegisterReply>, WorkerError> {
        let mut pause = Duration::from_millis(20);
        loop {
            let request = v1::RegisterRequest {
                worker: self.id.clone(),
                host: self.name.clone(),
                version: env!("CARGO_PKG_VERSION").into(),
                slots: self.slots,
            };
            let mut tracker = self.tracker.clone();
            let reply = tokio::select! {
                reply = timeout(CALL, tracker.register(request)) => reply,
                () = shutdown.cancelled() => return Ok(None),
            };
            match reply {
                Ok(Ok(reply)) => {
                    tracing::info!(worker = self.id, "registered at the tracker");
                    return Ok(Some(reply.into_inner()));
                }
                Ok(Err(status)) if status.code() == Code::Unauthenticated => {
                    return Err(WorkerError::Refused { message: status.message().to_owned() });
                }
                Ok(Err(status)) => tracing::debug!("the tracker is not there yet: {}", status.message()),
                Err(_) => tracing::debug!("the tracker does not answer"),
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(1)),
                () = shutdown.cancelled() => return Ok(None),
            }
        }
    }

    /// Asks for one more task whenever fewer objects wait than are likely to begin soon.
    async fn acquire(self: Arc<Self>, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            while tasks.try_join_next().is_some() {}
            let hungry = self.hungry.notified();
            let Some(load) = self.appetite() else {
                tokio::select! {
                    () = hungry => {}
                    () = sleep(LOOK) => {}
                    () = shutdown.cancelled() => {}
                }
                continue;
            };
            let request = v1::AcquireRequest {
                worker: self.id.clone(),
                slots_free: (self.slots as usize).saturating_sub(load.left) as u32,
                most: 1,
                wait_ms: ACQUIRE_WAIT_MS,
            };
            let mut tracker = self.tracker.clone();
            let asked = Instant::now();
            let reply = tokio::select! {
                reply = timeout(CALL, tracker.acquire(request)) => reply,
                () = shutdown.cancelled() => return,
            };
            let granted = reply.ok().and_then(Result::ok).map(|reply| reply.into_inner().tasks);
            let granted = granted.unwrap_or_default();
            if granted.is_empty() && asked.elapsed() < QUIET {
                tokio::select! {
                    () = sleep(QUIET) => {}
                    () = shutdown.cancelled() => {}
                }
            }
            for grant in granted {
                self.clone().take(grant, tasks);
            }
        }
    }

    /// What there is to do, if there is room for more.
    fn appetite(&self) -> Option<Load> {
        let held = self.held();
        let left: usize = held.values().map(|held| held.left.load(Ordering::Relaxed)).sum();
        // The exact figures cost more, and this is asked at the end of each object.
        if left >= 2 * self.slots as usize {
            return None;
        }
        let jobs: Vec<&str> = held.values().map(|held| held.task.job.as_str()).collect();
        Some(self.jobs.load(left, &jobs)).filter(|load| load.hungry())
    }

    /// Holds a granted task from this moment on, and runs it.
    fn take(self: Arc<Self>, grant: v1::Grant, tasks: &mut JoinSet<()>) {
        let Some(task) = grant.task.clone() else { return };
        let recorded: u32 = grant.recorded.iter().map(|byte| byte.count_ones()).sum();
        let held = Held {
            task: task.clone(),
            stop: CancellationToken::new(),
            killed: CancellationToken::new(),
            left: Arc::new(AtomicUsize::new(grant.objects.saturating_sub(recorded) as usize)),
        };
        let span = tracing::info_span!("task", job = task.job, task = task.number, attempt = grant.attempt);
        let (stop, killed, left) = (held.stop.clone(), held.killed.clone(), held.left.clone());
        self.held().insert(task.fence, held);
        let agent = self;
        tasks.spawn(
            async move {
                agent.work(grant, stop, killed, left).await;
                agent.held().remove(&task.fence);
                agent.jobs.close_idle();
                agent.hungry.notify_one();
            }
            .instrument(span),
        );
    }

    async fn work(
        self: &Arc<Self>,
        grant: v1::Grant,
        stop: CancellationToken,
        killed: CancellationToken,
        left: Arc<AtomicUsize>,
    ) {
        let Some(task_ref) = grant.task.clone() else { return };
        let reports = Arc::new(Remote { tracker: self.tracker.clone(), agent: self.clone() });
        let (mover, entries) = match self.ready(&grant, &task_ref, &stop, &killed).await {
            Ok(ready) => ready,
            Err(unready) => {
                let (result, reason) = match unready {
                    Unready::Suspend(reason) => (Settled::Suspended, reason),
                    Unready::Stopped => (Settled::Returned, String::new()),
                    Unready::Lost => return,
                };
                if !reason.is_empty() {
                    tracing::warn!("the task cannot begin: {reason}");
                }
                let settlement =
                    v1::Settlement { task: Some(task_ref), result: result.into(), reason, stat: None };
                let until = Until { stop, killed };
                let _ = persist(&until, || reports.settle(settlement.clone())).await;
                return;
            }
        };
        let job = task_ref.job.clone();
        let end = task::run(Task {
            task: task_ref,
            worker: self.name.clone(),
            entries: Arc::new(entries),
            recorded: grant.recorded,
            uploads: grant.uploads,
            mover: if grant.retried { Arc::new(Again(mover.clone())) } else { mover.clone() },
            reports,
            stop,
            killed,
            left,
            hungry: self.hungry.clone(),
        })
        .await;
        if end == Some(Settled::Suspended) {
            self.jobs.forget(&job, &mover);
        }
    }
}

/// Reports over gRPC, each with a deadline.
struct Remote {
    tracker: LeasesClient<Caller>,
    agent: Arc<Agent>,
}

async fn within<T>(call: impl Future<Output = Result<T, Status>>) -> Result<(), Status> {
    match timeout(CALL, call).await {
        Ok(answer) => answer.map(|_| ()),
        Err(_) => Err(Status::deadline_exceeded("no answer")),
    }
}

#[async_trait]
impl Reports for Remote {
    async fn record(&self, batch: v1::RecordBatch) -> Result<(), Status> {
        within(self.tracker.clone().record(batch)).await
    }

    async fn save_upload(&self, progress: v1::UploadProgress) -> Result<(), Status> {
        within(self.tracker.clone().save_upload(progress)).await
    }

    async fn settle(&self, mut settlement: v1::Settlement) -> Result<(), Status> {
        settlement.stat = Some(self.agent.stat());
        within(self.tracker.clone().settle(settlement)).await
    }
}

#[cfg(test)]
mod tests;
