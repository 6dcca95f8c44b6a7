//! Every gRPC message: what decodes encodes to the same meaning.

use prost::Message;
use proto::v1;

use crate::{Bound, fuzz, fuzz_messages};

/// An empty message in a list takes two bytes on the wire and its whole width in memory.
const BOUND: Bound = Bound { base: 4 << 20, each: 4_000 };

/// One kind of message: decoded and encoded again, until nothing changes.
fn same<T: Message + Default + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(message) = T::decode(bytes) else { return };
    let first = message.encode_to_vec();
    let second = T::decode(&first[..]).unwrap().encode_to_vec();
    assert_eq!(first, second);
    let _ = format!("{message:?}");
}

macro_rules! kinds {
    ($($kind:ident)*) => { [$((stringify!($kind), same::<v1::$kind> as fn(&[u8]))),*] };
}

fn valid() -> Vec<Vec<u8>> {
    let task = Some(v1::TaskRef { job: "local_test".into(), round: 1, number: 7, fence: 1 << 50 });
    let part =
        v1::Part { number: 1, size: 5 << 20, etag: "e".into(), crc64: Some(u64::MAX), md5: vec![7; 16] };
    let upload = v1::Upload {
        index: 3,
        key: b"k\xff".to_vec(),
        upload_id: "id".into(),
        part_size: 5 << 20,
        parts: vec![part; 3],
        ..v1::Upload::default()
    };
    let record = v1::AuditRecord { index: 1, key: b"k".to_vec(), outcome: 1, ..v1::AuditRecord::default() };
    let activity = v1::JobActivity { job: "local_test".into(), bytes_read: 7, ..v1::JobActivity::default() };
    let stat = v1::WorkerStat { worker: "w/1".into(), activity: vec![activity], ..v1::WorkerStat::default() };
    let grant = v1::Grant {
        task: task.clone(),
        recorded: vec![3],
        uploads: vec![upload.clone()],
        ..v1::Grant::default()
    };
    vec![
        v1::RecordBatch { task: task.clone(), records: vec![record; 4] }.encode_to_vec(),
        v1::UploadProgress { task: task.clone(), upload: Some(upload) }.encode_to_vec(),
        v1::Settlement { task: task.clone(), result: 1, reason: "r".into(), stat: Some(stat.clone()) }
            .encode_to_vec(),
        v1::AttachReply { session: 9, outstanding: vec![grant] }.encode_to_vec(),
        v1::RenewRequest {
            stat: Some(stat),
            held: task.into_iter().collect(),
            leaving: true,
            ..Default::default()
        }
        .encode_to_vec(),
        v1::LimitRequest { job: "local_test".into(), bytes_per_s: Some(1), ..Default::default() }
            .encode_to_vec(),
    ]
}

#[test]
fn every_message() {
    let kinds = kinds!(
        TaskRef Grant Upload Part AuditRecord RecordBatch Ack ManifestRequest ManifestChunk UploadProgress Settlement
        JobConfigRequest JobConfig Limits RequestCount JobActivity WorkerStat RegisterRequest RegisterReply
        AcquireRequest AcquireReply RenewRequest RenewReply Share JobShare AttachRequest AttachReply FetchRequest
        FetchReply ReleaseRequest PulseRequest PulseReply JobLimits SubmitRequest JobRequest StatRequest StatReply
        WatchRequest RetryReply CleanRequest CleanReply PauseRequest LimitRequest RefreshRequest RefreshReply
        ReportRequest ReportChunk ReportRecords ReportHead ReportTail InfoRequest InfoReply CauseCount JobStat
    );
    // A message that was added is to be here too.
    let idl = [
        include_str!("../../proto/idl/types.proto"),
        include_str!("../../proto/idl/jobs.proto"),
        include_str!("../../proto/idl/leases.proto"),
        include_str!("../../proto/idl/tasks.proto"),
    ];
    for line in idl.iter().flat_map(|idl| idl.lines()) {
        let Some(name) = line.strip_prefix("message ").and_then(|rest| rest.split_whitespace().next()) else {
            continue;
        };
        assert!(kinds.iter().any(|(known, _)| *known == name), "{name} is not fuzzed");
    }
    let all = |bytes: &[u8]| kinds.iter().for_each(|(_, same)| same(bytes));
    fuzz("every_message", 1_000, BOUND, &valid(), &[], all);
    fuzz_messages("every_message", 1_000, BOUND, (&valid(), 0), &[], all);
}
