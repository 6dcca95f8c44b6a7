//! The master's side of the wire. Its rules are `proto::model`, which the master's own tests hold against the
//! real one.

use proto::JobState;
use proto::model::Refusal;
use proto::v1;

use super::wire::{Body, Message, Report, What};
use super::world::World;

impl World {
    pub(super) fn master_hears(&mut self, message: Message) -> Result<(), String> {
        let body = match &message.body {
            Body::Attach => {
                let (session, out) = self.master.attach();
                Body::Attached { session, out }
            }
            Body::Fetch { session, most } => match self.master.fetch(*session, *most) {
                Ok(given) => {
                    let (tasks, priorities): (Vec<v1::Grant>, Vec<i32>) = given.into_iter().unzip();
                    for task in tasks.iter().filter_map(|grant| grant.task.as_ref()) {
                        self.oracle.handed_out(task)?;
                    }
                    Body::Fetched(v1::FetchReply { tasks, priorities })
                }
                Err(_) => Body::Refused,
            },
            Body::Release { session, tasks } => match self.master.release(*session, tasks) {
                Ok(()) => {
                    tasks.iter().for_each(|task| self.oracle.ended(task));
                    Body::Released
                }
                Err(_) => Body::Refused,
            },
            Body::Pulse { session } => match self.master.check(*session) {
                Ok(()) => Body::Pulsed(self.pulse()),
                Err(_) => Body::Refused,
            },
            Body::Report(report) => self.take_report(report)?,
            _ => return Ok(()),
        };
        self.answer(&message, body);
        Ok(())
    }

    fn take_report(&mut self, report: &Report) -> Result<Body, String> {
        let task = &report.task;
        let before = self.done_of(task);
        let taken = match &report.what {
            What::Record(records) => self.master.record(task, records),
            What::Settle(ending) => self.master.settle(task, *ending),
        };
        let fresh =
            self.done_of(task).into_iter().filter(|index| !before.contains(index)).collect::<Vec<_>>();
        self.oracle.arrived(task, &fresh)?;
        if taken.is_ok() {
            self.oracle.accepted(task, report.by)?;
        }
        let over =
            matches!((&taken, &report.what), (Ok(()), What::Settle(_)) | (Err(Refusal::Unfinished(_)), _));
        if over {
            self.oracle.ended(task);
        }
        if let Err(Refusal::Unfinished(missing)) = taken {
            return Err(format!("{task:?} was settled as finished, {missing} objects are not recorded"));
        }
        Ok(if taken.is_ok() { Body::Reported } else { Body::Refused })
    }

    fn done_of(&self, task: &v1::TaskRef) -> Vec<u32> {
        let found = self.master.jobs.get(&task.job).and_then(|job| job.tasks.get(&task.number));
        found
            .map(|found| found.last.keys().copied().filter(|index| found.is_done(*index)).collect())
            .unwrap_or_default()
    }

    fn pulse(&self) -> v1::PulseReply {
        let paused = self.master.jobs.iter().filter(|(_, job)| job.state == JobState::Paused);
        let stopped_jobs = paused.map(|(name, _)| name.clone()).collect();
        v1::PulseReply { stopped_jobs, outstanding: self.master.outstanding(), ..v1::PulseReply::default() }
    }
}
