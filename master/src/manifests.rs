//! The manifests of a job's tasks: immutable files, durable before the tasks are committed.

use std::path::{Path, PathBuf};

use proto::manifest::{self, Entry};

use crate::error::MasterError;
use crate::files;

/// `manifests/` of one job.
#[derive(Debug, Clone)]
pub(crate) struct Manifests(PathBuf);

impl Manifests {
    /// Those of the job in this directory.
    pub(crate) fn of(job: &Path) -> Self {
        Manifests(job.join("manifests"))
    }

    /// Where a task's manifest lies.
    pub(crate) fn path(&self, stem: &str) -> PathBuf {
        self.0.join(format!("{stem}.brm"))
    }

    /// Writes several; durable when it returns. One that was written before and never committed is replaced.
    pub(crate) fn write<'a>(
        &self,
        tasks: impl Iterator<Item = (String, &'a [Entry])>,
    ) -> Result<(), MasterError> {
        files::make_dir(&self.0)?;
        for (stem, entries) in tasks {
            let path = self.path(&stem);
            let file = manifest::encode(entries);
            // What cannot be read again must not be committed.
            if manifest::decode(&file).map(|read| read.len()) != Ok(entries.len()) {
                return Err(damaged(path, "what was encoded cannot be read"));
            }
            files::write(&path, &file)?;
        }
        files::sync_dir(&self.0)
    }

    /// The file's bytes, as the worker gets them; their checksum was compared.
    pub(crate) fn read(&self, stem: &str) -> Result<Vec<u8>, MasterError> {
        let path = self.path(stem);
        let file = files::read(&path)?.ok_or_else(|| damaged(path.clone(), "the manifest is missing"))?;
        match manifest::decode(&file) {
            Ok(_) => Ok(file),
            Err(error) => Err(damaged(path, &error.to_string())),
        }
    }

    /// The entries.
    pub(crate) fn entries(&self, stem: &str) -> Result<Vec<Entry>, MasterError> {
        let path = self.path(stem);
        let file = files::read(&path)?.ok_or_else(|| damaged(path.clone(), "the manifest is missing"))?;
        manifest::decode(&file).map_err(|error| damaged(path, &error.to_string()))
    }
}

fn damaged(path: PathBuf, what: &str) -> MasterError {
    MasterError::DamagedManifest { path, what: what.to_owned() }
}
