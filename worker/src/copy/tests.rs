use std::sync::Mutex;

use conf::Endpoint;
use conf::SysConf;
use conf::job::{EndpointType, TaskConf, TransferConf, Verify};
use storage::memory::{MemoryStore, Stored};
use storage::{ErrorKind, Headers, Op};

use super::*;

mod beside;
mod large;
mod tree;
mod trouble;

/// A mover between two stores in memory.
pub(super) struct Line {
    pub(super) source: MemoryStore,
    pub(super) destination: MemoryStore,
    pub(super) job: JobConf,
    pub(super) memory: u64,
    pub(super) saver: Books,
}

/// What the master would keep.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) saved: Mutex<Vec<v1::Upload>>,
    /// The lease is lost at the save of this number, from 0.
    pub(super) lost_at: Option<usize>,
}

#[async_trait]
impl SaveUpload for Books {
    async fn save(&self, upload: v1::Upload) -> Result<(), LeaseLost> {
        tokio::task::yield_now().await;
        let mut saved = self.saved.lock().unwrap();
        if self.lost_at == Some(saved.len()) {
            return Err(LeaseLost);
        }
        saved.push(upload);
        Ok(())
    }
}

impl Books {
    pub(super) fn last(&self) -> Option<v1::Upload> {
        self.saved.lock().unwrap().last().cloned()
    }
}

impl Line {
    pub(super) fn new() -> Self {
        let transfer = TransferConf {
            multipart_threshold: 100_000,
            part_size: 50_000,
            timeout: Duration::from_secs(5),
            ..TransferConf::default()
        };
        let job = JobConf {
            name: "copy_test".into(),
            kind: JobKind::Import,
            since: 0,
            incremental: false,
            interval: Duration::from_secs(86_400),
            priority: 0,
            source: Endpoint::default(),
            destination: Endpoint { kind: EndpointType::Oss, prefix: "in/".into(), ..Endpoint::default() },
            task: TaskConf::default(),
            transfer,
            rename: Vec::new(),
        };
        Line {
            source: MemoryStore::new(),
            destination: MemoryStore::new(),
            job,
            memory: 1 << 20,
            saver: Books::default(),
        }
    }

    /// Both ends are what they are now.
    pub(super) fn mover(&self) -> Mover {
        let conf = SysConf { memory_limit: self.memory, ..SysConf::default() };
        let limits = Arc::<RateLimits>::default();
        let mover = Mover::between(
            self.job.clone(),
            Arc::new(Engine::new(&conf, "w1")),
            Arc::new(self.source.clone()),
            Arc::new(self.destination.clone()),
            limits.clone(),
            Meters::new(&limits),
        );
        assert!(mover.standing.set(Arc::new(self.destination.clone())).is_ok());
        mover
    }

    pub(super) async fn moved(&self, entry: &Entry) -> Moved {
        self.mover().move_object(7, entry, None, &self.saver).await
    }

    /// Puts an object at the source, moves it, returns the record.
    pub(super) async fn record(&self, key: &str, data: impl Into<bytes::Bytes>) -> v1::AuditRecord {
        self.source.insert(key, data);
        let entry = self.source.entry(key).unwrap();
        recorded(self.moved(&entry).await)
    }

    pub(super) fn calls(&self) -> (Vec<Op>, Vec<Op>) {
        let ops = |store: &MemoryStore| store.calls().into_iter().map(|(op, _)| op).collect();
        (ops(&self.source), ops(&self.destination))
    }
}

pub(super) fn recorded(moved: Moved) -> v1::AuditRecord {
    match moved {
        Moved::Recorded(record) => *record,
        other => panic!("not recorded: {other:?}"),
    }
}

/// Bytes that differ from place to place.
pub(super) fn bytes(n: usize) -> bytes::Bytes {
    (0..n).map(|i| (i * 31 + i / 251) as u8).collect::<Vec<u8>>().into()
}

#[tokio::test(start_paused = true)]
async fn a_small_object_costs_one_get_and_one_put() {
    let line = Line::new();
    let record = line.record("a//b", bytes(70_000)).await;
    assert_eq!(line.calls(), (vec![Op::Get], vec![Op::Put]));
    assert_eq!(line.destination.get("a//b").unwrap().data, bytes(70_000));
    assert_eq!(record.outcome(), v1::Outcome::Succeeded);
    assert_eq!((record.proof.as_str(), record.source_proved), ("crc64nvme", true));
    assert_eq!((record.index, record.size, record.attempts), (7, 70_000, 1));
    assert_eq!(record.destination_key, b"in/a//b");
    assert_eq!((record.worker.as_str(), record.code.as_str()), ("w1", ""));
    assert!(!record.proof_value.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_empty_object_and_a_marker_travel_with_their_headers() {
    let line = Line::new();
    let headers = Headers {
        content_type: Some("text/x-nothing".into()),
        user: vec![("colour".into(), "blue".into())],
        ..Headers::default()
    };
    for key in ["empty", "dir/"] {
        let stored = Stored { data: bytes(0), headers: headers.clone(), modified_ms: 1_500, class: None };
        line.source.insert_stored(key, stored);
        let record = recorded(line.moved(&line.source.entry(key).unwrap()).await);
        assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{record:?}");
        let there = line.destination.get(key).unwrap().headers;
        assert_eq!(there.content_type, headers.content_type);
        let expected = [("colour".to_owned(), "blue".to_owned()), ("mtime".to_owned(), "1.500".to_owned())];
        assert_eq!(there.user, expected);
    }
    assert_eq!(line.calls(), (vec![Op::Get; 2], vec![Op::Put; 2]));
}

#[tokio::test(start_paused = true)]
async fn a_destination_without_a_crc_is_proved_by_its_etag() {
    let mut line = Line::new();
    line.destination.states_checksums = false;
    line.destination = line.destination.clone().limited(|limits| limits.crc = None);
    let record = line.record("k", bytes(1000)).await;
    assert_eq!(record.proof, "etag_md5");
    assert_eq!(line.calls(), (vec![Op::Get], vec![Op::Put]));
}

#[tokio::test(start_paused = true)]
async fn with_verify_full_the_destination_is_read_back() {
    let mut line = Line::new();
    line.job.transfer.verify = Verify::Full;
    let record = line.record("k", bytes(1000)).await;
    assert_eq!(record.proof, "readback");
    assert_eq!(line.calls(), (vec![Op::Get], vec![Op::Put, Op::Get]));
    line.destination.corrupt_next(Op::Get, None);
    let record = line.record("k", bytes(1000)).await;
    assert_eq!((record.proof.as_str(), record.attempts), ("readback", 2), "it was written again");
}

#[tokio::test(start_paused = true)]
async fn with_verify_size_nothing_is_claimed() {
    let mut line = Line::new();
    line.job.transfer.verify = Verify::Size;
    let record = line.record("k", bytes(1000)).await;
    assert_eq!((record.proof.as_str(), record.source_proved), ("size", false));
}

#[tokio::test(start_paused = true)]
async fn the_md5_is_recorded_where_it_is_asked_for() {
    let mut line = Line::new();
    line.job.transfer.record_md5 = true;
    line.job.transfer.record_mtime = false;
    line.record("k", "123456789").await;
    let user = line.destination.get("k").unwrap().headers.user;
    assert_eq!(user, [("md5".to_owned(), "25f9e794323b453885f5181f1b624d0b".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_is_skipped() {
    let mut line = Line::new();
    line.job.transfer.skip_existing = true;
    line.record("k", bytes(10)).await;
    assert_eq!(line.calls(), (vec![Op::Get], vec![Op::Head, Op::Put]));
    let entry = line.source.entry("k").unwrap();
    let record = recorded(line.moved(&entry).await);
    assert_eq!((record.outcome(), record.proof.as_str()), (v1::Outcome::Skipped, "existing"));
    assert!(!record.note.is_empty());
    let known = Existing::Present { size: 10, modified_ms: Some(i64::MAX), etag: None };
    recorded(line.moved(&Entry { existing: known, ..entry.clone() }).await);
    recorded(line.moved(&Entry { existing: Existing::Absent, ..entry }).await);
    assert_eq!(line.calls(), (vec![Op::Get; 2], vec![Op::Head, Op::Put, Op::Head, Op::Put]));
}

#[tokio::test(start_paused = true)]
async fn an_audit_compares_and_writes_nothing() {
    let mut line = Line::new();
    line.job.kind = JobKind::Audit;
    let record = line.record("k", bytes(10)).await;
    assert_eq!(record.code, "SIZE_NOT_MATCH", "it is not there");
    line.destination.insert("k", bytes(10));
    let record = recorded(line.moved(&line.source.entry("k").unwrap()).await);
    assert_eq!((record.outcome(), record.source_proved), (v1::Outcome::Succeeded, true), "{record:?}");
    line.destination.insert("k", "0123456789");
    let record = recorded(line.moved(&line.source.entry("k").unwrap()).await);
    assert_eq!(record.code, "CHECKSUM_NOT_MATCH");
    line.job.transfer.verify = Verify::Full;
    line.destination.insert("k", bytes(10));
    let record = recorded(line.moved(&line.source.entry("k").unwrap()).await);
    assert_eq!(record.proof, "readback");
    assert_eq!(line.source.count(Op::Get), 1);
    assert_eq!(line.destination.count(Op::Put), 0);
}

#[tokio::test(start_paused = true)]
async fn a_writers_word_is_no_proof_of_what_stands_there() {
    let (right, wrong) = (bytes(10), bytes::Bytes::from_static(b"0123456789"));
    let claims = |data: &bytes::Bytes| {
        let mut line = Line::new();
        line.job.kind = JobKind::Audit;
        line.source.claims_md5 = Some(storage::Payload::new(vec![right.clone()]).md5());
        line.destination.claims_md5 = line.source.claims_md5;
        line.destination.insert("k", data.clone());
        line
    };
    let line = claims(&wrong);
    let record = line.record("k", right.clone()).await;
    assert_eq!(record.code, "CHECKSUM_NOT_MATCH", "both claim the same, and the bytes differ: {record:?}");
    assert_eq!((line.source.count(Op::Get), line.destination.count(Op::Get)), (1, 1));
    let record = claims(&right).record("k", right.clone()).await;
    assert_eq!((record.outcome(), record.proof.as_str()), (v1::Outcome::Succeeded, "readback"), "{record:?}");
    assert!(!record.source_proved);
}

#[tokio::test(start_paused = true)]
async fn a_link_in_a_bucket_brings_its_target_and_says_so() {
    let line = Line::new();
    line.source.insert("k", bytes(10));
    let link = Entry { key: "k".into(), size: 0, class: Some("Symlink".into()), ..Entry::default() };
    let record = recorded(line.moved(&link).await);
    assert_eq!((record.outcome(), record.size), (v1::Outcome::Succeeded, 10));
    assert!(record.note.contains("symbolic link"), "{}", record.note);
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_has_what_is_under_way() {
    let line = Line::new();
    let mover = line.mover();
    line.source.insert("k", bytes(1000));
    let entry = line.source.entry("k").unwrap();
    recorded(mover.move_object(0, &entry, None, &line.saver).await);
    let activity = mover.activity("copy_test");
    assert_eq!((activity.in_flight_objects, activity.in_flight_bytes, activity.concurrency), (0, 0, 16));
    assert_eq!(activity.job, "copy_test");
}
