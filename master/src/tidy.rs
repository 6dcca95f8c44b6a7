//! A holder of a task that was lost may have left temporary files at a local destination: they go when the job
//! is at rest, or is cleaned. Uploads that a retry would go on with stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::JobState;
use proto::v1::Upload;

use crate::error::MasterError;
use crate::master::Master;
use crate::store::{Batch, keys};

impl Master {
    /// A holder of one of the job's tasks was lost. Durable when it returns.
    pub(crate) fn note_lost(&self, name: &str) -> Result<(), MasterError> {
        let mut book = self.book();
        let mut record = book.job(name)?.record.clone();
        if record.untidy || record.state() == JobState::Cancelled {
            return Ok(());
        }
        record.untidy = true;
        self.keep_job(&mut book, name, Batch::default(), record)
    }

    /// Jobs at rest that may have left something, and that nobody looks after yet.
    pub(crate) fn take_untidy(&self) -> Vec<String> {
        let mut book = self.book();
        let at_rest = |state| matches!(state, JobState::Succeeded | JobState::Failed | JobState::Waiting);
        let jobs = book.jobs.iter_mut();
        let untidy = jobs.filter(|(_, job)| job.record.untidy && !job.tidying && at_rest(job.record.state()));
        untidy
            .map(|(name, job)| {
                job.tidying = true;
                name.clone()
            })
            .collect()
    }

    /// Sweeps after a job of [`Master::take_untidy`]. What fails is told in the log.
    pub(crate) async fn tidy(self: &Arc<Self>, name: String) {
        if let Err(error) = self.sweep(&name).await {
            tracing::warn!(job = name, %error, "temporary files may be left at the destination");
        }
        let job = name.clone();
        if let Err(error) = self.blocking(move |master| master.note_tidy(&job)).await {
            tracing::warn!(job = name, %error, "it is swept again at the next start");
        }
        self.changed.notify_one();
    }

    fn note_tidy(&self, name: &str) -> Result<(), MasterError> {
        let mut book = self.book();
        let mut record = book.job(name)?.record.clone();
        record.untidy = false;
        self.keep_job(&mut book, name, Batch::default(), record)?;
        book.job_mut(name)?.tidying = false;
        Ok(())
    }

    /// Removes the temporary files of the job that nobody will go on with.
    pub(crate) async fn sweep(self: &Arc<Self>, name: &str) -> Result<(), MasterError> {
        let job = name.to_owned();
        let read = move |master: &Arc<Master>| {
            let prefix = keys::uploads(&job);
            let uploads = master.store.scan::<Upload>(&prefix);
            let wanted: Result<BTreeSet<String>, _> = uploads.map(|found| Ok(found?.1.upload_id)).collect();
            Ok((master.conf(&job)?, wanted?))
        };
        let (conf, wanted) = self.blocking(read).await?;
        let swept = storage::open::sweep(&conf.destination, name, wanted).await;
        let swept = swept.map_err(|error| MasterError::Serve(error.to_string()))?;
        if swept > 0 {
            tracing::info!(job = name, swept, "temporary files of lost workers are removed");
        }
        Ok(())
    }
}
