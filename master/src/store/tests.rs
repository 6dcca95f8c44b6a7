use std::fs;

use super::*;

fn home() -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path());
    (dir, home)
}

fn open(home: &Home) -> Result<(Store, Meta), MasterError> {
    Store::open(home, |store, meta| Ok((store, meta)))
}

fn job(name: &str) -> JobRecord {
    JobRecord { name: name.into(), ..JobRecord::default() }
}

/// A state with one job, closed.
fn used(home: &Home) {
    let (store, mut meta) = open(home).unwrap();
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
    let (store, meta) = open(&home).unwrap();
    assert_eq!(meta.jobs, 1);
    assert_eq!(store.get::<JobRecord>(&keys::job("jobs")).unwrap(), Some(job("jobs")));
}

#[test]
fn a_second_master_on_one_home_is_refused() {
    let (_dir, home) = home();
    let _first = open(&home).unwrap();
    assert!(matches!(open(&home), Err(MasterError::InUse { .. })));
}

#[test]
fn a_state_that_is_gone_is_not_made_anew() {
    let (_dir, home) = home();
    used(&home);
    fs::remove_dir_all(home.state()).unwrap();
    assert!(matches!(open(&home), Err(MasterError::Damaged { .. })));
    assert!(!home.state().exists(), "nothing was made");
    fs::create_dir(home.state()).unwrap();
    assert!(matches!(open(&home), Err(MasterError::Damaged { .. })));
}

#[test]
fn a_state_whose_file_was_overwritten_is_refused() {
    let (_dir, home) = home();
    used(&home);
    let file = home.state().join("db");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, vec![0x5a; bytes.len()]).unwrap();
    assert!(open(&home).is_err());
    assert!(fs::read(&file).unwrap().iter().all(|byte| *byte == 0x5a), "it is left as it was found");
}

#[test]
fn files_of_a_job_without_a_record_are_not_ignored() {
    let (_dir, home) = home();
    used(&home);
    fs::create_dir_all(home.job("lost_job").join("manifests")).unwrap();
    let Err(MasterError::Damaged { what, .. }) = open(&home) else { panic!("opened") };
    assert!(what.contains("lost_job"), "{what}");
}

#[test]
fn a_missing_job_record_is_noticed() {
    let (_dir, home) = home();
    used(&home);
    let (store, _) = open(&home).unwrap();
    let mut batch = Batch::default();
    batch.delete(&keys::job("jobs"));
    store.commit(batch).unwrap();
    drop(store);
    assert!(matches!(open(&home), Err(MasterError::Damaged { .. })));
}

#[test]
fn a_damaged_record_is_named() {
    let (_dir, home) = home();
    used(&home);
    let (store, _) = open(&home).unwrap();
    store.db.insert(&keys::job("jobs").0, &b"\x01rubbish"[..]).unwrap();
    let Err(error) = store.get::<JobRecord>(&keys::job("jobs")) else { panic!("read") };
    assert!(error.to_string().contains("jobs"), "{error}");
}

#[test]
fn a_marker_of_a_later_version_is_refused() {
    let (_dir, home) = home();
    used(&home);
    fs::write(home.master().join("FORMAT"), "brigade master state, form 2\n").unwrap();
    assert!(matches!(open(&home), Err(MasterError::Later { .. })));
}

/// Every file below a directory.
fn tree(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![path.to_path_buf()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

fn copy(from: &Home) -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    for (path, bytes) in tree(from.root()) {
        let to = dir.path().join(path.strip_prefix(from.root()).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    let home = Home::new(dir.path());
    (dir, home)
}

fn many(home: &Home) {
    let (store, mut meta) = open(home).unwrap();
    for n in 0..40 {
        let name = format!("jobs{n}");
        meta.jobs += 1;
        let mut batch = Batch::default();
        batch.put(&keys::meta(), &meta);
        batch.put(&keys::job(&name), &JobRecord { pending: n, ..job(&name) });
        store.commit(batch).unwrap();
    }
}

#[test]
fn damage_anywhere_is_refused_or_harmless_and_the_files_stay_as_they_were() {
    let (_dir, home) = home();
    many(&home);
    let bytes = fs::read(home.state().join("db")).unwrap();
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let (_dir, home) = copy(&home);
        let mut damaged = bytes.clone();
        damaged.iter_mut().skip(at).take(16).for_each(|byte| *byte ^= 0x5a);
        fs::write(home.state().join("db"), &damaged).unwrap();
        let before = tree(&home.master());
        match open(&home) {
            Ok((store, _)) => {
                for n in 0..40 {
                    let key = keys::job(&format!("jobs{n}"));
                    let record = store.get::<JobRecord>(&key).unwrap();
                    assert_eq!(record.map(|record| record.pending), Some(n), "damage at {at}");
                }
            }
            Err(_) => {
                refused += 1;
                assert!(tree(&home.master()) == before, "damage at {at}: the files were changed");
            }
        }
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn a_state_that_lost_its_last_steps_is_refused() {
    let (_dir, home) = home();
    used(&home);
    let older = tree(&home.state());
    let (store, meta) = open(&home).unwrap();
    let mut batch = Batch::default();
    batch.put(&keys::meta(), &meta);
    store.commit(batch).unwrap();
    drop(store);
    fs::remove_dir_all(home.state()).unwrap();
    fs::create_dir(home.state()).unwrap();
    older.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    let Err(MasterError::Damaged { what, .. }) = open(&home) else { panic!("opened") };
    assert!(what.contains("last 1 steps"), "{what}");
}

#[test]
fn an_original_that_a_killed_start_left_is_put_back() {
    let (_dir, home) = home();
    used(&home);
    let original = home.master().join("state.original");
    fs::rename(home.state(), &original).unwrap();
    open(&home).unwrap();
    assert!(!original.exists());
    fs::create_dir(&original).unwrap();
    for (path, bytes) in tree(&home.state()) {
        fs::write(original.join(path.file_name().unwrap()), bytes).unwrap();
    }
    fs::write(home.state().join("db"), b"half repaired").unwrap();
    let (store, _) = open(&home).unwrap();
    assert!(store.has(&keys::job("jobs")).unwrap());
}
