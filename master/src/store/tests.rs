use std::fs;

use super::*;

fn home() -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path());
    (dir, home)
}

fn job(name: &str) -> JobRecord {
    JobRecord { name: name.into(), ..JobRecord::default() }
}

/// A state with one job, closed.
fn used(home: &Home) {
    let (store, mut meta) = Store::open(home).unwrap();
    meta.jobs = 1;
    let mut batch = Batch::default();
    batch.put(&keys::meta(), &meta);
    batch.put(&keys::job("jobs"), &job("jobs"));
    store.commit(batch).unwrap();
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let (_dir, home) = home();
    used(&home);
    let (store, meta) = Store::open(&home).unwrap();
    assert_eq!(meta.jobs, 1);
    assert_eq!(store.get::<JobRecord>(&keys::job("jobs")).unwrap(), Some(job("jobs")));
}

#[test]
fn a_second_master_on_one_home_is_refused() {
    let (_dir, home) = home();
    let _first = Store::open(&home).unwrap();
    assert!(matches!(Store::open(&home), Err(MasterError::InUse { .. })));
}

#[test]
fn a_state_that_is_gone_is_not_made_anew() {
    let (_dir, home) = home();
    used(&home);
    fs::remove_dir_all(home.state()).unwrap();
    assert!(matches!(Store::open(&home), Err(MasterError::Damaged { .. })));
    assert!(!home.state().exists(), "nothing was made");
    fs::create_dir(home.state()).unwrap();
    assert!(matches!(Store::open(&home), Err(MasterError::Damaged { .. })));
}

#[test]
fn a_state_whose_file_was_overwritten_is_refused() {
    let (_dir, home) = home();
    used(&home);
    let file = home.state().join("db");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, vec![0x5a; bytes.len()]).unwrap();
    assert!(Store::open(&home).is_err());
}

#[test]
fn files_of_a_job_without_a_record_are_not_ignored() {
    let (_dir, home) = home();
    used(&home);
    fs::create_dir_all(home.job("lost_job").join("manifests")).unwrap();
    let Err(MasterError::Damaged { what, .. }) = Store::open(&home) else { panic!("opened") };
    assert!(what.contains("lost_job"), "{what}");
}

#[test]
fn a_missing_job_record_is_noticed() {
    let (_dir, home) = home();
    used(&home);
    let (store, _) = Store::open(&home).unwrap();
    let mut batch = Batch::default();
    batch.delete(&keys::job("jobs"));
    store.commit(batch).unwrap();
    drop(store);
    assert!(matches!(Store::open(&home), Err(MasterError::Damaged { .. })));
}

#[test]
fn a_damaged_record_is_named() {
    let (_dir, home) = home();
    used(&home);
    let (store, _) = Store::open(&home).unwrap();
    store.db.insert(&keys::job("jobs").0, &b"\x01rubbish"[..]).unwrap();
    let Err(error) = store.get::<JobRecord>(&keys::job("jobs")) else { panic!("read") };
    assert!(error.to_string().contains("jobs"), "{error}");
}

#[test]
fn a_marker_of_a_later_version_is_refused() {
    let (_dir, home) = home();
    used(&home);
    fs::write(home.master().join("FORMAT"), "brigade master state, form 2\n").unwrap();
    assert!(matches!(Store::open(&home), Err(MasterError::Later { .. })));
}
