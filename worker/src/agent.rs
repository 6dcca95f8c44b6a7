//! The worker's life: register, acquire while there is room, keep leases alive, give them back at the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use conf::SysConf;
use proto::channel::{self, Caller};
use proto::manifest::{self, Entry};
use proto::v1;
use proto::v1::leases_client::LeasesClient;
use proto::v1::settlement::Result as Settled;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::Instrument;

use crate::copy::Engine;
use crate::jobs::{Jobs, OpenError, lower};
use crate::outbox::{Reports, persist};
use crate::task::{self, Task};
use crate::{Options, WorkerError};

/// How long the tracker may hold an Acquire open.
const ACQUIRE_WAIT_MS: u32 = 10_000;
/// A report that is not answered by then is sent again.
const CALL: Duration = Duration::from_secs(30);

struct Agent {
    id: String,
    name: String,
    tracker: LeasesClient<Caller>,
    jobs: Jobs,
    slots: u32,
    worker_limits: v1::Limits,
    held: Mutex<BTreeMap<u64, Held>>,
    hungry: Arc<Notify>,
    process: Mutex<Usage>,
}

/// A task that this worker holds.
struct Held {
    task: v1::TaskRef,
    stop: CancellationToken,
    killed: CancellationToken,
    waiting: Arc<AtomicUsize>,
}

/// Of this process, for the heartbeat.
#[derive(Default)]
struct Usage {
    ticks: u64,
    at: Option<Instant>,
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
    let agent = Arc::new(Agent {
        id: format!("{}/{:016x}", options.name, rand::random::<u64>()),
        jobs: Jobs::new(Arc::new(Engine::new(conf, &options.name))),
        name: options.name,
        tracker,
        slots: conf.task_threads,
        worker_limits: v1::Limits {
            bytes_per_s: conf.worker_bytes_per_s,
            requests_per_s: conf.worker_requests_per_s,
        },
        held: Mutex::default(),
        hungry: Arc::default(),
        process: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    let Some(terms) = agent.register(&shutdown).await else { return Ok(()) };
    let left = CancellationToken::new();
    let heartbeat = agent.clone().heartbeat(terms, left.clone());
    let work = async {
        agent.clone().acquire(&mut tasks, &shutdown).await;
        for held in agent.held().values() {
            held.stop.cancel();
        }
        while tasks.join_next().await.is_some() {}
        left.cancel();
    };
    tokio::join!(work, heartbeat);
    Ok(())
}

impl Agent {
    fn held(&self) -> MutexGuard<'_, BTreeMap<u64, Held>> {
        self.held.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Until the tracker answers.
    async fn register(&self, shutdown: &CancellationToken) -> Option<v1::RegisterReply> {
        let mut pause = Duration::from_millis(20);
        loop {
            let request = v1::RegisterRequest {
                worker: self.id.clone(),
                host: self.name.clone(),
                version: env!("CARGO_PKG_VERSION").into(),
                slots: self.slots,
            };
            if let Ok(Ok(reply)) = timeout(CALL, self.tracker.clone().register(request)).await {
                tracing::info!(worker = self.id, "registered at the tracker");
                return Some(reply.into_inner());
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(2)),
                () = shutdown.cancelled() => return None,
            }
        }
    }

    /// Asks for one more task whenever what is held keeps fewer objects waiting than slots.
    async fn acquire(self: Arc<Self>, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            while tasks.try_join_next().is_some() {}
            let hungry = self.hungry.notified();
            let waiting: usize = self.held().values().map(|held| held.waiting.load(Ordering::Relaxed)).sum();
            if waiting >= self.slots as usize {
                tokio::select! {
                    () = hungry => {}
                    () = shutdown.cancelled() => {}
                }
                continue;
            }
            let request = v1::AcquireRequest {
                worker: self.id.clone(),
                slots_free: (self.slots as usize - waiting) as u32,
                most: 1,
                wait_ms: ACQUIRE_WAIT_MS,
            };
            let mut tracker = self.tracker.clone();
            let reply = tokio::select! {
                reply = timeout(CALL, tracker.acquire(request)) => reply,
                () = shutdown.cancelled() => return,
            };
            match reply {
                Ok(Ok(reply)) => {
                    for grant in reply.into_inner().tasks {
                        self.clone().take(grant, tasks);
                    }
                }
                Ok(Err(_)) | Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Holds a granted task from this moment on, and runs it.
    fn take(self: Arc<Self>, grant: v1::Grant, tasks: &mut JoinSet<()>) {
        let Some(task) = grant.task.clone() else { return };
        let held = Held {
            task: task.clone(),
            stop: CancellationToken::new(),
            killed: CancellationToken::new(),
            waiting: Arc::new(AtomicUsize::new(grant.objects as usize)),
        };
        let span = tracing::info_span!("task", job = task.job, task = task.number, attempt = grant.attempt);
        let (stop, killed, waiting) = (held.stop.clone(), held.killed.clone(), held.waiting.clone());
        self.held().insert(task.fence, held);
        let agent = self;
        tasks.spawn(
            async move {
                agent.work(grant, stop, killed, waiting).await;
                agent.held().remove(&task.fence);
                agent.hungry.notify_one();
            }
            .instrument(span),
        );
    }

    async fn work(
        &self,
        grant: v1::Grant,
        stop: CancellationToken,
        killed: CancellationToken,
        waiting: Arc<AtomicUsize>,
    ) {
        let Some(task_ref) = grant.task.clone() else { return };
        let reports = Arc::new(Remote(self.tracker.clone()));
        let opened = self.jobs.mover(&self.tracker, &task_ref.job, grant.job_revision).await;
        let manifest = match &opened {
            Ok(_) => self.manifest(&task_ref).await,
            Err(_) => Ok(Vec::new()),
        };
        let (mover, entries) = match (opened, manifest) {
            (Ok(mover), Ok(entries)) => (mover, entries),
            (opened, manifest) => {
                let (result, reason) = match (opened, manifest) {
                    (Err(OpenError::Refused(reason)), _) => (Settled::Suspended, reason),
                    (Err(OpenError::Away(status)), _) | (_, Err(status)) => {
                        (Settled::Returned, status.message().to_owned())
                    }
                    (Ok(_), Ok(_)) => (Settled::Returned, String::new()),
                };
                tracing::warn!("the task cannot begin: {reason}");
                let settlement = v1::Settlement { task: Some(task_ref), result: result.into(), reason };
                let _ = persist(&killed, || reports.settle(settlement.clone())).await;
                return;
            }
        };
        task::run(Task {
            task: task_ref,
            worker: self.name.clone(),
            entries: Arc::new(entries),
            recorded: grant.recorded,
            uploads: grant.uploads,
            mover,
            reports,
            stop,
            killed,
            waiting,
            hungry: self.hungry.clone(),
        })
        .await;
    }

    async fn manifest(&self, task: &v1::TaskRef) -> Result<Vec<Entry>, Status> {
        let request = v1::ManifestRequest { task: Some(task.clone()) };
        let mut chunks = self.tracker.clone().manifest(request).await?.into_inner();
        let mut file = Vec::new();
        while let Some(chunk) = chunks.message().await? {
            file.extend_from_slice(&chunk.data);
        }
        manifest::decode(&file)
            .map_err(|error| Status::data_loss(format!("the manifest of the task is {error}")))
    }

    /// Keeps leases alive until `left`; learns what is lost, what stops, and the limits.
    async fn heartbeat(self: Arc<Self>, mut terms: v1::RegisterReply, left: CancellationToken) {
        let mut good = Instant::now();
        loop {
            tokio::select! {
                () = sleep(Duration::from_millis(terms.renew_ms.max(10))) => {}
                () = left.cancelled() => break,
            }
            match timeout(CALL.min(Duration::from_millis(terms.lease_ms)), self.renew(false)).await {
                Ok(Ok(reply)) => {
                    good = Instant::now();
                    if !reply.registered {
                        let Some(again) = self.register(&left).await else { break };
                        terms = again;
                    }
                    self.heed(reply);
                }
                Ok(Err(_)) | Err(_) if good.elapsed() > Duration::from_millis(terms.lease_ms) => {
                    // Nobody vouches for these leases any more: others may hold the tasks by now.
                    for held in self.held().values() {
                        held.killed.cancel();
                    }
                }
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let _ = timeout(Duration::from_secs(2), self.renew(true)).await;
    }

    async fn renew(&self, leaving: bool) -> Result<v1::RenewReply, Status> {
        let held: Vec<v1::TaskRef> = self.held().values().map(|held| held.task.clone()).collect();
        let request = v1::RenewRequest { stat: Some(self.stat()), held, leaving };
        self.tracker.clone().renew(request).await.map(tonic::Response::into_inner)
    }

    fn heed(&self, reply: v1::RenewReply) {
        let held = self.held();
        for task in &reply.lost {
            if let Some(held) = held.get(&task.fence) {
                held.killed.cancel();
            }
        }
        for task in &reply.stopping {
            if let Some(held) = held.get(&task.fence) {
                held.stop.cancel();
            }
        }
        drop(held);
        let cluster = reply.limits.unwrap_or_default();
        let limits = v1::Limits {
            bytes_per_s: lower(cluster.bytes_per_s, self.worker_limits.bytes_per_s),
            requests_per_s: lower(cluster.requests_per_s, self.worker_limits.requests_per_s),
        };
        self.jobs.limit(limits, &reply.jobs);
    }

    fn stat(&self) -> v1::WorkerStat {
        let (cpu_share, memory_bytes) = self.usage().unwrap_or_default();
        v1::WorkerStat {
            worker: self.id.clone(),
            host: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            slots: self.slots,
            leases: self.held().len() as u32,
            last_seen_ms: jiff::Timestamp::now().as_millisecond(),
            cpu_share,
            memory_bytes,
            activity: self.jobs.activity(),
        }
    }

    /// Share of one core since the last call, and resident bytes, from `/proc/self/stat` (proc(5)).
    fn usage(&self) -> Option<(f64, u64)> {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        let (ticks, pages) = (number(11)? + number(12)?, number(21)?);
        let mut before = self.process.lock().unwrap_or_else(|poison| poison.into_inner());
        let now = Instant::now();
        let seconds = before.at.map_or(0.0, |at| now.duration_since(at).as_secs_f64());
        // 100 ticks a second and pages of 4 KiB on every Linux that we build for.
        let share =
            if seconds > 0.0 { ticks.saturating_sub(before.ticks) as f64 / 100.0 / seconds } else { 0.0 };
        *before = Usage { ticks, at: Some(now) };
        Some((share, pages * 4096))
    }
}

/// Reports over gRPC, each with a deadline.
struct Remote(LeasesClient<Caller>);

async fn within<T>(call: impl Future<Output = Result<T, Status>>) -> Result<(), Status> {
    match timeout(CALL, call).await {
        Ok(answer) => answer.map(|_| ()),
        Err(_) => Err(Status::deadline_exceeded("no answer")),
    }
}

#[async_trait]
impl Reports for Remote {
    async fn record(&self, batch: v1::RecordBatch) -> Result<(), Status> {
        within(self.0.clone().record(batch)).await
    }

    async fn save_upload(&self, progress: v1::UploadProgress) -> Result<(), Status> {
        within(self.0.clone().save_upload(progress)).await
    }

    async fn settle(&self, settlement: v1::Settlement) -> Result<(), Status> {
        within(self.0.clone().settle(settlement)).await
    }
}
