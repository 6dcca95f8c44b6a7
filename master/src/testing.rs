//! A master in a temporary home with stores in memory at both ends of its jobs, for the tests of this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use conf::{Endpoint, Home, JobConf, SysConf};
use proto::manifest::{self, Entry};
use proto::v1::settlement::Result as Ending;
use proto::v1::{AuditRecord, Grant, JobStat, Outcome, RecordBatch, Settlement};
use proto::{JobName, ObjectKey};
use storage::memory::MemoryStore;
use storage::open::Context;
use storage::{Destination, Source};
use tokio_util::sync::CancellationToken;

use crate::error::MasterError;
use crate::keeper::Keeper;
use crate::manifests::Manifests;
use crate::master::Master;
use crate::opener::Opener;
use crate::scan::ledger::{Commit, NewTask, ScanState};

/// Both ends; an endpoint whose bucket is "from" is the source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stores {
    pub(crate) from: MemoryStore,
    pub(crate) to: MemoryStore,
}

impl Opener for Stores {
    fn source(&self, endpoint: &Endpoint, context: &Context) -> storage::Result<Arc<dyn Source>> {
        let store = if endpoint.bucket == "from" { &self.from } else { &self.to };
        Ok(Arc::new(store.clone().metered(context.meter.clone())))
    }

    fn destination(&self, _endpoint: &Endpoint, _context: &Context) -> storage::Result<Arc<dyn Destination>> {
        Ok(Arc::new(self.to.clone()))
    }
}

/// A master that can be stopped and started on the same home.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    pub(crate) stores: Stores,
    master: Option<Arc<Master>>,
    pub(crate) session: u64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = Bench { dir, stores: Stores::default(), master: None, session: 0 };
        bench.restart();
        bench
    }

    /// Another home with what lies on the disk now, as a kill would leave it; no master is in it yet.
    pub(crate) fn killed(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let from = self.dir.path().join(".");
        let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(dir.path()).status();
        assert!(copied.unwrap().success());
        Bench { dir, stores: self.stores.clone(), master: None, session: 0 }
    }

    pub(crate) fn home(&self) -> Home {
        Home::new(self.dir.path())
    }

    pub(crate) fn master(&self) -> &Arc<Master> {
        self.master.as_ref().unwrap()
    }

    /// Forgets everything in memory, and attaches again.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.master = Some(Arc::new(self.open().unwrap()));
        self.attach();
    }

    pub(crate) fn stop(&mut self) {
        drop(self.master.take());
    }

    pub(crate) fn open(&self) -> Result<Master, MasterError> {
        let stores = Arc::new(self.stores.clone());
        Master::open(&SysConf::default(), self.home(), stores, CancellationToken::new())
    }

    pub(crate) fn attach(&mut self) -> Vec<Grant> {
        let (session, outstanding) = self.master().attach().unwrap();
        self.session = session;
        outstanding
    }

    /// A job whose scan found `tasks` tasks of `objects` objects and is done.
    pub(crate) fn job(&self, name: &str, tasks: u32, objects: u32) {
        self.master().submit(&conf(name).to_wire()).unwrap();
        self.scanned(name, 1..=tasks, objects, true);
    }

    /// The scan commits these tasks.
    pub(crate) fn scanned(
        &self,
        name: &str,
        numbers: std::ops::RangeInclusive<u32>,
        objects: u32,
        done: bool,
    ) {
        let last_task = *numbers.end();
        let tasks: Vec<NewTask> = numbers.map(|number| new_task(number, objects)).collect();
        let state = ScanState { last_task, done, ..ScanState::default() };
        self.keeper(name).keep(&Commit { tasks, state }).unwrap();
    }

    pub(crate) fn keeper(&self, name: &str) -> Keeper {
        let book = self.master().book();
        let record = &book.job(name).unwrap().record;
        let (life, round) = (record.life, record.round);
        Keeper {
            master: self.master().clone(),
            job: name.parse().unwrap(),
            life,
            round,
            spoiled: Arc::default(),
        }
    }

    pub(crate) fn fetch(&self, most: u32) -> Vec<Grant> {
        let given = self.master().dispatch(self.session, most).unwrap();
        given.into_iter().map(|(grant, _)| grant).collect()
    }

    pub(crate) fn fetch_one(&self) -> Grant {
        self.fetch(1).pop().unwrap()
    }

    /// The records, with the keys of the manifest.
    pub(crate) fn record(&self, grant: &Grant, mut records: Vec<AuditRecord>) -> Result<(), MasterError> {
        let task = grant.task.clone().unwrap_or_default();
        for record in &mut records {
            record.key = key(task.number, record.index).into_bytes();
        }
        self.master().record(RecordBatch { task: grant.task.clone(), records })
    }

    pub(crate) fn settle(&self, grant: &Grant, result: Ending) -> Result<(), MasterError> {
        let (task, reason) = (grant.task.clone(), "the test".to_owned());
        self.master().settle(&Settlement { task, result: result.into(), reason, stat: None })
    }

    /// Records every object that is not, with this outcome, and settles.
    pub(crate) fn complete(&self, grant: &Grant, outcome: Outcome) {
        let records = due(grant).into_iter().map(|index| record(index, outcome)).collect();
        self.record(grant, records).unwrap();
        self.settle(grant, Ending::Finished).unwrap();
    }

    pub(crate) fn stat(&self, name: &str) -> JobStat {
        self.master().stat(name).unwrap()
    }

    pub(crate) fn state(&self, name: &str) -> String {
        self.stat(name).state
    }

    /// How often each object of a job is recorded as arrived, on disk.
    pub(crate) fn arrivals(&self, name: &str) -> BTreeMap<(String, u32), u32> {
        let mut arrivals = BTreeMap::new();
        for entry in std::fs::read_dir(self.home().job(name).join("audit")).into_iter().flatten() {
            let path = entry.unwrap().path();
            let file = proto::audit::decode(&std::fs::read(&path).unwrap()).unwrap();
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            for record in file.records.iter().filter(|record| record.outcome() == Outcome::Succeeded) {
                *arrivals.entry((stem.clone(), record.index)).or_default() += 1;
            }
        }
        arrivals
    }
}

/// The objects that a grant still asks for.
pub(crate) fn due(grant: &Grant) -> Vec<u32> {
    let is_due = |index: &u32| grant.recorded[*index as usize / 8] & (1 << (index % 8)) == 0;
    (0..grant.objects).filter(is_due).collect()
}

pub(crate) fn record(index: u32, outcome: Outcome) -> AuditRecord {
    AuditRecord {
        index,
        size: 10,
        outcome: outcome.into(),
        proof: if outcome == Outcome::Failed { String::new() } else { "crc64nvme".into() },
        code: if outcome == Outcome::Failed { "TIMEOUT".into() } else { String::new() },
        ..AuditRecord::default()
    }
}

/// The key of an object of a task that a test made.
pub(crate) fn key(task: u32, index: u32) -> String {
    format!("o-{task}-{index:06}")
}

pub(crate) fn moved(index: u32) -> AuditRecord {
    record(index, Outcome::Succeeded)
}

pub(crate) fn new_task(number: u32, objects: u32) -> NewTask {
    let entry = |at| Entry { key: ObjectKey::new(key(number, at)), size: 10, ..Entry::default() };
    NewTask { number, entries: (0..objects).map(entry).collect(), bytes: 10 * u64::from(objects) }
}

pub(crate) fn conf(name: &str) -> JobConf {
    JobConf {
        name: name.into(),
        kind: conf::job::JobKind::Import,
        since: 0,
        incremental: false,
        interval: std::time::Duration::from_secs(900),
        priority: 0,
        source: Endpoint {
            kind: conf::job::EndpointType::S3,
            bucket: "from".into(),
            secret_key: conf::Secret::Literal("hunter2".into()),
            ..Endpoint::default()
        },
        destination: Endpoint {
            kind: conf::job::EndpointType::S3,
            bucket: "to".into(),
            ..Endpoint::default()
        },
        task: conf::job::TaskConf::default(),
        transfer: conf::job::TransferConf::default(),
        rename: Vec::new(),
    }
}

/// The manifest of a grant.
pub(crate) fn entries(bench: &Bench, grant: &Grant) -> Vec<Entry> {
    let task = grant.task.clone().unwrap();
    let job: JobName = task.job.parse().unwrap();
    let id = proto::TaskId { job, round: task.round, number: task.number };
    let file = Manifests::of(&bench.home().job(&task.job)).read(&id.stem()).unwrap();
    manifest::decode(&file).unwrap()
}
