//! Objects in parts: order, resume after a stop at every step, restarts.

use super::*;

const SIZE: usize = 230_000;

/// Polls the move so many times, then drops it; its end, where it came sooner.
async fn dropped_after(line: &Line, entry: &Entry, steps: usize) -> Option<Moved> {
    let mover = line.mover();
    let mut moved = Box::pin(mover.move_object(7, entry, None, &line.saver));
    for _ in 0..steps {
        if let std::task::Poll::Ready(moved) = futures::poll!(&mut moved) {
            return Some(moved);
        }
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_large_object_goes_in_parts_and_is_proved_whole() {
    let line = Line::new();
    let record = line.record("k", bytes(SIZE)).await;
    assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{record:?}");
    assert_eq!((record.proof.as_str(), record.source_proved), ("crc64nvme", true));
    assert_eq!(line.destination.get("k").unwrap().data, bytes(SIZE));
    assert_eq!(line.source.count(Op::Get), 5);
    assert_eq!(line.source.calls().len(), 5, "no HEAD");
    for (op, times) in [(Op::Begin, 1), (Op::Part, 5), (Op::Complete, 1), (Op::Abort, 0)] {
        assert_eq!(line.destination.count(op), times, "{op:?}");
    }
    assert_eq!(line.destination.calls().len(), 7);
    let saved = line.saver.saved.lock().unwrap();
    assert!(saved[0].upload_id.is_empty() && saved[0].begun_ms > 0, "that there will be one is saved first");
    assert!(saved[1].parts.is_empty() && !saved[1].upload_id.is_empty(), "then its id");
    assert!(saved.last().unwrap().finished);
    assert_eq!(saved[0].part_size, 50_000);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_would_fill_the_memory_goes_in_parts_below_the_threshold_too() {
    let mut line = Line::new();
    line.job.transfer.multipart_threshold = 10 << 20;
    line.memory = 400_000;
    line.record("half", bytes(190_000)).await;
    assert_eq!(line.destination.count(Op::Begin), 0);
    line.record("more", bytes(SIZE)).await;
    assert_eq!(line.destination.count(Op::Begin), 1);
    assert_eq!(line.destination.get("more").unwrap().data, bytes(SIZE));
}

#[tokio::test(start_paused = true)]
async fn a_destination_without_a_crc_is_proved_by_its_parts() {
    let mut line = Line::new();
    line.destination.states_checksums = false;
    line.destination = line.destination.clone().limited(|limits| limits.crc = None);
    let record = line.record("k", bytes(SIZE)).await;
    assert_eq!(record.proof, "etag_multipart", "{record:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_stop_at_any_step_the_next_holder_completes_it() {
    let mut resumed = 0;
    for steps in 1..500 {
        let line = Line::new();
        line.source.insert("k", bytes(SIZE));
        let entry = line.source.entry("k").unwrap();
        if let Some(moved) = dropped_after(&line, &entry, steps).await {
            assert_eq!(recorded(moved).outcome(), v1::Outcome::Succeeded);
            assert!(resumed > 0, "nothing was resumed in {steps} steps");
            return;
        }
        let saved = line.saver.last();
        let record = recorded(line.mover().move_object(7, &entry, saved.clone(), &line.saver).await);
        assert_eq!(record.outcome(), v1::Outcome::Succeeded, "after {steps}: {record:?}");
        assert_eq!(line.destination.get("k").unwrap().data, bytes(SIZE));
        if saved.is_some_and(|saved| !saved.finished && !saved.parts.is_empty()) {
            resumed += 1;
            assert_eq!(line.destination.count(Op::Begin), 1, "after {steps}");
        }
        assert_eq!(line.destination.uploads(), Vec::<String>::new(), "after {steps}");
    }
    panic!("it never ended");
}

/// A line whose upload of "k" was left with this many parts saved.
async fn left(parts: usize) -> (Line, Entry, v1::Upload) {
    let line = Line::new();
    line.source.insert("k", bytes(SIZE));
    let entry = line.source.entry("k").unwrap();
    let to = line.destination.begin(&"k".into(), &storage::PutOptions::default()).await.unwrap();
    let version =
        storage::Version { size: entry.size, modified_ms: entry.modified_ms, etag: entry.etag.clone() };
    let mut saved = v1::Upload {
        index: 7,
        key: b"k".to_vec(),
        upload_id: to.id.clone(),
        part_size: 50_000,
        source_version: version.to_line(),
        ..v1::Upload::default()
    };
    for number in 1..=parts as u32 {
        let from = (number as usize - 1) * 50_000;
        let data = bytes(SIZE).slice(from..(from + 50_000).min(SIZE));
        let payload = storage::Payload::new(vec![data]);
        let done = line.destination.part(&to, number, from as u64, &payload).await.unwrap();
        saved.parts.push(v1::Part { number, size: done.size, etag: done.etag, crc64: done.crc, md5: vec![] });
    }
    (line, entry, saved)
}

#[tokio::test(start_paused = true)]
async fn only_the_missing_parts_are_moved() {
    for parts in [0, 2, 5] {
        let (line, entry, saved) = left(parts).await;
        let record = recorded(line.mover().move_object(7, &entry, Some(saved), &line.saver).await);
        assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{record:?}");
        assert_eq!(record.proof, "crc64nvme");
        assert_eq!(line.destination.get("k").unwrap().data, bytes(SIZE));
        assert_eq!(line.source.count(Op::Get), 5 - parts);
        assert_eq!(line.destination.count(Op::Begin), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_not_there_as_recorded_is_moved_again() {
    let (line, entry, mut saved) = left(3).await;
    saved.parts[1].etag = "0".repeat(32);
    let record = recorded(line.mover().move_object(7, &entry, Some(saved), &line.saver).await);
    assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{record:?}");
    assert_eq!(line.source.count(Op::Get), 3);
    assert_eq!(line.destination.get("k").unwrap().data, bytes(SIZE));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_changed_since_begins_anew() {
    let (line, _, saved) = left(3).await;
    line.source.insert("k", bytes(SIZE + 1));
    let entry = line.source.entry("k").unwrap();
    let record = recorded(line.mover().move_object(7, &entry, Some(saved), &line.saver).await);
    assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{record:?}");
    assert_eq!(line.destination.get("k").unwrap().data, bytes(SIZE + 1));
    assert_eq!(line.destination.count(Op::Abort), 1);
    assert!(line.destination.uploads().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_gone_begins_anew_and_a_completed_one_is_seen() {
    let (line, entry, saved) = left(5).await;
    let to = storage::UploadRef { key: "k".into(), id: saved.upload_id.clone() };
    line.destination.abort(&storage::Unwanted::Known(to)).await.unwrap();
    let record = recorded(line.mover().move_object(7, &entry, Some(saved.clone()), &line.saver).await);
    assert_eq!((record.outcome(), line.source.count(Op::Get)), (v1::Outcome::Succeeded, 5));
    let record = recorded(line.mover().move_object(7, &entry, Some(saved), &line.saver).await);
    assert_eq!((record.outcome(), line.source.count(Op::Get)), (v1::Outcome::Succeeded, 5), "it is there");
    assert_eq!(record.proof, "crc64nvme");
}

#[tokio::test(start_paused = true)]
async fn an_upload_lost_on_the_way_is_begun_anew() {
    for op in [Op::Part, Op::Complete] {
        let line = Line::new();
        line.destination.fail_next(op, None, 1, ErrorKind::UploadNotFound);
        let record = line.record("k", bytes(SIZE)).await;
        assert_eq!((record.outcome(), record.attempts), (v1::Outcome::Succeeded, 2), "{op:?}");
        assert_eq!(line.destination.count(Op::Begin), 2);
        assert!(line.destination.uploads().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_refused_after_a_crash_is_begun_anew() {
    for op in [Op::Part, Op::Complete] {
        let (line, entry, saved) = left(3).await;
        line.destination.fail_next(op, None, 1, ErrorKind::AccessDenied);
        let record = recorded(line.mover().move_object(7, &entry, Some(saved), &line.saver).await);
        assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{op:?}: {record:?}");
        assert_eq!(line.destination.count(Op::Begin), 2);
        assert!(line.destination.uploads().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_completed_upload_of_which_no_part_is_listed_is_seen() {
    let (line, entry, mut saved) = left(5).await;
    let to = storage::UploadRef { key: "k".into(), id: saved.upload_id.clone() };
    line.destination.abort(&storage::Unwanted::Known(to)).await.unwrap();
    line.destination.insert("k", bytes(SIZE));
    // Another upload of the key, so that the service answers with a list of parts that is empty.
    let empty = line.destination.begin(&"k".into(), &storage::PutOptions::default()).await.unwrap();
    saved.upload_id.clone_from(&empty.id);
    let record = recorded(line.mover().move_object(7, &entry, Some(saved), &line.saver).await);
    assert_eq!((record.outcome(), line.source.count(Op::Get)), (v1::Outcome::Succeeded, 0), "{record:?}");
    assert_eq!(record.proof, "crc64nvme");
}

#[tokio::test(start_paused = true)]
async fn a_final_failure_aborts_the_upload_and_says_so() {
    let line = Line::new();
    line.destination.fail_next(Op::Part, None, u32::MAX, ErrorKind::Refused);
    let record = line.record("k", bytes(SIZE)).await;
    assert_eq!(record.code, "UPLOAD_FAILED");
    assert!(line.destination.uploads().is_empty());
    assert!(line.saver.last().unwrap().finished);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_job_keeps_its_upload() {
    let line = Line::new();
    line.destination.fail_next(Op::Complete, None, u32::MAX, ErrorKind::BadCredentials);
    line.source.insert("k", bytes(SIZE));
    let moved = line.moved(&line.source.entry("k").unwrap()).await;
    assert!(matches!(moved, Moved::Suspend { .. }), "{moved:?}");
    assert_eq!(line.destination.uploads().len(), 1);
    assert!(!line.saver.last().unwrap().finished);
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_stops_it_at_once() {
    let mut line = Line::new();
    line.saver.lost_at = Some(2);
    line.source.insert("k", bytes(SIZE));
    let moved = line.moved(&line.source.entry("k").unwrap()).await;
    assert!(matches!(moved, Moved::LeaseLost), "{moved:?}");
    assert_eq!(line.destination.count(Op::Complete), 0);
    assert_eq!(line.destination.count(Op::Abort), 0, "the next holder may be writing to it");
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_id_cannot_be_saved_is_aborted() {
    let mut line = Line::new();
    line.saver.lost_at = Some(1);
    line.source.insert("k", bytes(SIZE));
    let moved = line.moved(&line.source.entry("k").unwrap()).await;
    assert!(matches!(moved, Moved::LeaseLost), "{moved:?}");
    assert_eq!((line.destination.count(Op::Begin), line.destination.uploads()), (1, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_could_not_be_aborted_is_looked_for_again() {
    let line = Line::new();
    line.destination.fail_next(Op::Part, None, 1, ErrorKind::UploadNotFound);
    line.destination.fail_next(Op::Abort, None, 2, ErrorKind::AccessDenied);
    let record = line.record("k", bytes(SIZE)).await;
    assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{record:?}");
    assert_eq!(line.destination.uploads(), Vec::<String>::new());
    assert!(line.saver.last().unwrap().finished);
    // For as long as it is refused, the books keep that there may be one.
    let line = Line::new();
    line.destination.fail_next(Op::Part, None, 1, ErrorKind::UploadNotFound);
    line.destination.fail_next(Op::Abort, None, 1000, ErrorKind::AccessDenied);
    let record = line.record("k", bytes(SIZE)).await;
    assert_eq!(record.outcome(), v1::Outcome::Succeeded, "{record:?}");
    let last = line.saver.last().unwrap();
    assert!(last.upload_id.is_empty() && last.begun_ms > 0 && !last.finished, "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_create_that_is_refused_leaves_no_intention_and_looks_for_nothing() {
    let line = Line::new();
    line.destination.fail_next(Op::Begin, None, 1000, ErrorKind::Refused);
    line.record("k", bytes(SIZE)).await;
    assert!(line.saver.last().unwrap().finished);
}

#[tokio::test(start_paused = true)]
async fn a_change_between_two_ranges_is_never_mixed() {
    let mut line = Line::new();
    line.job.transfer.parts_in_flight = 1;
    line.source.insert("k", bytes(SIZE));
    let entry = Entry { etag: None, ..line.source.entry("k").unwrap() };
    let mover = line.mover();
    let mut moved = Box::pin(mover.move_object(7, &entry, None, &line.saver));
    let mut changed = false;
    let record = loop {
        if let std::task::Poll::Ready(moved) = futures::poll!(&mut moved) {
            break recorded(moved);
        }
        if !changed && line.saver.saved.lock().unwrap().len() == 1 {
            changed = true;
            let other: Vec<u8> = bytes(SIZE).iter().map(|byte| byte ^ 1).collect();
            line.source.insert("k", other);
        }
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_millis(1)).await;
    };
    assert!(changed);
    assert_eq!(record.code, "SOURCE_CHANGED", "the ETag of the first range is pinned");
    assert!(line.destination.keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn damaged_parts_are_written_again_and_damaged_reads_never_become_visible() {
    let line = Line::new();
    line.destination.corrupt_next(Op::Part, None);
    let record = line.record("k", bytes(SIZE)).await;
    assert_eq!((record.outcome(), record.attempts), (v1::Outcome::Succeeded, 2));
    assert_eq!(line.destination.get("k").unwrap().data, bytes(SIZE));
    line.source.corrupt_next(Op::Get, None);
    let record = line.record("once", bytes(SIZE)).await;
    assert_eq!((record.outcome(), record.attempts), (v1::Outcome::Succeeded, 2), "{record:?}");
    assert_eq!(line.destination.get("once").unwrap().data, bytes(SIZE));
    for _ in 0..15 {
        line.source.corrupt_next(Op::Get, Some("bad".into()));
    }
    let record = line.record("bad", bytes(SIZE)).await;
    assert_eq!(record.code, "CHECKSUM_NOT_MATCH", "{record:?}");
    assert!(line.destination.get("bad").is_none());
    assert!(line.destination.uploads().is_empty());
}

#[tokio::test(start_paused = true)]
async fn many_large_objects_pass_a_budget_of_two_parts() {
    let mut line = Line::new();
    line.memory = 106_496;
    let mover = line.mover();
    let keys: Vec<String> = (0..12).map(|i| format!("k{i}")).collect();
    for key in &keys {
        line.source.insert(key.as_str(), bytes(SIZE));
    }
    let entries: Vec<Entry> = keys.iter().map(|key| line.source.entry(key.as_str()).unwrap()).collect();
    let all = entries.iter().map(|entry| mover.move_object(0, entry, None, &line.saver));
    for moved in futures::future::join_all(all).await {
        assert_eq!(recorded(moved).outcome(), v1::Outcome::Succeeded);
    }
    assert_eq!(mover.activity("").in_flight_bytes, 0);
}

#[test]
fn the_largest_objects_of_each_service_go_in_its_parts_and_one_byte_more_is_told_before() {
    use crate::parts::{obstacle, part_size};
    const MIB: u64 = 1 << 20;
    let line = Line::new();
    // Parts, the least and the largest one: S3 and what is like it, Azure, UPYUN.
    for (parts, part_min, part_max) in
        [(10_000, 5 * MIB, 5 << 30), (50_000, 1, 4000 * MIB), (10_000, MIB, 50 * MIB)]
    {
        let limits =
            storage::destination::Limits { parts, part_min, part_max, ..line.destination.limits().clone() };
        let most = u64::from(parts) * part_max;
        for size in [1, 48_800_000_000_000.min(most), most] {
            let part = part_size(size, 16 * MIB, &limits);
            assert!((part_min..=part_max).contains(&part), "{size}: {part}");
            assert_eq!(obstacle(size, part, &limits, (u64::MAX, None)), None);
        }
        let part = part_size(most + 1, 16 * MIB, &limits);
        let said = obstacle(most + 1, part, &limits, (u64::MAX, None)).unwrap();
        assert!(said.contains(&most.to_string()), "{said}");
    }
    // Parts above the budget go where there is room for them.
    let limits = storage::destination::Limits { parts: 10_000, ..line.destination.limits().clone() };
    let part = part_size(5 << 40, 16 * MIB, &limits);
    assert_eq!(obstacle(5 << 40, part, &limits, (64 * MIB, Some(part))), None);
    let said = obstacle(5 << 40, part, &limits, (64 * MIB, Some(part - 1))).unwrap();
    assert!(said.contains("10000 parts of 550502400 bytes"), "{said}");
}

#[test]
fn parts_cover_the_object_and_are_few_enough() {
    use crate::parts::{part_range, part_size};
    let line = Line::new();
    let limits = line.destination.limits();
    let cases =
        [(1u64, 16u64 << 20), (5 << 40, 16 << 20), (160_001 << 20, 16 << 20), ((7 << 30) + 1, 5 << 20)];
    for (size, configured) in cases {
        let part = part_size(size, configured, limits);
        let count = size.div_ceil(part);
        assert!(count <= 10_000 && part >= configured, "{size}: {count} of {part}");
        let mut at = 0;
        for number in 1..=count as u32 {
            let range = part_range(number, part, size);
            assert_eq!(range.start, at);
            at = range.end;
        }
        assert_eq!(at, size);
    }
}
