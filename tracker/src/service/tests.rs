//! A tracker between a fake master and workers, all over gRPC.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::stream;
use proto::channel::{self, Token};
use proto::v1::leases_client::LeasesClient;
use proto::v1::tasks_server::{Tasks, TasksServer};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tonic::service::interceptor::InterceptedService;

use super::*;
use crate::{Options, TrackerError};

/// What the tracker and the test see of the master.
#[derive(Default)]
struct Master {
    tasks: Mutex<VecDeque<v1::Grant>>,
    came: Notify,
    outstanding: Mutex<Vec<v1::Grant>>,
    records: Mutex<Vec<u64>>,
    settled: Mutex<Vec<u64>>,
    released: Mutex<Vec<u64>>,
    changed: Notify,
    away: AtomicBool,
    session: AtomicU64,
}

impl Master {
    fn add(&self, fence: u64) {
        self.tasks.lock().unwrap().push_back(grant(fence));
        self.came.notify_one();
    }

    fn present(&self) -> Result<(), Status> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Status::unavailable("the master is away"));
        }
        Ok(())
    }

    async fn until(&self, holds: impl Fn(&Master) -> bool) {
        loop {
            let changed = self.changed.notified();
            if holds(self) {
                return;
            }
            changed.await;
        }
    }
}

fn task(fence: u64) -> v1::TaskRef {
    v1::TaskRef { job: "job1".into(), round: 1, number: fence as u32, fence }
}

fn grant(fence: u64) -> v1::Grant {
    v1::Grant { task: Some(task(fence)), attempt: 1, objects: 1, ..v1::Grant::default() }
}

struct Server(Arc<Master>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Tasks for Server {
    async fn attach(&self, _: Request<v1::AttachRequest>) -> Answer<v1::AttachReply> {
        self.0.present()?;
        let session = self.0.session.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Response::new(v1::AttachReply {
            session,
            outstanding: self.0.outstanding.lock().unwrap().clone(),
        }))
    }

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Answer<v1::FetchReply> {
        loop {
            self.0.present()?;
            let came = self.0.came.notified();
            let most = request.get_ref().most as usize;
            let tasks: Vec<v1::Grant> = {
                let mut waiting = self.0.tasks.lock().unwrap();
                let most = most.min(waiting.len());
                waiting.drain(..most).collect()
            };
            if !tasks.is_empty() {
                return Ok(Response::new(v1::FetchReply { tasks, priorities: Vec::new() }));
            }
            came.await;
        }
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Answer<v1::Ack> {
        self.0.present()?;
        self.0.released.lock().unwrap().extend(request.into_inner().tasks.iter().map(|task| task.fence));
        self.0.changed.notify_waiters();
        Ok(Response::new(v1::Ack {}))
    }

    type ManifestStream = Pin<Box<dyn Stream<Item = Result<v1::ManifestChunk, Status>> + Send>>;

    async fn manifest(&self, _: Request<v1::ManifestRequest>) -> Answer<Self::ManifestStream> {
        let chunk = |byte: u8| Ok(v1::ManifestChunk { data: vec![byte; 3].into() });
        Ok(Response::new(Box::pin(stream::iter([chunk(1), chunk(2)]))))
    }

    async fn get_job_config(&self, _: Request<v1::JobConfigRequest>) -> Answer<v1::JobConfig> {
        Ok(Response::new(v1::JobConfig::default()))
    }

    async fn record(&self, request: Request<v1::RecordBatch>) -> Answer<v1::Ack> {
        self.0.present()?;
        self.0.records.lock().unwrap().push(request.into_inner().task.unwrap_or_default().fence);
        Ok(Response::new(v1::Ack {}))
    }

    async fn save_upload(&self, _: Request<v1::UploadProgress>) -> Answer<v1::Ack> {
        Ok(Response::new(v1::Ack {}))
    }

    async fn settle(&self, request: Request<v1::Settlement>) -> Answer<v1::Ack> {
        self.0.present()?;
        self.0.settled.lock().unwrap().push(request.into_inner().task.unwrap_or_default().fence);
        Ok(Response::new(v1::Ack {}))
    }

    async fn pulse(&self, _: Request<v1::PulseRequest>) -> Answer<v1::PulseReply> {
        self.0.present()?;
        let cluster = Some(v1::Limits { bytes_per_s: 1_000, requests_per_s: 0 });
        Ok(Response::new(v1::PulseReply { cluster, ..v1::PulseReply::default() }))
    }
}

struct Stage {
    master: Arc<Master>,
    workers: LeasesClient<Caller>,
    stop: CancellationToken,
    tracker: JoinHandle<Result<(), TrackerError>>,
}

async fn stage(outstanding: Vec<v1::Grant>) -> Stage {
    stage_with(Master { outstanding: Mutex::new(outstanding), ..Master::default() }, false).await
}

async fn stage_with(master: Master, alone: bool) -> Stage {
    let token = Token::generate();
    let master = Arc::new(master);
    let (listener, address) = listen().await;
    let server = InterceptedService::new(TasksServer::new(Server(master.clone())), token.guard());
    tokio::spawn(channel::serve().add_service(server).serve_with_incoming(channel::incoming(listener)));
    let (listener, tracker_address) = listen().await;
    let options = Options { listener, master: address, token: token.clone(), alone };
    let stop = CancellationToken::new();
    let conf = conf::SysConf { lease: Duration::from_secs(5), ..conf::SysConf::default() };
    let tracker = tokio::spawn({
        let stop = stop.clone();
        async move { crate::run(&conf, options, stop).await }
    });
    let workers = LeasesClient::new(channel::call(tracker_address, &token).unwrap());
    Stage { master, workers, stop, tracker }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

impl Stage {
    async fn register(&self, worker: &str) {
        let request = v1::RegisterRequest { worker: worker.into(), ..v1::RegisterRequest::default() };
        self.workers.clone().register(request).await.unwrap();
    }

    /// A heartbeat of a worker that uses so many bytes a second now: what it may use.
    async fn share(&self, worker: &str, held: u64, used: f64) -> Option<f64> {
        let stat = Some(v1::WorkerStat { worker: worker.into(), ..v1::WorkerStat::default() });
        let held = vec![v1::TaskRef { fence: held, ..v1::TaskRef::default() }];
        let share = Some(v1::Share { bytes_per_s: Some(used), requests_per_s: None });
        let request = v1::RenewRequest { stat, held, share, ..v1::RenewRequest::default() };
        self.workers.clone().renew(request).await.unwrap().into_inner().share?.bytes_per_s
    }

    async fn acquire(&self, worker: &str) -> Result<Vec<u64>, Status> {
        let request = v1::AcquireRequest { worker: worker.into(), slots_free: 1, most: 1, wait_ms: 20_000 };
        let tasks = self.workers.clone().acquire(request).await?.into_inner().tasks;
        Ok(tasks.into_iter().filter_map(|grant| grant.task).map(|task| task.fence).collect())
    }

    /// As a worker does it: again while the tracker is not there or has not reached the master.
    async fn renew(&self, worker: &str, held: &[u64], leaving: bool) -> v1::RenewReply {
        let stat = Some(v1::WorkerStat { worker: worker.into(), ..v1::WorkerStat::default() });
        let held = held.iter().map(|fence| task(*fence)).collect();
        let request = v1::RenewRequest { stat, held, leaving, ..v1::RenewRequest::default() };
        loop {
            match self.workers.clone().renew(request.clone()).await {
                Ok(reply) => return reply.into_inner(),
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
            }
        }
    }

    async fn record(&self, fence: u64) -> Result<(), Code> {
        let batch = v1::RecordBatch { task: Some(task(fence)), records: Vec::new() };
        self.workers.clone().record(batch).await.map(|_| ()).map_err(|status| status.code())
    }

    async fn settle(&self, fence: u64) -> Result<(), Code> {
        let settlement = v1::Settlement { task: Some(task(fence)), ..v1::Settlement::default() };
        self.workers.clone().settle(settlement).await.map(|_| ()).map_err(|status| status.code())
    }
}

#[tokio::test]
async fn a_task_goes_to_a_waiting_worker_and_its_reports_to_the_master() {
    let stage = stage(Vec::new()).await;
    stage.register("a/1").await;
    let waiting = stage.acquire("a/1");
    stage.master.add(7);
    assert_eq!(waiting.await.unwrap(), [7]);
    let request = v1::ManifestRequest { task: Some(task(7)) };
    let mut manifest = stage.workers.clone().manifest(request).await.unwrap().into_inner();
    let mut file = Vec::new();
    while let Some(chunk) = manifest.message().await.unwrap() {
        file.extend_from_slice(&chunk.data);
    }
    assert_eq!(file, [1, 1, 1, 2, 2, 2]);
    stage.record(7).await.unwrap();
    stage.settle(7).await.unwrap();
    assert_eq!(*stage.master.records.lock().unwrap(), [7]);
    assert_eq!(stage.record(7).await, Err(Code::FailedPrecondition), "it is settled");
    assert_eq!(*stage.master.records.lock().unwrap(), [7], "the late report did not reach the master");
}

#[tokio::test]
async fn before_the_master_is_reached_no_lease_is_called_lost() {
    let outstanding = Mutex::new(vec![grant(7)]);
    let stage = stage_with(Master { outstanding, away: true.into(), ..Master::default() }, false).await;
    stage.register("a/1").await;
    assert_eq!(stage.record(7).await, Err(Code::Unavailable));
    stage.master.away.store(false, Ordering::Relaxed);
    assert!(stage.renew("a/1", &[7], false).await.lost.is_empty());
    stage.record(7).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_did_not_register_gets_nothing() {
    let stage = stage(Vec::new()).await;
    stage.master.add(7);
    assert_eq!(stage.acquire("a/1").await.unwrap_err().code(), Code::FailedPrecondition);
    assert!(!stage.renew("a/1", &[], false).await.registered);
}

#[tokio::test]
async fn while_the_master_is_away_leases_live_and_reports_are_to_be_sent_again() {
    let stage = stage(Vec::new()).await;
    stage.register("a/1").await;
    stage.master.add(7);
    assert_eq!(stage.acquire("a/1").await.unwrap(), [7]);
    stage.master.away.store(true, Ordering::Relaxed);
    assert_eq!(stage.record(7).await, Err(Code::Unavailable));
    assert!(stage.renew("a/1", &[7], false).await.lost.is_empty());
    stage.master.away.store(false, Ordering::Relaxed);
    stage.record(7).await.unwrap();
}

#[tokio::test]
async fn after_a_restart_a_worker_keeps_what_it_renews_and_the_rest_goes_back() {
    let stage = stage(vec![grant(7), grant(8)]).await;
    stage.register("a/1").await;
    assert!(stage.renew("a/1", &[7], false).await.lost.is_empty());
    stage.record(7).await.unwrap();
    let renewing = async {
        loop {
            assert!(stage.renew("a/1", &[7], false).await.lost.is_empty());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = renewing => {}
        () = stage.master.until(|master| *master.released.lock().unwrap() == [8]) => {}
    }
}

#[tokio::test]
async fn the_leases_of_a_worker_that_leaves_go_back_at_once() {
    let stage = stage(Vec::new()).await;
    stage.register("a/1").await;
    stage.master.add(7);
    assert_eq!(stage.acquire("a/1").await.unwrap(), [7]);
    stage.renew("a/1", &[], true).await;
    stage.master.until(|master| *master.released.lock().unwrap() == [7]).await;
}

#[tokio::test]
async fn workers_that_work_share_the_clusters_limit() {
    let stage = stage(Vec::new()).await;
    for (worker, fence) in [("a/1", 7), ("b/1", 8)] {
        stage.register(worker).await;
        stage.master.add(fence);
        stage.acquire(worker).await.unwrap();
    }
    stage.register("c/1").await;
    // The limit comes with the first answer to Pulse, before any task.
    assert_eq!(stage.share("a/1", 7, 0.0).await, Some(500.0));
    assert_eq!(stage.share("b/1", 8, 0.0).await, Some(500.0));
    assert_eq!(stage.renew("c/1", &[], false).await.share, None, "it has no work");
    stage.master.add(9);
    stage.acquire("c/1").await.unwrap();
    assert_eq!(stage.share("c/1", 9, 0.0).await, Some(0.0), "the others have all of it");
    let third = 1_000.0 / 3.0;
    assert_eq!(stage.share("a/1", 7, 500.0).await, Some(third));
    assert_eq!(stage.share("c/1", 9, 0.0).await, Some(0.0), "that may not have been heard");
    assert_eq!(stage.share("a/1", 7, third).await, Some(third));
    assert_eq!(stage.share("c/1", 9, 0.0).await.map(f64::round), Some(167.0), "what was given up");
    stage.settle(8).await.unwrap();
    stage.settle(9).await.unwrap();
    assert_eq!(
        stage.share("a/1", 7, third).await,
        Some(third),
        "what was theirs is in use until they say so"
    );
    assert_eq!(stage.share("b/1", 8, 0.0).await, None);
    assert_eq!(stage.share("c/1", 9, 0.0).await, None);
    assert_eq!(stage.share("a/1", 7, third).await, Some(1_000.0), "alone it gets all");
}

#[tokio::test]
async fn a_tracker_that_stops_answers_at_once_and_still_passes_on_what_is_settled() {
    let stage = stage(Vec::new()).await;
    stage.register("a/1").await;
    stage.master.add(7);
    assert_eq!(stage.acquire("a/1").await.unwrap(), [7]);
    {
        let waiting = stage.acquire("a/1");
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        stage.stop.cancel();
        assert!(waiting.await.unwrap().is_empty());
    }
    stage.record(7).await.unwrap();
    stage.settle(7).await.unwrap();
    stage.tracker.await.unwrap().unwrap();
    assert_eq!(*stage.master.settled.lock().unwrap(), [7]);
}

#[tokio::test]
async fn where_no_worker_can_be_older_what_was_out_goes_back_at_once() {
    let master = Master { outstanding: Mutex::new(vec![grant(7), grant(8)]), ..Master::default() };
    let stage = stage_with(master, true).await;
    let begun = Instant::now();
    stage.master.until(|master| *master.released.lock().unwrap() == [7, 8]).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "it waited for heartbeats: {:?}", begun.elapsed());
}
