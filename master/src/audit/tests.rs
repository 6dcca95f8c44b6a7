use std::fs;

use super::*;

fn record(index: u32, outcome: Outcome) -> AuditRecord {
    AuditRecord {
        index,
        outcome: outcome.into(),
        size: 10,
        proof: "crc64ecma".into(),
        code: if outcome == Outcome::Failed { "TIMEOUT".into() } else { String::new() },
        ..AuditRecord::default()
    }
}

fn moved(index: u32) -> AuditRecord {
    record(index, Outcome::Succeeded)
}

fn failed(index: u32) -> AuditRecord {
    record(index, Outcome::Failed)
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = path(dir.path(), "r1-000001");
    (dir, path)
}

#[test]
fn what_was_appended_is_known_after_opening_again() {
    let (_dir, path) = place();
    let mut sheet = Sheet::open(path.clone(), 10, 0).unwrap();
    assert_eq!(sheet.append(vec![moved(0), failed(1)]).unwrap(), [0]);
    assert_eq!(sheet.append(vec![moved(9)]).unwrap(), [9]);
    let again = Sheet::open(path, 10, 0).unwrap();
    assert_eq!(again.recorded(), [0b1, 0b10]);
    assert_eq!(again.tally(), sheet.tally());
    assert_eq!(again.missing(), 7);
}

#[test]
fn an_object_that_arrived_is_recorded_once() {
    let (_dir, path) = place();
    let mut sheet = Sheet::open(path.clone(), 4, 0).unwrap();
    sheet.append(vec![moved(0), moved(0)]).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    assert!(sheet.append(vec![moved(0), failed(0)]).unwrap().is_empty());
    assert_eq!(fs::metadata(&path).unwrap().len(), length);
    assert_eq!((sheet.tally().succeeded, sheet.tally().objects()), (1, 1));
}

#[test]
fn the_last_record_of_a_failed_object_counts() {
    let (_dir, path) = place();
    let mut sheet = Sheet::open(path.clone(), 2, 0).unwrap();
    sheet.append(vec![failed(0), failed(1)]).unwrap();
    sheet.append(vec![failed(0)]).unwrap();
    assert_eq!((sheet.tally().failed, sheet.missing()), (2, 0));
    sheet.append(vec![moved(0)]).unwrap();
    assert_eq!((sheet.tally().failed, sheet.tally().succeeded), (1, 1));
    assert_eq!(sheet.tally().failures["TIMEOUT"].objects, 1);
    let last = last_records(&path, 0).unwrap();
    assert_eq!(last, [moved(0), failed(1)]);
    assert_eq!(Sheet::open(path, 2, 0).unwrap().tally(), sheet.tally());
}

#[test]
fn failures_from_before_a_retry_do_not_complete_a_task() {
    let (_dir, path) = place();
    let mut sheet = Sheet::open(path.clone(), 2, 0).unwrap();
    sheet.append(vec![moved(0), failed(1)]).unwrap();
    let mut retried = Sheet::open(path.clone(), 2, sheet.records()).unwrap();
    assert_eq!((retried.missing(), retried.tally().failed), (1, 0));
    assert_eq!(last_records(&path, 2).unwrap(), [moved(0)]);
    retried.append(vec![failed(1)]).unwrap();
    assert_eq!((retried.missing(), retried.tally().failed), (0, 1));
    assert_eq!(Sheet::open(path, 2, 2).unwrap().tally(), retried.tally());
}

#[test]
fn a_torn_last_frame_is_cut_off_and_written_over() {
    let (_dir, path) = place();
    let mut sheet = Sheet::open(path.clone(), 3, 0).unwrap();
    sheet.append(vec![moved(0)]).unwrap();
    let whole = fs::read(&path).unwrap();
    sheet.append(vec![moved(1)]).unwrap();
    let both = fs::read(&path).unwrap();
    for cut in whole.len()..both.len() {
        fs::write(&path, &both[..cut]).unwrap();
        let mut sheet = Sheet::open(path.clone(), 3, 0).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
        assert_eq!(sheet.missing(), 2);
        sheet.append(vec![moved(2)]).unwrap();
        assert_eq!(last_records(&path, 0).unwrap(), [moved(0), moved(2)]);
    }
}

#[test]
fn a_file_cut_within_its_head_is_begun_anew() {
    let (_dir, path) = place();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, &HEADER[..3]).unwrap();
    let mut sheet = Sheet::open(path.clone(), 3, 0).unwrap();
    sheet.append(vec![moved(1)]).unwrap();
    assert_eq!(last_records(&path, 0).unwrap(), [moved(1)]);
}

#[test]
fn damage_in_the_middle_is_named_and_nothing_is_cut() {
    let (_dir, path) = place();
    let mut sheet = Sheet::open(path.clone(), 3, 0).unwrap();
    sheet.append(vec![moved(0)]).unwrap();
    sheet.append(vec![moved(1)]).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEADER.len() + 9] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(Sheet::open(path.clone(), 3, 0), Err(MasterError::DamagedAudit { .. })));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_record_that_claims_without_proof_or_outside_the_task_is_refused() {
    let (_dir, path) = place();
    let mut sheet = Sheet::open(path.clone(), 3, 0).unwrap();
    assert!(sheet.append(vec![moved(3)]).is_err());
    assert!(sheet.append(vec![AuditRecord { proof: String::new(), ..moved(0) }]).is_err());
    assert!(sheet.append(vec![AuditRecord { outcome: 0, ..moved(0) }]).is_err());
    assert!(!path.exists());
}
