//! The master over gRPC, with its scans; and killed at the worst places.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use proto::breakpoint;
use proto::channel::{self, Caller, Token};
use proto::v1;
use proto::v1::jobs_client::JobsClient;
use proto::v1::settlement::Result as Ending;
use proto::v1::tasks_client::TasksClient;
use storage::{ErrorKind, Op};
use tokio::task::JoinHandle;
use tonic::Code;

use super::*;
use crate::testing::{Stores, conf};

struct Served {
    address: SocketAddr,
    token: Token,
    stop: CancellationToken,
    running: JoinHandle<Result<(), MasterError>>,
}

impl Served {
    async fn start(home: &Path, stores: &Stores) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, token) = (listener.local_addr().unwrap(), Token::generate());
        let options = Options { home: conf::Home::new(home), listener, token: token.clone(), dormant: false };
        let (stop, opener) = (CancellationToken::new(), Arc::new(stores.clone()));
        let asked = stop.clone();
        let running =
            tokio::spawn(async move { serve(&conf::SysConf::default(), options, asked, opener).await });
        Served { address, token, stop, running }
    }

    fn caller(&self) -> Caller {
        channel::call(self.address, &self.token).unwrap()
    }

    fn jobs(&self) -> JobsClient<Caller> {
        JobsClient::new(self.caller())
    }

    fn tasks(&self) -> TasksClient<Caller> {
        TasksClient::new(self.caller())
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }

    /// Does what a tracker and its workers do, until a Fetch brings nothing more.
    async fn work(&self) {
        let mut tasks = self.tasks();
        let session = tasks.attach(v1::AttachRequest::default()).await.unwrap().into_inner().session;
        loop {
            let request = v1::FetchRequest { session, most: 4, wait_ms: 1000 };
            let grants = tasks.fetch(request).await.unwrap().into_inner().tasks;
            if grants.is_empty() {
                return;
            }
            for grant in grants {
                do_task(&mut tasks, grant).await;
            }
        }
    }

    async fn watch_until(&self, job: &str, state: &str) -> v1::JobStat {
        let request = v1::WatchRequest { job: job.into() };
        let mut changes = self.jobs().watch(request).await.unwrap().into_inner();
        loop {
            let stat = changes.message().await.unwrap().expect("the job ends in another state");
            if stat.state == state {
                return stat;
            }
        }
    }
}

async fn do_task(tasks: &mut TasksClient<Caller>, grant: v1::Grant) {
    let request = v1::ManifestRequest { task: grant.task.clone() };
    let mut chunks = tasks.manifest(request).await.unwrap().into_inner();
    let mut file = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        file.extend(chunk.data);
    }
    let entries = proto::manifest::decode(&file).unwrap();
    let records = entries.iter().zip(0..).map(|(entry, index)| v1::AuditRecord {
        index,
        key: entry.key.as_bytes().to_vec(),
        size: entry.size,
        outcome: v1::Outcome::Succeeded.into(),
        proof: "crc64nvme".into(),
        ..v1::AuditRecord::default()
    });
    let records = records.collect();
    tasks.record(v1::RecordBatch { task: grant.task.clone(), records }).await.unwrap();
    let (task, result) = (grant.task, Ending::Finished.into());
    tasks.settle(v1::Settlement { task, result, ..v1::Settlement::default() }).await.unwrap();
}

fn stores(objects: u32) -> Stores {
    let stores = Stores::default();
    for n in 0..objects {
        stores.from.insert(format!("o-{n:04}").as_str(), "0123456789".to_owned());
    }
    stores
}

fn small_tasks(name: &str) -> Vec<u8> {
    let mut job = conf(name);
    job.task.object_count_limit = 10;
    job.to_wire()
}

#[tokio::test]
async fn a_job_is_scanned_handed_out_and_ends_over_grpc() {
    let dir = tempfile::tempdir().unwrap();
    let master = Served::start(dir.path(), &stores(105)).await;
    master.jobs().submit(v1::SubmitRequest { config: small_tasks("jobs") }).await.unwrap();
    let again = master.jobs().submit(v1::SubmitRequest { config: small_tasks("jobs") }).await;
    assert_eq!(again.unwrap_err().code(), Code::AlreadyExists);
    let (stat, ()) = tokio::join!(master.watch_until("jobs", "succeeded"), master.work());
    assert_eq!((stat.objects_succeeded, stat.scan_objects, stat.bytes_succeeded), (105, 105, 1050));
    let lists = stat.requests.iter().find(|line| line.kind == "list").unwrap();
    assert!(lists.count > 0 && lists.side == "source");
    assert_eq!(
        dir.path().join("master/jobs/jobs/manifests").read_dir().unwrap().count(),
        stat.tasks_succeeded as usize
    );
    master.stop().await;
}

#[tokio::test]
async fn nobody_is_answered_without_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let master = Served::start(dir.path(), &stores(0)).await;
    let other = channel::call(master.address, &Token::generate()).unwrap();
    let jobs = JobsClient::new(other.clone()).info(v1::InfoRequest {}).await;
    assert_eq!(jobs.unwrap_err().code(), Code::Unauthenticated);
    let tasks = TasksClient::new(other).attach(v1::AttachRequest::default()).await;
    assert_eq!(tasks.unwrap_err().code(), Code::Unauthenticated);
    master.stop().await;
}

#[tokio::test]
async fn a_source_that_cannot_be_listed_pauses_the_job_with_the_reason_and_resume_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(30);
    stores.from.fail_next(Op::List, None, 1000, ErrorKind::BadCredentials);
    let master = Served::start(dir.path(), &stores).await;
    master.jobs().submit(v1::SubmitRequest { config: small_tasks("jobs") }).await.unwrap();
    let stat = master.watch_until("jobs", "paused").await;
    assert!(stat.reason.contains("access_key"), "{}", stat.reason);
    assert!(!stat.scan_done);
    master.stop().await;
    // Another life of the master, another of the service.
    let master = Served::start(dir.path(), &crate::tests::stores(30)).await;
    let name = v1::JobRequest { job: "jobs".into() };
    assert_eq!(
        master.jobs().stat(v1::StatRequest { job: "jobs".into() }).await.unwrap().into_inner().jobs[0].state,
        "paused"
    );
    master.jobs().resume(name).await.unwrap();
    let (stat, ()) = tokio::join!(master.watch_until("jobs", "succeeded"), master.work());
    assert_eq!(stat.objects_succeeded, 30);
    master.stop().await;
}

#[tokio::test]
async fn a_long_poll_ends_when_the_master_stops() {
    let dir = tempfile::tempdir().unwrap();
    let master = Served::start(dir.path(), &stores(0)).await;
    let mut tasks = master.tasks();
    let session = tasks.attach(v1::AttachRequest::default()).await.unwrap().into_inner().session;
    let fetch =
        tokio::spawn(
            async move { tasks.fetch(v1::FetchRequest { session, most: 1, wait_ms: 20_000 }).await },
        );
    tokio::task::yield_now().await;
    let stopped = tokio::time::timeout(Duration::from_secs(9), master.stop()).await;
    assert!(stopped.is_ok(), "the drain took its whole patience");
    drop(fetch.await.unwrap());
}

/// Run by the test below in a process of its own, which dies at the breakpoint.
#[tokio::test]
#[ignore = "the process that the crash tests kill"]
async fn victim() {
    let Ok(home) = std::env::var("BRIGADE_TEST_HOME") else { return };
    let master = Served::start(Path::new(&home), &stores(45)).await;
    let known = master.jobs().stat(v1::StatRequest { job: "jobs".into() }).await;
    if known.is_err() {
        master.jobs().submit(v1::SubmitRequest { config: small_tasks("jobs") }).await.unwrap();
    }
    master.work().await;
    master.stop().await;
}

#[tokio::test]
async fn killed_at_the_worst_places_it_goes_on_and_loses_or_doubles_nothing() {
    for place in
        [breakpoint::MANIFEST_WRITTEN, breakpoint::COMMITTED, breakpoint::AUDIT_HALF, breakpoint::SETTLED]
    {
        let dir = tempfile::tempdir().unwrap();
        // Each life gets a little further, or not at all: both have to be fine. The place may be passed by then.
        let mut deaths = 0;
        for _ in 0..3 {
            let victim = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "tests::victim", "--ignored"])
                .env("BRIGADE_BREAKPOINT", place)
                .env("BRIGADE_TEST_HOME", dir.path())
                .output()
                .unwrap();
            let died = victim.status.signal() == Some(6);
            let said = String::from_utf8_lossy(&victim.stdout);
            assert!(died || victim.status.success(), "{place}: {said}");
            deaths += u32::from(died);
        }
        assert!(deaths > 0, "{place}: it did not die");
        let master = Served::start(dir.path(), &stores(45)).await;
        let session = release_all(&master).await;
        assert!(session > 0);
        let (stat, ()) = tokio::join!(master.watch_until("jobs", "succeeded"), master.work());
        assert_eq!((stat.objects_succeeded, stat.scan_objects), (45, 45), "{place}");
        master.stop().await;
        let mut keys = std::collections::BTreeMap::new();
        for entry in std::fs::read_dir(dir.path().join("master/jobs/jobs/audit")).unwrap() {
            let file = std::fs::read(entry.unwrap().path()).unwrap();
            for record in proto::audit::decode(&file).unwrap().records {
                *keys.entry(record.key).or_insert(0) += 1;
            }
        }
        assert_eq!((keys.len(), keys.values().max()), (45, Some(&1)), "{place}");
    }
}

/// What a dead tracker held comes back.
async fn release_all(master: &Served) -> u64 {
    let mut tasks = master.tasks();
    let attached = tasks.attach(v1::AttachRequest::default()).await.unwrap().into_inner();
    let session = attached.session;
    let held = attached.outstanding.into_iter().filter_map(|grant| grant.task).collect();
    tasks.release(v1::ReleaseRequest { session, tasks: held, reason: String::new() }).await.unwrap();
    session
}
