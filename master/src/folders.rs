//! `failed_tasks/<stem>/`: what failed in a task, for people (`audit.log`) and for a new job (`error.list`).

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::ObjectKey;
use proto::text::one_line;
use proto::v1::{AuditRecord, Outcome};

use crate::audit;
use crate::error::MasterError;
use crate::files;

/// Writes both files of a task that failed. Durable.
pub(crate) fn write(job: &Path, stem: &str, void: u32) -> Result<(), MasterError> {
    let failed: Vec<AuditRecord> = audit::last_records(&audit::path(job, stem), void)?
        .into_iter()
        .filter(|record| record.outcome() == Outcome::Failed)
        .collect();
    let folder = job.join("failed_tasks").join(stem);
    make(&folder)?;
    let lines = |line: fn(&AuditRecord) -> String| failed.iter().map(line).collect::<String>();
    files::write(&folder.join("audit.log"), lines(log_line).as_bytes())?;
    files::write(&folder.join("error.list"), lines(list_line).as_bytes())?;
    files::sync_dir(&folder)
}

/// Removes them: a retry succeeded. With the last one the directory goes as well.
pub(crate) fn remove(job: &Path, stem: &str) -> Result<(), MasterError> {
    let folders = job.join("failed_tasks");
    let _one = coming_and_going();
    files::remove_dir(&folders.join(stem))?;
    // While others are there it stays.
    let _ = std::fs::remove_dir(folders);
    Ok(())
}

fn make(folder: &Path) -> Result<(), MasterError> {
    let _one = coming_and_going();
    files::make_dir(folder)
}

/// Nobody makes a folder while somebody else takes the empty directory above it away.
fn coming_and_going() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn list_line(record: &AuditRecord) -> String {
    if !record.origin.is_empty() {
        // As a list of URLs has it: column 1 and 2, as they were written.
        return format!("{} {}\n", record.origin, String::from_utf8_lossy(&record.key));
    }
    format!("{}\n", ObjectKey::new(record.key.clone()).to_line())
}

fn log_line(record: &AuditRecord) -> String {
    let time = jiff::Timestamp::from_millisecond(record.finished_at).unwrap_or_default();
    let key = ObjectKey::new(record.key.clone()).to_line();
    format!("{time}\t{key}\t{}\t{}\n", one_line(&record.code), one_line(&record.text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Sheet;

    #[test]
    fn folders_come_and_go_side_by_side() {
        let job = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for stem in ["r1-000001", "r1-000002", "r1-000003"] {
                let job = job.path();
                scope.spawn(move || {
                    for _ in 0..200 {
                        make(&job.join("failed_tasks").join(stem)).unwrap();
                        remove(job, stem).unwrap();
                    }
                });
            }
        });
        assert!(!job.path().join("failed_tasks").exists());
    }

    #[test]
    fn a_failed_object_is_one_line_in_each_file() {
        let job = tempfile::tempdir().unwrap();
        let mut sheet = Sheet::open(audit::path(job.path(), "r1-000001"), 3, 0).unwrap();
        let failed = AuditRecord {
            key: b"a\nb".to_vec(),
            outcome: Outcome::Failed.into(),
            code: "ACCESS_DENIED".into(),
            text: "two\nlines".into(),
            finished_at: 1_790_000_000_000,
            ..AuditRecord::default()
        };
        let web =
            AuditRecord { index: 2, key: b"a b%20c".to_vec(), origin: "http://h/".into(), ..failed.clone() };
        let fine = AuditRecord { index: 1, outcome: 1, proof: "size".into(), ..AuditRecord::default() };
        sheet.append(vec![failed, fine, web]).unwrap();
        write(job.path(), "r1-000001", 0).unwrap();
        let folder = job.path().join("failed_tasks/r1-000001");
        assert_eq!(std::fs::read_to_string(folder.join("error.list")).unwrap(), "a%0Ab\nhttp://h/ a b%20c\n");
        let log = std::fs::read_to_string(folder.join("audit.log")).unwrap();
        assert_eq!(
            log.lines().next().unwrap().to_owned() + "\n",
            "2026-09-21T14:13:20Z\ta%0Ab\tACCESS_DENIED\ttwo lines\n"
        );
        remove(job.path(), "r1-000001").unwrap();
        assert!(!folder.exists() && !job.path().join("failed_tasks").exists());
    }
}
