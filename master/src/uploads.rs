//! Reports of a task that is out: audit records, and multipart uploads that are under way.

use std::time::Duration;

use proto::breakpoint::{self, breakpoint};
use proto::v1::{RecordBatch, Upload, UploadProgress};
use proto::{ObjectKey, TaskId};
use storage::open::Context;
use storage::{ErrorKind, Meter, Unwanted, UploadRef};
use tokio::time::timeout;

use crate::audit::{self, Sheet};
use crate::book::Desk;
use crate::error::MasterError;
use crate::master::Master;
use crate::store::{Batch, keys};

/// One upload may take this long to abort.
const ABORT: Duration = Duration::from_secs(30);

/// What became of the unfinished uploads of a job.
#[derive(Debug, Default)]
pub(crate) struct Aborted {
    pub(crate) aborted: u64,
    pub(crate) left: u64,
    /// Each kind of failure once.
    pub(crate) problems: Vec<String>,
}

impl Master {
    /// The sheet of a desk that is held, read from the audit file at first use.
    pub(crate) fn sheet<'a>(
        &self,
        desk: &Desk,
        held: &'a mut Option<Sheet>,
    ) -> Result<&'a mut Sheet, MasterError> {
        let sheet = match held.take() {
            Some(sheet) => sheet,
            None => {
                let path = audit::path(&self.folder(&desk.id.job), &desk.id.stem());
                let mut sheet = Sheet::open(path, desk.objects, desk.void)?;
                sheet.uploads = self.uploads_of(&desk.id)?.into_iter().map(|upload| upload.index).collect();
                sheet
            }
        };
        Ok(held.insert(sheet))
    }

    /// Records are on disk when it returns.
    pub(crate) fn record(&self, batch: RecordBatch) -> Result<(), MasterError> {
        let task = batch.task.unwrap_or_default();
        let desk = self.book().desk(&task)?;
        let mut held = desk.hold();
        self.book().desk(&task)?;
        let sheet = self.sheet(&desk, &mut held)?;
        let arrived = match sheet.append(batch.records) {
            Ok(arrived) => arrived,
            Err(error) => return Err(self.stop_unwritable(&desk, error)),
        };
        self.note_tally(&desk, sheet.tally().clone());
        let mut forget = Batch::default();
        let mut over = Vec::new();
        for index in arrived.into_iter().filter(|index| sheet.uploads.contains(index)) {
            let key = keys::upload(&desk.id, index);
            // Where one may be open that nobody knows, `clean` still has to look for it.
            let upload = self.store.get::<Upload>(&key)?;
            if upload.is_some_and(|upload| !upload.upload_id.is_empty() && !upload.astray) {
                forget.delete(&key);
                over.push(index);
            }
        }
        if !over.is_empty() {
            self.store.commit(forget)?;
            sheet.uploads.retain(|index| !over.contains(index));
        }
        breakpoint(breakpoint::RECORDED);
        Ok(())
    }

    /// The upload's parts, durable when it returns.
    pub(crate) fn save_upload(&self, progress: UploadProgress) -> Result<(), MasterError> {
        let task = progress.task.unwrap_or_default();
        let upload = progress.upload.ok_or_else(|| MasterError::BadRequest("no upload".into()))?;
        let desk = self.book().desk(&task)?;
        if upload.index >= desk.objects {
            return Err(MasterError::BadRequest(format!("an upload of object {}", upload.index)));
        }
        let mut held = desk.hold();
        let sheet = self.sheet(&desk, &mut held)?;
        let mut batch = Batch::default();
        let key = keys::upload(&desk.id, upload.index);
        match upload.finished {
            true => batch.delete(&key),
            false => batch.put(&key, &upload),
        }
        // Under the book's lock, so that `clean` sees either the upload or nobody who could still save it.
        let book = self.book();
        book.desk(&task)?;
        self.store.commit(batch)?;
        drop(book);
        match upload.finished {
            true => sheet.uploads.remove(&upload.index),
            false => sheet.uploads.insert(upload.index),
        };
        Ok(())
    }

    /// Unfinished uploads of a task.
    pub(crate) fn uploads_of(&self, id: &TaskId) -> Result<Vec<Upload>, MasterError> {
        self.store
            .scan::<Upload>(&keys::task_uploads(id))
            .map(|found| found.map(|(_, upload)| upload))
            .collect()
    }

    /// Aborts what the job left at the destination. What cannot be aborted is counted and told.
    pub(crate) async fn abort_uploads(&self, name: &str) -> Result<Aborted, MasterError> {
        let mut out = Aborted::default();
        let uploads: Result<Vec<Upload>, MasterError> =
            self.store.scan::<Upload>(&keys::uploads(name)).map(|found| Ok(found?.1)).collect();
        let uploads = uploads?;
        if uploads.is_empty() {
            return Ok(out);
        }
        let conf = self.conf(name)?;
        let context =
            Context { meter: Meter::unlimited(), timeout: conf.transfer.timeout, job: conf.name.clone() };
        let destination = match self.opener.destination(&conf.destination, &context) {
            Ok(destination) => destination,
            Err(error) => {
                out.left = uploads.len() as u64;
                out.problems.push(error.to_string());
                return Ok(out);
            }
        };
        let mut hopeless = false;
        for unwanted in uploads.into_iter().flat_map(unwanted) {
            if hopeless {
                out.left += 1;
                continue;
            }
            let why = match timeout(ABORT, destination.abort(&unwanted)).await {
                Ok(Ok(aborted)) => {
                    out.aborted += aborted;
                    continue;
                }
                Ok(Err(error)) => {
                    hopeless =
                        storage::retry::is_systemic(error.kind()) || error.kind() == ErrorKind::Unreachable;
                    error.to_string()
                }
                Err(_) => format!("no answer for {} s when aborting {:?}", ABORT.as_secs(), unwanted.key()),
            };
            out.left += 1;
            if out.problems.len() < 10 {
                out.problems.push(why);
            }
        }
        Ok(out)
    }
}

/// The one that is known, and those that may be open beside it.
fn unwanted(upload: Upload) -> Vec<Unwanted> {
    let key = ObjectKey::new(upload.key);
    let mut all = Vec::new();
    if upload.upload_id.is_empty() || upload.astray {
        let (key, wanted) = (key.clone(), String::new());
        all.push(Unwanted::Unknown { key, since_ms: upload.begun_ms, wanted });
    }
    if !upload.upload_id.is_empty() {
        all.push(Unwanted::Known(UploadRef { key, id: upload.upload_id }));
    }
    all
}
