//! A worker between two real directories, against a fake tracker over gRPC.

use std::collections::VecDeque;
use std::path::Path;
use std::pin::Pin;

use conf::job::{EndpointType, JobKind, TaskConf, TransferConf};
use conf::{Endpoint, Home, JobConf};
use futures::{Stream, stream};
use proto::ObjectKey;
use proto::channel::Token;
use proto::manifest::{self, Entry};
use proto::v1::leases_server::{Leases, LeasesServer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response};

use super::*;

type Answer<T> = Result<Response<T>, Status>;

/// What a worker and the test see of the tracker.
#[derive(Default)]
struct Tracker {
    tasks: Mutex<VecDeque<v1::Grant>>,
    config: Vec<u8>,
    manifest: Vec<u8>,
    share: v1::Share,
    /// Answers UNAVAILABLE to so many calls for a configuration, a manifest or a record first.
    away: AtomicUsize,
    lost: Mutex<Vec<u64>>,
    /// An Acquire is answered at once, as by a tracker that stops.
    stopping: bool,
    calls: Mutex<Vec<(&'static str, Instant)>>,
    records: Mutex<Vec<v1::AuditRecord>>,
    settled: Mutex<Vec<v1::Settlement>>,
    left: Mutex<bool>,
    changed: Notify,
}

impl Tracker {
    fn called(&self, name: &'static str) {
        self.calls.lock().unwrap().push((name, Instant::now()));
        self.changed.notify_waiters();
    }

    fn present(&self) -> Result<(), Status> {
        let away = self.away.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if away.is_ok() { Err(Status::unavailable("away")) } else { Ok(()) }
    }

    async fn until(&self, holds: impl Fn(&Tracker) -> bool) {
        loop {
            let changed = self.changed.notified();
            if holds(self) {
                return;
            }
            changed.await;
        }
    }

    async fn until_settled(&self, tasks: usize) -> Vec<v1::Settlement> {
        self.until(|tracker| tracker.settled.lock().unwrap().len() >= tasks).await;
        self.settled.lock().unwrap().clone()
    }

    fn names(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().iter().map(|(name, _)| *name).collect()
    }
}

struct Server(Arc<Tracker>);

#[tonic::async_trait]
impl Leases for Server {
    async fn register(&self, _: Request<v1::RegisterRequest>) -> Answer<v1::RegisterReply> {
        self.0.called("register");
        // So long that only what the worker does on its own account is seen.
        Ok(Response::new(v1::RegisterReply { lease_ms: 300_000, renew_ms: 60_000 }))
    }

    async fn acquire(&self, _: Request<v1::AcquireRequest>) -> Answer<v1::AcquireReply> {
        self.0.called("acquire");
        let tasks: Vec<v1::Grant> = self.0.tasks.lock().unwrap().pop_front().into_iter().collect();
        if tasks.is_empty() && !self.0.stopping {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(v1::AcquireReply { tasks }))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Answer<v1::RenewReply> {
        self.0.called("renew");
        let request = request.into_inner();
        *self.0.left.lock().unwrap() = request.leaving;
        self.0.changed.notify_waiters();
        let gone = self.0.lost.lock().unwrap().clone();
        let lost = request.held.into_iter().filter(|task| gone.contains(&task.fence)).collect();
        let jobs = vec![v1::JobShare { job: "job1".into(), share: Some(self.0.share) }];
        let share = Some(v1::Share::default());
        Ok(Response::new(v1::RenewReply { lost, share, jobs, registered: true, ..v1::RenewReply::default() }))
    }

    type ManifestStream = Pin<Box<dyn Stream<Item = Result<v1::ManifestChunk, Status>> + Send>>;

    async fn manifest(&self, _: Request<v1::ManifestRequest>) -> Answer<Self::ManifestStream> {
        self.0.called("manifest");
        self.0.present()?;
        let chunks: Vec<_> = self
            .0
            .manifest
            .chunks(10)
            .map(|data| Ok(v1::ManifestChunk { data: data.to_vec().into() }))
            .collect();
        Ok(Response::new(Box::pin(stream::iter(chunks))))
    }

    async fn get_job_config(&self, _: Request<v1::JobConfigRequest>) -> Answer<v1::JobConfig> {
        self.0.called("config");
        self.0.present()?;
        Ok(Response::new(v1::JobConfig { config: self.0.config.clone(), revision: 1 }))
    }

    async fn record(&self, request: Request<v1::RecordBatch>) -> Answer<v1::Ack> {
        self.0.called("record");
        self.0.present()?;
        self.0.records.lock().unwrap().extend(request.into_inner().records);
        Ok(Response::new(v1::Ack {}))
    }

    async fn save_upload(&self, _: Request<v1::UploadProgress>) -> Answer<v1::Ack> {
        Ok(Response::new(v1::Ack {}))
    }

    async fn settle(&self, request: Request<v1::Settlement>) -> Answer<v1::Ack> {
        self.0.settled.lock().unwrap().push(request.into_inner());
        self.0.called("settle");
        Ok(Response::new(v1::Ack {}))
    }
}

fn grant(fence: u64, objects: u32) -> v1::Grant {
    let task = v1::TaskRef { job: "job1".into(), round: 1, number: fence as u32, fence };
    v1::Grant { task: Some(task), attempt: 1, objects, job_revision: 1, ..v1::Grant::default() }
}

/// `objects` files in `in/`, to be moved to `out/`.
fn files(root: &Path, objects: u32) -> (Vec<u8>, Vec<u8>) {
    let local =
        |name: &str| Endpoint { kind: EndpointType::Local, path: root.join(name), ..Endpoint::default() };
    let job = JobConf {
        name: "job1".into(),
        kind: JobKind::Import,
        since: 0,
        incremental: false,
        interval: Duration::from_secs(86_400),
        priority: 0,
        source: local("in"),
        destination: local("out"),
        task: TaskConf::default(),
        transfer: TransferConf::default(),
        rename: Vec::new(),
    };
    std::fs::create_dir_all(root.join("in")).unwrap();
    std::fs::create_dir_all(root.join("out")).unwrap();
    let entry = |index: u32| {
        let (name, content) = (format!("k{index}"), format!("content {index}"));
        let path = root.join("in").join(&name);
        std::fs::write(&path, &content).unwrap();
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        Entry {
            key: ObjectKey::new(name),
            size: content.len() as u64,
            modified_ms: Some(modified),
            ..Entry::default()
        }
    };
    let entries: Vec<Entry> = (0..objects).map(entry).collect();
    (job.to_wire(), manifest::encode(&entries))
}

struct Stage {
    tracker: Arc<Tracker>,
    stop: CancellationToken,
    worker: JoinHandle<Result<(), WorkerError>>,
}

impl Stage {
    async fn new(home: &Path, tracker: Tracker) -> Self {
        Stage::with_token(home, tracker, Token::generate(), None).await
    }

    async fn with_token(home: &Path, tracker: Tracker, token: Token, other: Option<Token>) -> Self {
        let tracker = Arc::new(tracker);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = InterceptedService::new(LeasesServer::new(Server(tracker.clone())), token.guard());
        let incoming = channel::incoming(listener);
        tokio::spawn(channel::serve().add_service(server).serve_with_incoming(incoming));
        let token = other.unwrap_or(token);
        let options = Options { tracker: address, token, name: "w".into(), home: Home::new(home) };
        let stop = CancellationToken::new();
        let worker = tokio::spawn({
            let stop = stop.clone();
            async move { crate::run(&SysConf::default(), options, stop).await }
        });
        Stage { tracker, stop, worker }
    }

    async fn end(self) {
        self.stop.cancel();
        self.worker.await.unwrap().unwrap();
        assert!(*self.tracker.left.lock().unwrap(), "it said that it leaves");
    }
}

#[tokio::test]
async fn a_task_is_moved_recorded_and_settled() {
    let home = tempfile::tempdir().unwrap();
    let (config, manifest) = files(home.path(), 30);
    let tasks = Mutex::new([grant(1, 30)].into());
    let stage = Stage::new(home.path(), Tracker { tasks, config, manifest, ..Tracker::default() }).await;
    let settled = stage.tracker.until_settled(1).await;
    assert_eq!((settled[0].result(), settled[0].reason.as_str()), (Settled::Finished, ""));
    let mut indexes: Vec<u32> =
        stage.tracker.records.lock().unwrap().iter().map(|record| record.index).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, (0..30).collect::<Vec<_>>());
    let moved = std::fs::read_to_string(home.path().join("out/k7")).unwrap();
    assert_eq!(moved, "content 7");
    stage.end().await;
}

#[tokio::test]
async fn a_master_that_is_away_for_a_while_costs_nothing_but_time() {
    let home = tempfile::tempdir().unwrap();
    let (config, manifest) = files(home.path(), 3);
    let (tasks, away) = (Mutex::new([grant(1, 3)].into()), AtomicUsize::new(2));
    let tracker = Tracker { tasks, config, manifest, away, ..Tracker::default() };
    let stage = Stage::new(home.path(), tracker).await;
    assert_eq!(stage.tracker.until_settled(1).await[0].result(), Settled::Finished);
    assert_eq!(stage.tracker.records.lock().unwrap().len(), 3);
    stage.end().await;
}

#[tokio::test]
async fn a_damaged_manifest_pauses_the_job_and_names_the_file() {
    let home = tempfile::tempdir().unwrap();
    let (config, mut manifest) = files(home.path(), 3);
    manifest[20] ^= 1;
    let tasks = Mutex::new([grant(1, 3)].into());
    let stage = Stage::new(home.path(), Tracker { tasks, config, manifest, ..Tracker::default() }).await;
    let settled = stage.tracker.until_settled(1).await;
    assert_eq!(settled[0].result(), Settled::Suspended);
    assert!(settled[0].reason.contains("r1-000001"), "{}", settled[0].reason);
    assert!(stage.tracker.records.lock().unwrap().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn the_limits_are_known_before_the_manifest_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let (config, manifest) = files(home.path(), 3);
    let tasks = Mutex::new([grant(1, 3), grant(2, 3)].into());
    let stage = Stage::new(home.path(), Tracker { tasks, config, manifest, ..Tracker::default() }).await;
    stage.tracker.until_settled(2).await;
    let names = stage.tracker.names();
    let first = |wanted: &str| names.iter().position(|name| *name == wanted).unwrap();
    assert!(first("config") < first("renew") && first("renew") < first("manifest"), "{names:?}");
    assert_eq!(names.iter().filter(|name| **name == "config").count(), 1, "one mover for both tasks");
    stage.end().await;
}

#[tokio::test]
async fn a_tracker_that_has_nothing_and_does_not_wait_is_not_asked_without_pause() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new(home.path(), Tracker { stopping: true, ..Tracker::default() }).await;
    let asked = |tracker: &Tracker| -> Vec<Instant> {
        let calls = tracker.calls.lock().unwrap();
        calls.iter().filter(|(name, _)| *name == "acquire").map(|(_, at)| *at).collect()
    };
    stage.tracker.until(|tracker| asked(tracker).len() >= 4).await;
    let asked = asked(&stage.tracker);
    assert!(asked[3].duration_since(asked[0]) >= 3 * QUIET - Duration::from_millis(50), "{asked:?}");
    stage.end().await;
}

#[tokio::test]
async fn a_wrong_token_ends_the_worker_with_a_reason() {
    let home = tempfile::tempdir().unwrap();
    let tracker = Tracker::default();
    let stage = Stage::with_token(home.path(), tracker, Token::generate(), Some(Token::generate())).await;
    let error = stage.worker.await.unwrap().unwrap_err();
    assert!(matches!(&error, WorkerError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_task_that_is_lost_is_dropped_without_a_word() {
    let home = tempfile::tempdir().unwrap();
    let (config, manifest) = files(home.path(), 3);
    let tasks = Mutex::new([grant(1, 3), grant(2, 3)].into());
    let lost = Mutex::new(vec![1]);
    let stage =
        Stage::new(home.path(), Tracker { tasks, config, manifest, lost, ..Tracker::default() }).await;
    let settled = stage.tracker.until_settled(1).await;
    let tracker = stage.tracker.clone();
    stage.end().await;
    let fences: Vec<u64> =
        settled.iter().filter_map(|settled| settled.task.as_ref()).map(|t| t.fence).collect();
    assert_eq!(fences, [2]);
    assert_eq!(tracker.settled.lock().unwrap().len(), 1);
    assert_eq!(tracker.records.lock().unwrap().len(), 3);
}
