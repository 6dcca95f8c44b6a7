//! The audit file of one task: appended while the task runs, on disk before a batch is answered.
//!
//! The last record of an object counts. An object that arrived or was skipped is recorded once: what comes
//! for it later is dropped. A failed one may be recorded again, by the next holder or by a retry. The open
//! sheet knows which objects are recorded; it exists only for a task that is handed out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use proto::audit::{self, HEADER};
use proto::breakpoint;
use proto::v1::{AuditRecord, Outcome};

use crate::error::MasterError;
use crate::files;
use crate::store::tally::Tally;

/// `audit/<stem>.bra` in a job's directory.
pub(crate) fn path(job: &Path, stem: &str) -> PathBuf {
    job.join("audit").join(format!("{stem}.bra"))
}

/// The audit file of a task that is handed out, and what it says so far.
#[derive(Debug)]
pub(crate) struct Sheet {
    path: PathBuf,
    file: Option<File>,
    /// Bytes of whole frames.
    length: u64,
    objects: u32,
    /// Bit i: object i arrived or was skipped.
    done: Vec<u8>,
    /// The failures that count: code and size.
    failed: BTreeMap<u32, (String, u64)>,
    tally: Tally,
    /// Records in the file, those that count no more included.
    records: u32,
    /// Objects with a multipart upload in the state.
    pub(crate) uploads: BTreeSet<u32>,
}

impl Sheet {
    /// Reads the file, if there is one, and cuts off a last frame that was never acknowledged. Failures
    /// among the first `void` records count no more.
    pub(crate) fn open(path: PathBuf, objects: u32, void: u32) -> Result<Self, MasterError> {
        let bytes = files::read(&path)?.unwrap_or_default();
        let read = decode(&path, &bytes)?;
        let mut sheet = Sheet {
            file: None,
            length: read.whole as u64,
            objects,
            done: vec![0; (objects as usize).div_ceil(8)],
            failed: BTreeMap::new(),
            tally: Tally::default(),
            records: 0,
            uploads: BTreeSet::new(),
            path,
        };
        for record in &read.records {
            let voided = sheet.records < void && record.outcome() == Outcome::Failed;
            sheet.records += 1;
            if record.index >= objects {
                return Err(sheet.damaged(&format!("a record of object {} of {objects}", record.index)));
            }
            if !voided && !sheet.is_done(record.index) {
                sheet.count(record);
            }
        }
        if !bytes.is_empty() {
            let torn = read.whole < bytes.len();
            if torn {
                tracing::warn!(path = %sheet.path.display(), "a batch that was never acknowledged is cut off");
            }
            // A killed master may have written what it did not sync: it counts from now on.
            let failed = sheet.failed_to("cut");
            let file = sheet.writable()?;
            let cut = if torn { file.set_len(read.whole as u64) } else { Ok(()) };
            cut.and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Ok(sheet)
    }

    /// Appends what is not recorded yet; on disk when it returns. Gives the objects that arrived now.
    pub(crate) fn append(&mut self, records: Vec<AuditRecord>) -> Result<Vec<u32>, MasterError> {
        let mut fresh: BTreeMap<u32, AuditRecord> = BTreeMap::new();
        for mut record in records {
            self.check(&mut record)?;
            let settled = fresh.get(&record.index).is_some_and(|seen| seen.outcome() != Outcome::Failed);
            if !settled && !self.is_done(record.index) {
                fresh.insert(record.index, record);
            }
        }
        let fresh: Vec<AuditRecord> = fresh.into_values().collect();
        if fresh.is_empty() {
            return Ok(Vec::new());
        }
        self.write(&audit::encode_frame(&fresh))?;
        for record in &fresh {
            self.count(record);
        }
        self.records += fresh.len() as u32;
        let arrived = fresh.iter().filter(|record| record.outcome() == Outcome::Succeeded);
        Ok(arrived.map(|record| record.index).collect())
    }

    /// Bit i: object i needs nothing more.
    pub(crate) fn recorded(&self) -> Vec<u8> {
        self.done.clone()
    }

    /// The same, and what failed and was not retried.
    pub(crate) fn recorded_at_all(&self) -> Vec<u8> {
        let mut recorded = self.done.clone();
        for index in self.failed.keys() {
            if let Some(byte) = recorded.get_mut(*index as usize / 8) {
                *byte |= 1 << (index % 8);
            }
        }
        recorded
    }

    /// Arrived or skipped.
    pub(crate) fn is_done(&self, index: u32) -> bool {
        self.done.get(index as usize / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    /// What the records that count add up to.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Objects without a record that counts.
    pub(crate) fn missing(&self) -> u64 {
        u64::from(self.objects).saturating_sub(self.tally.objects())
    }

    /// Records in the file.
    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    fn check(&self, record: &mut AuditRecord) -> Result<(), MasterError> {
        let bad =
            |what: &str| MasterError::BadRequest(format!("a record of object {}: {what}", record.index));
        if record.index >= self.objects {
            return Err(bad(&format!("the task has {}", self.objects)));
        }
        match Outcome::try_from(record.outcome) {
            Ok(Outcome::Failed) if record.code.is_empty() => {
                record.code = proto::ObjectErrorCode::Internal.name().into();
                Ok(())
            }
            Ok(Outcome::Succeeded | Outcome::Skipped) if record.proof.is_empty() => {
                Err(bad("it names no check that proved it"))
            }
            Ok(Outcome::Unspecified) | Err(_) => Err(bad("it has no outcome")),
            Ok(_) => Ok(()),
        }
    }

    fn count(&mut self, record: &AuditRecord) {
        if let Some((code, size)) = self.failed.remove(&record.index) {
            self.tally.forget_failure(&code, size);
        }
        self.tally.add(record);
        if record.outcome() == Outcome::Failed {
            self.failed.insert(record.index, (record.code.clone(), record.size));
        } else if let Some(byte) = self.done.get_mut(record.index as usize / 8) {
            *byte |= 1 << (record.index % 8);
        }
    }

    fn write(&mut self, frame: &[u8]) -> Result<(), MasterError> {
        let length = self.length;
        let failed = self.failed_to("append to");
        let file = self.writable()?;
        let written = append(file, length, frame);
        match written {
            Ok(end) => {
                self.length = end;
                Ok(())
            }
            Err(error) => {
                // Half a frame in the middle would be damage: the next batch goes where this one began.
                let _ = file.set_len(length);
                self.file = None;
                Err(failed(error))
            }
        }
    }

    /// The open file, made if it is not there.
    fn writable(&mut self) -> Result<&mut File, MasterError> {
        let path = self.path.clone();
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                if let Some(dir) = path.parent() {
                    files::make_dir(dir)?;
                }
                let options = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).clone();
                let file = options.open(&path).map_err(MasterError::file("open", &path))?;
                // Always: a killed master may have made it and not come so far.
                if let Some(dir) = path.parent() {
                    files::sync_dir(dir)?;
                }
                file
            }
        };
        Ok(self.file.insert(file))
    }

    fn damaged(&self, what: &str) -> MasterError {
        MasterError::DamagedAudit { path: self.path.clone(), what: what.to_owned() }
    }

    fn failed_to(&self, doing: &'static str) -> impl FnOnce(std::io::Error) -> MasterError + use<> {
        MasterError::file(doing, self.path.clone())
    }
}

/// Writes at the end of what is whole, and syncs. Gives the new end.
fn append(file: &mut File, mut at: u64, frame: &[u8]) -> std::io::Result<u64> {
    file.set_len(at)?;
    file.seek(SeekFrom::Start(at))?;
    if at < HEADER.len() as u64 {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&HEADER)?;
        at = HEADER.len() as u64;
    }
    if breakpoint::armed(breakpoint::AUDIT_HALF) {
        let half = frame.split_at(frame.len() / 2).0;
        file.write_all(half).and_then(|()| file.sync_all())?;
        breakpoint::die();
    }
    file.write_all(frame)?;
    file.sync_data()?;
    Ok(at + frame.len() as u64)
}

fn decode(path: &Path, bytes: &[u8]) -> Result<audit::AuditFile, MasterError> {
    audit::decode(bytes)
        .map_err(|error| MasterError::DamagedAudit { path: path.to_path_buf(), what: error.to_string() })
}

/// The record that counts of each object, in the order of the manifest.
pub(crate) fn last_records(path: &Path, void: u32) -> Result<Vec<AuditRecord>, MasterError> {
    let bytes = files::read(path)?.unwrap_or_default();
    let mut last: BTreeMap<u32, AuditRecord> = BTreeMap::new();
    for (at, record) in decode(path, &bytes)?.records.into_iter().enumerate() {
        let failed = record.outcome() == Outcome::Failed;
        let settled = last.get(&record.index).is_some_and(|seen| seen.outcome() != Outcome::Failed);
        if settled || failed && at < void as usize {
            continue;
        }
        last.insert(record.index, record);
    }
    Ok(last.into_values().collect())
}

#[cfg(test)]
mod tests;
