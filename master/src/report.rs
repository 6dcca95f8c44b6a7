//! The audit record of a job as a stream: a head, each object's last record in the order of tasks, a tail.

use std::sync::Arc;

use futures::Stream;
use futures::stream;
use proto::TaskState;
use proto::v1::report_chunk::Part;
use proto::v1::{AuditRecord, Outcome, ReportChunk, ReportHead, ReportRecords, ReportTail};
use tonic::Status;

use crate::audit;
use crate::error::MasterError;
use crate::master::Master;
use crate::store::keys::{self, Key};
use crate::store::record::TaskRecord;

/// Records of one message.
const AT_ONCE: usize = 500;

struct Report {
    master: Arc<Master>,
    job: String,
    only: Only,
    /// The task that was read last.
    at: Option<Key>,
    place: (u32, u32),
    /// Of that task, not sent yet.
    records: std::vec::IntoIter<AuditRecord>,
    sent: u64,
    step: Step,
}

/// Which records are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Only {
    /// All.
    Any,
    /// Of objects that failed.
    Failed,
    /// Of objects of which something was not carried as it was.
    NotCarried,
}

#[derive(PartialEq)]
enum Step {
    Head,
    Records,
    End,
}

/// Nothing is read before it is asked for.
pub(crate) fn stream(
    master: Arc<Master>,
    job: String,
    only: Only,
) -> impl Stream<Item = Result<ReportChunk, Status>> + Send + 'static {
    let report = Report {
        master,
        job,
        only,
        at: None,
        place: (0, 0),
        records: Vec::new().into_iter(),
        sent: 0,
        step: Step::Head,
    };
    stream::unfold(Some(report), |report| async move {
        let mut report = report?;
        if report.step == Step::End {
            return None;
        }
        let master = report.master.clone();
        let next = master.blocking(move |_| report.next().map(|part| (part, report))).await;
        match next {
            Ok((part, report)) => Some((Ok(ReportChunk { part: Some(part) }), Some(report))),
            Err(error) => Some((Err(error.into()), None)),
        }
    })
}

impl Report {
    fn next(&mut self) -> Result<Part, MasterError> {
        if self.step == Step::Head {
            self.step = Step::Records;
            let stat = self.master.stat(&self.job)?;
            return Ok(Part::Head(ReportHead { stat: Some(stat) }));
        }
        loop {
            let records: Vec<AuditRecord> = self.records.by_ref().take(AT_ONCE).collect();
            if !records.is_empty() {
                self.sent += records.len() as u64;
                let (round, task) = self.place;
                return Ok(Part::Records(ReportRecords { round, task, records }));
            }
            if !self.read_task()? {
                self.step = Step::End;
                return Ok(Part::Tail(ReportTail { records: self.sent }));
            }
        }
    }

    /// Reads the next task; `false`: there is none.
    fn read_task(&mut self) -> Result<bool, MasterError> {
        let next = self.master.store.after::<TaskRecord>(&keys::tasks(&self.job), self.at.as_ref())?;
        let Some((key, task)) = next else { return Ok(false) };
        let Some(place) = key.task_numbers() else { return Ok(false) };
        let id = self.master.book().job(&self.job)?.task(place);
        self.at = Some(key);
        self.place = place;
        if task.attempt > 0 {
            let path = audit::path(&self.master.folder(&id.job), &id.stem());
            let mut records = audit::last_records(&path, task.void)?;
            let settled = matches!(task.state(), TaskState::Succeeded | TaskState::Failed);
            // A file that lost what it had must not make a report that looks whole.
            if settled && records.len() != task.objects as usize {
                let what = format!("it has the records of {} objects of {}", records.len(), task.objects);
                return Err(MasterError::DamagedAudit { path, what });
            }
            records.retain(|record| match self.only {
                Only::Any => true,
                Only::Failed => record.outcome() == Outcome::Failed,
                Only::NotCarried => !record.not_carried.is_empty(),
            });
            self.records = records.into_iter();
        }
        Ok(true)
    }
}
