//! The three services of a running installation, called with messages that decode and say impossible things:
//! names, indices, counts, sizes, sessions, settlements of nobody's tasks. Whatever is said is answered, and the
//! state can be opened again.

use std::time::Duration;

use conf::{Home as Paths, JobConf, home::Role};
use prost::Message;
use proto::channel::{self, Caller, Token};
use proto::v1;
use proto::v1::jobs_client::JobsClient;
use proto::v1::leases_client::LeasesClient;
use proto::v1::tasks_client::TasksClient;
use tests::home::Home;
use tonic::{Code, Status};

use crate::{Bound, fuzz_messages};

/// The servers are other processes; this one only sends.
const BOUND: Bound = Bound { base: 64 << 20, each: 4_000 };

/// Stands for the fence and the session that are living now, so that an input is the same in every run.
const LIVING: u64 = 0x00ab_cdef_0123_4567;

/// Longer than any answer but those that wait.
const PATIENCE: Duration = Duration::from_millis(400);

const WORDS: [&str; 8] =
    ["local_test", "../..", "job\0x", "crc64nvme", "TIMEOUT", "a/b", "\u{1b}[2J", "0123456789abcdef"];

struct Attack {
    home: Home,
    jobs: JobsClient<Caller>,
    tasks: TasksClient<Caller>,
    leases: LeasesClient<Caller>,
    runtime: tokio::runtime::Runtime,
    /// Of the job under attack.
    config: Vec<u8>,
    session: u64,
    /// A task that is out.
    task: v1::TaskRef,
}

fn job() -> JobConf {
    let text = "name = \"local_test\"\n[source]\ntype = \"s3\"\nendpoint = \"http://127.0.0.1:1\"\nregion = \"r\"\n\
        bucket = \"b\"\naccess_key = \"a\"\nsecret_key = \"s\"\n[destination]\ntype = \"s3\"\n\
        endpoint = \"http://127.0.0.1:1\"\nregion = \"r\"\nbucket = \"c\"\naccess_key = \"a\"\nsecret_key = \"s\"\n";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("job.toml");
    std::fs::write(&path, text).unwrap();
    conf::load::job(&path).unwrap().value
}

impl Attack {
    /// A job of 40 files in tasks of two, and nobody who works on it.
    fn start() -> Attack {
        let home = Home::new();
        for at in 0..40 {
            home.write(&format!("from/{at:02}"), "x");
        }
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        home.write("conf/local_job.toml", &format!(
            "name = \"real_job\"\n[source]\ntype = \"local\"\npath = \"{}/\"\n[destination]\ntype = \"local\"\n\
             path = \"{}/\"\n[task]\nobject_count_limit = 2\n",
            from.display(),
            to.display()
        ));
        home.expect(0, &["start"]);
        let paths = Paths::new(home.path());
        let worker = std::fs::read_to_string(paths.pid(Role::Worker)).unwrap();
        let pid = worker.split_whitespace().next().unwrap().parse().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        home.expect(0, &["submit", &paths.local_job().display().to_string()]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let token = Token::parse(&std::fs::read_to_string(paths.token()).unwrap()).unwrap();
        let caller = |role| {
            let address = std::fs::read_to_string(paths.address(role)).unwrap().trim().parse().unwrap();
            let _inside = runtime.enter();
            channel::call(address, &token).unwrap()
        };
        let (jobs, tasks) = (JobsClient::new(caller(Role::Master)), TasksClient::new(caller(Role::Master)));
        let leases = LeasesClient::new(caller(Role::Tracker));
        let config = conf::load::job(&paths.local_job()).unwrap().value.to_wire();
        let mut attack =
            Attack { home, jobs, tasks, leases, runtime, config, session: 0, task: v1::TaskRef::default() };
        attack.take_a_task();
        attack
    }

    /// As a tracker would: attach, fetch one.
    fn take_a_task(&mut self) {
        let Attack { tasks, jobs, runtime, .. } = self;
        let name = || v1::JobRequest { job: "real_job".into() };
        // The real tracker attaches again too.
        for _ in 0..20 {
            let taken = runtime.block_on(async {
                // What else was sent may have stopped it.
                let _ = jobs.resume(name()).await;
                let _ = jobs.retry(name()).await;
                let session = tasks.attach(v1::AttachRequest::default()).await?.into_inner().session;
                let request = v1::FetchRequest { session, most: 1, wait_ms: 200 };
                let task = tasks.fetch(request).await?.into_inner().tasks.pop().and_then(|grant| grant.task);
                Ok::<_, Status>((session, task))
            });
            match taken {
                Ok((session, Some(task))) => {
                    self.session = session;
                    self.task = task;
                    return;
                }
                Ok((_, None)) => {
                    // Everything is settled, or a record was made that stops the job for good: anew.
                    let clean = v1::CleanRequest { job: "real_job".into(), keep_uploads: true, force: true };
                    let submit = v1::SubmitRequest { config: self.config.clone() };
                    let _ = runtime.block_on(jobs.clean(clean));
                    let _ = runtime.block_on(jobs.submit(submit));
                }
                Err(status) => assert_eq!(status.code(), Code::FailedPrecondition, "{status}"),
            }
        }
    }

    /// What stands for the living fence and session becomes them. Varints of equal values are equal bytes, so
    /// this is done in the message.
    fn fill(&self, task: &mut Option<v1::TaskRef>) {
        if let Some(task) = task.as_mut().filter(|task| task.fence == LIVING) {
            task.fence = self.task.fence;
            if task.job == "real_job" && task.number == 7 {
                task.number = self.task.number;
            }
        }
    }

    fn session(&self, session: u64) -> u64 {
        if session == LIVING { self.session } else { session }
    }

    /// One call. `None`: the bytes are no such message.
    fn call(&mut self, which: u8, bytes: &[u8]) -> Option<Result<(), Status>> {
        macro_rules! send {
            ($client:ident . $method:ident, $kind:ident, $change:expr) => {{
                let mut message = v1::$kind::decode(bytes).ok()?;
                #[allow(clippy::redundant_closure_call, reason = "one form for all")]
                ($change)(&*self, &mut message);
                let mut client = self.$client.clone();
                self.runtime.block_on(async {
                    match tokio::time::timeout(PATIENCE, client.$method(message)).await {
                        Ok(answer) => answer.map(drop),
                        Err(_) => Ok(()),
                    }
                })
            }};
        }
        Some(match which % 26 {
            0 => {
                send!(tasks.record, RecordBatch, |at: &Attack, m: &mut v1::RecordBatch| at.fill(&mut m.task))
            }
            1 => send!(tasks.save_upload, UploadProgress, |at: &Attack, m: &mut v1::UploadProgress| at
                .fill(&mut m.task)),
            2 => send!(tasks.settle, Settlement, |at: &Attack, m: &mut v1::Settlement| at.fill(&mut m.task)),
            3 => send!(tasks.manifest, ManifestRequest, |at: &Attack, m: &mut v1::ManifestRequest| at
                .fill(&mut m.task)),
            4 => send!(tasks.get_job_config, JobConfigRequest, |_: &Attack, _: &mut _| {}),
            5 => send!(tasks.fetch, FetchRequest, |at: &Attack, m: &mut v1::FetchRequest| m.session =
                at.session(m.session)),
            6 => send!(tasks.release, ReleaseRequest, |at: &Attack, m: &mut v1::ReleaseRequest| {
                m.session = at.session(m.session);
            }),
            7 => send!(tasks.pulse, PulseRequest, |at: &Attack, m: &mut v1::PulseRequest| m.session =
                at.session(m.session)),
            8 => send!(jobs.submit, SubmitRequest, |_: &Attack, _: &mut _| {}),
            9 => send!(jobs.refresh, RefreshRequest, |_: &Attack, _: &mut _| {}),
            10 => send!(jobs.stat, StatRequest, |_: &Attack, _: &mut _| {}),
            11 => send!(jobs.watch, WatchRequest, |_: &Attack, _: &mut _| {}),
            12 => send!(jobs.retry, JobRequest, |_: &Attack, _: &mut _| {}),
            13 => send!(jobs.clean, CleanRequest, |_: &Attack, m: &mut v1::CleanRequest| {
                // The job under attack stays.
                m.force &= m.job != "real_job";
            }),
            14 => send!(jobs.pause, PauseRequest, |_: &Attack, _: &mut _| {}),
            15 => send!(jobs.resume, JobRequest, |_: &Attack, _: &mut _| {}),
            16 => send!(jobs.limit, LimitRequest, |_: &Attack, _: &mut _| {}),
            17 => send!(jobs.report, ReportRequest, |_: &Attack, _: &mut _| {}),
            18 => send!(leases.register, RegisterRequest, |_: &Attack, _: &mut _| {}),
            19 => send!(leases.acquire, AcquireRequest, |_: &Attack, _: &mut _| {}),
            20 => send!(leases.renew, RenewRequest, |_: &Attack, _: &mut _| {}),
            21 => {
                send!(leases.record, RecordBatch, |at: &Attack, m: &mut v1::RecordBatch| at.fill(&mut m.task))
            }
            22 => send!(leases.save_upload, UploadProgress, |at: &Attack, m: &mut v1::UploadProgress| at
                .fill(&mut m.task)),
            23 => {
                send!(leases.settle, Settlement, |at: &Attack, m: &mut v1::Settlement| at.fill(&mut m.task))
            }
            24 => send!(leases.manifest, ManifestRequest, |at: &Attack, m: &mut v1::ManifestRequest| at
                .fill(&mut m.task)),
            _ => send!(leases.get_job_config, JobConfigRequest, |_: &Attack, _: &mut _| {}),
        })
    }

    fn attack(&mut self, input: &[u8]) {
        let [which, bytes @ ..] = input else { return };
        let Some(Err(status)) = self.call(*which, bytes) else { return };
        assert!(!status.message().contains("a bug"), "{status:?}");
        // A handler that panics takes its connection with it, and says so in the log.
        if matches!(status.code(), Code::Unknown | Code::Cancelled | Code::Unavailable) {
            self.must_stand();
        }
        if status.code() == Code::FailedPrecondition {
            // Perhaps ours was settled, or another tracker came.
            self.take_a_task();
        }
    }

    /// Everybody lives, nothing panicked, and what is on disk is sound.
    fn must_stand(&self) {
        self.home.expect(0, &["stat"]);
        for role in [Role::Master, Role::Tracker] {
            let log = Paths::new(self.home.path()).log(role);
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(!text.contains("panicked"), "{}", text.split("panicked").nth(1).unwrap_or_default());
        }
    }
}

fn valid() -> Vec<Vec<u8>> {
    let task = || Some(v1::TaskRef { job: "real_job".into(), round: 1, number: 7, fence: LIVING });
    let record = |index, outcome| v1::AuditRecord {
        index,
        key: b"00".to_vec(),
        size: 1,
        outcome,
        proof: "crc64nvme".into(),
        code: "TIMEOUT".into(),
        ..v1::AuditRecord::default()
    };
    let part = v1::Part { number: 1, size: 5, etag: "e".into(), crc64: Some(7), md5: vec![1; 16] };
    let upload = v1::Upload {
        index: 1,
        key: b"k".to_vec(),
        upload_id: "u".into(),
        part_size: 5,
        parts: vec![part],
        ..v1::Upload::default()
    };
    let activity = v1::JobActivity {
        job: "real_job".into(),
        bytes_read: 7,
        in_flight_bytes: 3,
        ..v1::JobActivity::default()
    };
    let stat = v1::WorkerStat {
        worker: "w/1".into(),
        host: "h".into(),
        slots: 3,
        cpu_share: 0.5,
        activity: vec![activity],
        ..v1::WorkerStat::default()
    };
    let records = v1::RecordBatch { task: task(), records: vec![record(0, 1), record(1, 3)] };
    let progress = v1::UploadProgress { task: task(), upload: Some(upload) };
    let settle =
        |result| v1::Settlement { task: task(), result, reason: "r".into(), stat: Some(stat.clone()) };
    let name = |name: &str| v1::JobRequest { job: name.into() };
    let config = job().to_wire();
    let renew = v1::RenewRequest {
        stat: Some(stat.clone()),
        held: task().into_iter().collect(),
        leaving: false,
        ..Default::default()
    };
    let messages: Vec<(u8, Vec<u8>)> = vec![
        (0, records.encode_to_vec()),
        (1, progress.encode_to_vec()),
        (2, settle(1).encode_to_vec()),
        (2, settle(2).encode_to_vec()),
        (2, settle(3).encode_to_vec()),
        (3, v1::ManifestRequest { task: task() }.encode_to_vec()),
        (4, v1::JobConfigRequest { job: "real_job".into() }.encode_to_vec()),
        (5, v1::FetchRequest { session: LIVING, most: 2, wait_ms: 1 }.encode_to_vec()),
        (
            6,
            v1::ReleaseRequest { session: LIVING, tasks: task().into_iter().collect(), reason: "r".into() }
                .encode_to_vec(),
        ),
        (7, v1::PulseRequest { session: LIVING, workers: vec![stat.clone()] }.encode_to_vec()),
        (8, v1::SubmitRequest { config: config.clone() }.encode_to_vec()),
        (9, v1::RefreshRequest { config, compare_only: false }.encode_to_vec()),
        (10, v1::StatRequest { job: "real_job".into() }.encode_to_vec()),
        (11, v1::WatchRequest { job: "real_job".into() }.encode_to_vec()),
        (12, name("real_job").encode_to_vec()),
        (13, v1::CleanRequest { job: "local_test".into(), keep_uploads: false, force: true }.encode_to_vec()),
        (14, v1::PauseRequest { job: "real_job".into(), reason: "r".into() }.encode_to_vec()),
        (15, name("real_job").encode_to_vec()),
        (15, name("local_test").encode_to_vec()),
        (
            16,
            v1::LimitRequest {
                job: "real_job".into(),
                bytes_per_s: Some(7),
                requests_per_s: Some(9),
                priority: Some(3),
            }
            .encode_to_vec(),
        ),
        (
            17,
            v1::ReportRequest { job: "real_job".into(), failed_only: true, not_carried_only: false }
                .encode_to_vec(),
        ),
        (18, v1::RegisterRequest { worker: "w/1".into(), slots: 3, ..Default::default() }.encode_to_vec()),
        (19, v1::AcquireRequest { worker: "w/1".into(), slots_free: 1, most: 1, wait_ms: 1 }.encode_to_vec()),
        (20, renew.encode_to_vec()),
        (21, records.encode_to_vec()),
        (22, progress.encode_to_vec()),
        (23, settle(1).encode_to_vec()),
        (24, v1::ManifestRequest { task: task() }.encode_to_vec()),
        (25, v1::JobConfigRequest { job: "real_job".into() }.encode_to_vec()),
    ];
    messages.into_iter().map(|(which, bytes)| [vec![which], bytes].concat()).collect()
}

#[test]
fn messages_to_running_services() {
    let mut attack = Attack::start();
    let mut calls = 0;
    fuzz_messages("messages_to_running_services", 800, BOUND, (&valid(), 1), &WORDS, |input| {
        attack.attack(input);
        calls += 1;
        if calls % 500 == 0 {
            attack.must_stand();
        }
    });
    attack.must_stand();
    // What all that left on disk is a state that opens.
    attack.home.expect(0, &["stop"]);
    attack.home.expect(0, &["start"]);
    attack.home.expect(0, &["stat"]);
}
