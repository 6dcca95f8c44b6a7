//! Small objects in trouble: every code, and what is no failure.

use super::*;

/// The code and the number of attempts after `times` failures of `op`.
async fn after(line: &Line, op: Op, times: u32, kind: ErrorKind) -> (String, u32) {
    let end = if op == Op::Get { &line.source } else { &line.destination };
    end.fail_next(op, Some("k".into()), times, kind);
    let record = line.record("k", bytes(1000)).await;
    assert_eq!(record.code.is_empty(), record.outcome() == v1::Outcome::Succeeded);
    assert_eq!(record.code.is_empty(), record.text.is_empty());
    (record.code, record.attempts)
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again() {
    for kind in [ErrorKind::Broken, ErrorKind::Timeout, ErrorKind::ServiceFailure, ErrorKind::Unreachable] {
        for op in [Op::Get, Op::Put] {
            assert_eq!(after(&Line::new(), op, 4, kind).await, (String::new(), 5), "{kind:?} {op:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_stays_has_its_code() {
    let cases = [
        (Op::Get, ErrorKind::NotFound, "SOURCE_GONE", 1),
        (Op::Get, ErrorKind::PreconditionFailed, "SOURCE_CHANGED", 1),
        (Op::Get, ErrorKind::Archived, "ARCHIVED", 1),
        (Op::Get, ErrorKind::AccessDenied, "ACCESS_DENIED", 1),
        (Op::Get, ErrorKind::Broken, "DOWNLOAD_FAILED", 5),
        (Op::Get, ErrorKind::Timeout, "TIMEOUT", 5),
        (Op::Get, ErrorKind::Io, "DOWNLOAD_FAILED", 1),
        (Op::Put, ErrorKind::AccessDenied, "ACCESS_DENIED", 1),
        (Op::Put, ErrorKind::InvalidName, "INVALID_NAME", 1),
        (Op::Put, ErrorKind::Refused, "UPLOAD_FAILED", 1),
        (Op::Put, ErrorKind::ServiceFailure, "UPLOAD_FAILED", 5),
        (Op::Put, ErrorKind::Corrupted, "CHECKSUM_NOT_MATCH", 5),
    ];
    for (op, kind, code, attempts) in cases {
        assert_eq!(after(&Line::new(), op, 1000, kind).await, (code.to_owned(), attempts), "{kind:?} {op:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_is_waited_for_and_no_failure() {
    let mut line = Line::new();
    line.job.transfer.retries = 1;
    let mover = line.mover();
    line.source.insert("k", bytes(10));
    line.source.fail_next(Op::Get, None, 50, ErrorKind::Throttled);
    let entry = line.source.entry("k").unwrap();
    let record = recorded(mover.move_object(0, &entry, None, &line.saver).await);
    assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{record:?}");
    assert!(mover.concurrency() < 16, "it slows down");
    assert!(mover.activity("").wait_throttled_us > 0);
    line.destination.fail_next(Op::Put, None, u32::MAX, ErrorKind::Throttled);
    let moved = mover.move_object(0, &entry, None, &line.saver).await;
    assert!(matches!(moved, Moved::Suspend { .. }), "patience ends, and nobody got through: {moved:?}");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_changed_is_never_mixed() {
    let line = Line::new();
    line.source.insert("k", bytes(1000));
    let listed = line.source.entry("k").unwrap();
    line.source.insert("k", bytes(999));
    assert_eq!(recorded(line.moved(&listed).await).code, "SOURCE_CHANGED", "by its ETag");
    line.source.ignore_versions();
    let unlabelled = Entry { etag: None, ..listed };
    let record = recorded(line.moved(&unlabelled).await);
    assert_eq!((record.code.as_str(), record.attempts), ("SOURCE_CHANGED", 2), "by its size");
    assert!(record.text.contains("1000") && record.text.contains("999"), "{}", record.text);
    assert!(line.destination.keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_service_without_conditions_is_not_trusted() {
    let line = Line::new();
    line.source.insert("k", bytes(1000));
    let listed = line.source.entry("k").unwrap();
    line.source.ignore_versions();
    line.source.insert("k", vec![1; 1000]);
    assert_eq!(recorded(line.moved(&listed).await).code, "SOURCE_CHANGED");
    assert!(line.destination.keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn damage_on_the_way_is_read_again() {
    let line = Line::new();
    line.source.corrupt_next(Op::Get, None);
    let record = line.record("k", bytes(1000)).await;
    assert_eq!((record.outcome(), record.attempts), (v1::Outcome::Succeeded, 2));
    assert_eq!(line.destination.get("k").unwrap().data, bytes(1000));
    line.source.corrupt_next(Op::Get, None);
    line.source.corrupt_next(Op::Get, None);
    let record = line.record("bad", bytes(1000)).await;
    assert_eq!(record.code, "CHECKSUM_NOT_MATCH");
    assert!(record.text.contains("source states"), "{}", record.text);
    assert!(line.destination.get("bad").is_none(), "nothing was written");
}

#[tokio::test(start_paused = true)]
async fn damage_at_the_destination_is_written_again() {
    let line = Line::new();
    line.destination.corrupt_next(Op::Put, None);
    let record = line.record("k", bytes(1000)).await;
    assert_eq!((record.outcome(), record.attempts), (v1::Outcome::Succeeded, 2));
    assert_eq!(line.destination.get("k").unwrap().data, bytes(1000));
    for _ in 0..3 {
        line.destination.corrupt_next(Op::Put, None);
    }
    let record = line.record("bad", bytes(1000)).await;
    assert_eq!(record.code, "CHECKSUM_NOT_MATCH");
    assert!(record.text.contains("destination states"), "{}", record.text);
}

#[tokio::test(start_paused = true)]
async fn the_md5_of_the_source_goes_with_the_write() {
    let mut line = Line::new();
    line.source.states_md5 = true;
    let record = line.record("k", bytes(1000)).await;
    assert_eq!((record.proof.as_str(), record.source_proved, record.attempts), ("crc64nvme", true, 1));
    line.source.corrupt_next(Op::Get, None);
    let record = line.record("damaged", bytes(1000)).await;
    assert_eq!((record.outcome(), record.attempts), (v1::Outcome::Succeeded, 2), "it is read again");
    assert_eq!(line.destination.get("damaged").unwrap().data, bytes(1000));
    line.source.corrupt_next(Op::Get, None);
    line.source.corrupt_next(Op::Get, None);
    let record = line.record("bad", bytes(1000)).await;
    assert_eq!((record.code.as_str(), record.attempts), ("CHECKSUM_NOT_MATCH", 2));
    assert!(record.text.contains("source states"), "{}", record.text);
    assert!(line.destination.get("bad").is_none(), "nothing was written");
    line.destination.corrupt_next(Op::Put, None);
    let record = line.record("kept wrongly", bytes(1000)).await;
    assert_eq!((record.outcome(), record.attempts), (v1::Outcome::Succeeded, 2), "it is written again");
    assert_eq!(line.destination.get("kept wrongly").unwrap().data, bytes(1000));
}

#[tokio::test(start_paused = true)]
async fn two_ends_that_state_an_md5_and_nothing_else_prove_each_other() {
    let mut line = Line::new();
    line.source.states_md5 = true;
    line.destination.states_checksums = false;
    line.destination = line.destination.clone().limited(|limits| limits.crc = None);
    let record = line.record("k", bytes(1000)).await;
    assert_eq!((record.proof.as_str(), record.source_proved), ("etag_md5", true));
    assert_eq!(line.calls(), (vec![Op::Get], vec![Op::Put]));
}

#[tokio::test(start_paused = true)]
async fn an_etag_that_differs_is_settled_by_reading_back() {
    let mut line = Line::new();
    line.destination.states_checksums = false;
    line.destination = line.destination.clone().limited(|limits| limits.crc = None);
    line.destination.corrupt_next(Op::Put, None);
    let record = line.record("k", bytes(1000)).await;
    assert_eq!((record.proof.as_str(), record.attempts), ("etag_md5", 2));
    assert_eq!(line.calls().1, [Op::Put, Op::Get, Op::Put]);
}

#[tokio::test(start_paused = true)]
async fn impossible_names_cost_no_request() {
    let line = Line::new();
    let raw = Entry { key: proto::ObjectKey::new(vec![b'a', 0xff]), ..Entry::default() };
    assert_eq!(recorded(line.moved(&raw).await).code, "INVALID_NAME");
    let refused = Entry { key: "/a".into(), ..Entry::default() };
    let record = recorded(line.moved(&refused).await);
    assert_eq!(record.code, "INVALID_NAME");
    assert!(record.text.contains("begins with /"), "{}", record.text);
    let missing = Entry { key: "a".into(), class: Some("missing".into()), ..Entry::default() };
    assert_eq!(recorded(line.moved(&missing).await).code, "SOURCE_GONE");
    assert_eq!(line.calls(), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_everybody_would_meet_suspends() {
    for (op, kind) in [
        (Op::Get, ErrorKind::BucketNotFound),
        (Op::Get, ErrorKind::BadCredentials),
        (Op::Put, ErrorKind::DiskFull),
        (Op::Put, ErrorKind::WrongEndpoint),
    ] {
        let line = Line::new();
        let end = if op == Op::Get { &line.source } else { &line.destination };
        end.fail_next(op, None, 1, kind);
        line.source.insert("k", bytes(10));
        let mover = line.mover();
        let entry = line.source.entry("k").unwrap();
        let first = mover.move_object(0, &entry, None, &line.saver).await;
        let Moved::Suspend { reason } = first else { panic!("{kind:?}: {first:?}") };
        assert!(reason.contains(if op == Op::Get { "source" } else { "destination" }), "{reason}");
        let next = mover.move_object(1, &entry, None, &line.saver).await;
        assert!(matches!(next, Moved::Suspend { .. }), "{next:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_gone_suspends_instead_of_failing() {
    let line = Line::new();
    line.destination.fail_next(Op::Put, None, u32::MAX, ErrorKind::Unreachable);
    line.destination.fail_next(Op::Open, None, u32::MAX, ErrorKind::Unreachable);
    line.source.insert("k", bytes(10));
    let moved = line.moved(&line.source.entry("k").unwrap()).await;
    assert!(matches!(moved, Moved::Suspend { .. }), "{moved:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_gone_for_a_while_costs_time_and_nothing_else() {
    let line = Line::new();
    let mover = line.mover();
    let keys: Vec<String> = (0..100).map(|i| format!("k{i}")).collect();
    for key in &keys {
        line.source.insert(key.as_str(), bytes(100));
    }
    // Far fewer than the fifteen attempts of one object times those that are under way: none can have them all.
    line.destination.fail_next(Op::Put, None, 60, ErrorKind::Broken);
    let entries: Vec<Entry> = keys.iter().map(|key| line.source.entry(key.as_str()).unwrap()).collect();
    let all = entries.iter().map(|entry| mover.move_object(0, entry, None, &line.saver));
    for moved in futures::future::join_all(all).await {
        assert_eq!(recorded(moved).outcome(), v1::Outcome::Succeeded);
    }
    assert_eq!(line.destination.count(Op::Put), 160);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_error_aborts_where_the_job_wants_it() {
    let mut line = Line::new();
    line.job.transfer.abort_on_unknown_error = true;
    line.source.insert("k", bytes(10));
    line.source.fail_next(Op::Get, None, u32::MAX, ErrorKind::Protocol);
    let moved = line.moved(&line.source.entry("k").unwrap()).await;
    assert!(matches!(moved, Moved::Abort { .. }), "{moved:?}");
    // It is known what this is.
    let mut line = Line::new();
    line.job.transfer.abort_on_unknown_error = true;
    line.destination.fail_next(Op::Put, None, 1, ErrorKind::MetadataTooLarge);
    assert_eq!(line.record("much", bytes(10)).await.code, "UPLOAD_FAILED");
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_written_over_is_not_and_an_own_lost_answer_is_seen() {
    let mut line = Line::new();
    line.job.destination.forbid_overwrite = true;
    line.destination.insert("k", "another object");
    line.destination.fail_next(Op::Put, None, 1, ErrorKind::Conflict);
    assert_eq!(line.record("k", bytes(10)).await.code, "UPLOAD_FAILED");
    assert_eq!(line.destination.get("k").unwrap().data, "another object");
    line.destination.insert("mine", bytes(10));
    line.destination.fail_next(Op::Put, None, 1, ErrorKind::Conflict);
    let record = line.record("mine", bytes(10)).await;
    assert_eq!((record.outcome(), record.proof.as_str()), (v1::Outcome::Succeeded, "crc64nvme"));
}

#[tokio::test(start_paused = true)]
async fn all_objects_together_pass_a_budget_of_two() {
    let mut line = Line::new();
    line.memory = 40_960;
    let mover = line.mover();
    let keys: Vec<String> = (0..40).map(|i| format!("k{i}")).collect();
    for key in &keys {
        line.source.insert(key.as_str(), bytes(20_000));
    }
    let entries: Vec<Entry> = keys.iter().map(|key| line.source.entry(key.as_str()).unwrap()).collect();
    let all = entries.iter().map(|entry| mover.move_object(0, entry, None, &line.saver));
    for moved in futures::future::join_all(all).await {
        assert_eq!(recorded(moved).outcome(), v1::Outcome::Succeeded);
    }
    assert_eq!(line.destination.keys().len(), 40);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_looked_at_in_the_scan_is_looked_at_before_it_is_moved() {
    let mut line = Line::new();
    for size in [0, 1000, 230_000] {
        line.source.insert("k", bytes(size));
        let unseen = Entry { key: "k".into(), class: Some("unseen".into()), ..Entry::default() };
        let record = recorded(line.moved(&unseen).await);
        assert_eq!((record.outcome(), record.size), (v1::Outcome::Succeeded, size as u64), "{record:?}");
        assert_eq!(line.destination.get("k").unwrap().data, bytes(size));
        assert_eq!(line.destination.get("k").unwrap().class, None);
    }
    let gone = Entry { key: "gone".into(), class: Some("unseen".into()), ..Entry::default() };
    assert_eq!(recorded(line.moved(&gone).await).code, "SOURCE_GONE");
    line.source.fail_next(Op::Head, None, 1, ErrorKind::CredentialsExpired);
    line.job.transfer.retries = 1;
    assert!(matches!(line.moved(&gone).await, Moved::Suspend { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_could_not_be_asked_for_is_no_proof() {
    let line = || {
        let mut line = Line::new();
        // Nor are there MD5s of the parts, that its ETag could be compared with.
        line.destination.states_checksums = false;
        line.job.transfer.multipart_threshold = 500;
        line.job.transfer.part_size = 400;
        line.job.transfer.retries = 1;
        line
    };
    let mut proofs = Vec::new();
    for kind in [None, Some(ErrorKind::AccessDenied)] {
        let line = line();
        if let Some(kind) = kind {
            line.destination.fail_next(Op::Head, None, u32::MAX, kind);
        }
        proofs.push(line.record("k", bytes(1000)).await.proof);
    }
    assert_eq!(proofs, ["size", "size"], "it answered");
    let expired = line();
    expired.destination.fail_next(Op::Head, None, 1, ErrorKind::CredentialsExpired);
    expired.source.insert("k", bytes(1000));
    let moved = expired.moved(&expired.source.entry("k").unwrap()).await;
    assert!(matches!(moved, Moved::Suspend { .. }), "{moved:?}");
    let line = line();
    line.source.insert("k", bytes(1000));
    let (mover, entry) = (line.mover(), line.source.entry("k").unwrap());
    for _ in 0..5 {
        line.destination.fail_next(Op::Head, None, 1, ErrorKind::Timeout);
        let record = recorded(mover.move_object(0, &entry, None, &line.saver).await);
        assert_eq!(record.proof, "", "{record:?}");
    }
    let asked = line.destination.count(Op::Head);
    recorded(mover.move_object(0, &entry, None, &line.saver).await);
    assert_eq!(line.destination.count(Op::Head), asked + 1, "it is asked on");
}
