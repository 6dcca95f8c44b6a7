//! Forgetting a job: unfinished uploads are aborted, records deleted, files removed, the job's own record
//! last. A crash anywhere in between is finished at the next start.

use std::sync::Arc;

use proto::JobState;
use proto::breakpoint::{self, breakpoint};
use proto::v1::CleanReply;
use tokio::time::Instant;

use crate::error::MasterError;
use crate::files;
use crate::master::Master;
use crate::store::record::{Meta, Sealed};
use crate::store::{Batch, keys};
use crate::uploads::Aborted;

/// Records of one batch.
const AT_ONCE: usize = 1000;

impl Master {
    /// All of it. When it fails or is dropped on the way, the job stays `cancelled`: clean it again.
    pub(crate) async fn clean(
        self: &Arc<Self>,
        name: &str,
        keep_uploads: bool,
        force: bool,
    ) -> Result<CleanReply, MasterError> {
        let _one = self.cleaning.lock().await;
        let job = name.to_owned();
        self.blocking(move |master| master.cancel(&job, keep_uploads, force)).await?;
        breakpoint(breakpoint::CLEAN_BEGUN);
        self.scan_stopped(name).await;
        let uploads = self.take_uploads(name, keep_uploads).await?;
        breakpoint(breakpoint::CLEAN_ABORTED);
        let job = name.to_owned();
        self.blocking(move |master| master.remove(&job)).await?;
        tracing::info!(job = name, aborted = uploads.aborted, left = uploads.left, "cleaned");
        Ok(CleanReply {
            uploads_aborted: uploads.aborted,
            uploads_left: uploads.left,
            problems: uploads.problems,
        })
    }

    /// Jobs whose `clean` did not come to its end before the last stop.
    pub(crate) async fn clean_rest(self: &Arc<Self>) {
        let cancelled: Vec<(String, bool)> = {
            let book = self.book();
            let rest = book.jobs.iter().filter(|(_, job)| job.record.state() == JobState::Cancelled);
            rest.map(|(name, job)| (name.clone(), job.record.keep_uploads)).collect()
        };
        for (name, keep_uploads) in cancelled {
            if let Err(error) = self.clean(&name, keep_uploads, true).await {
                tracing::error!(job = name, %error, "cannot be cleaned");
            }
        }
    }

    async fn scan_stopped(&self, name: &str) {
        loop {
            let ended = self.idle_scan.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.book().job(name).map_or(true, |job| job.scan.running.is_none()) {
                return;
            }
            ended.await;
        }
    }

    async fn take_uploads(self: &Arc<Self>, name: &str, keep: bool) -> Result<Aborted, MasterError> {
        if keep {
            let left = self.store.keys_of(&keys::uploads(name), usize::MAX)?.len() as u64;
            return Ok(Aborted { left, ..Aborted::default() });
        }
        // Deletion had come further than the uploads already.
        if self.store.get::<Sealed>(&keys::conf(name))?.is_none() {
            return Ok(Aborted::default());
        }
        let mut uploads = self.abort_uploads(name).await?;
        let record = self.book().job(name)?.record.clone();
        if (record.untidy || record.dispatched > 0)
            && let Err(error) = self.sweep(name).await
        {
            uploads.problems.push(format!("temporary files may be left at the destination: {error}"));
        }
        Ok(uploads)
    }

    fn remove(&self, name: &str) -> Result<(), MasterError> {
        for prefix in keys::parts_of(name) {
            loop {
                let found = self.store.keys_of(&prefix, AT_ONCE)?;
                if found.is_empty() {
                    break;
                }
                let mut batch = Batch::default();
                found.iter().for_each(|key| batch.delete(key));
                self.store.commit(batch)?;
                breakpoint(breakpoint::CLEAN_HALF);
            }
        }
        files::remove_dir(&self.home.job(name))?;
        breakpoint(breakpoint::CLEAN_FILES);
        let mut book = self.book();
        let meta = Meta { jobs: book.meta.jobs.saturating_sub(1), ..book.meta.clone() };
        let mut batch = Batch::default();
        batch.put(&keys::meta(), &meta);
        batch.delete(&keys::job(name));
        self.store.commit(batch)?;
        book.meta = meta;
        book.jobs.remove(name);
        book.cleaned.push((name.to_owned(), Instant::now()));
        Ok(())
    }
}
