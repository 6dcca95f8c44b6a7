//! What has to hold, kept apart from those who have to keep it.

use std::collections::{BTreeMap, BTreeSet};

use proto::model::Master;
use proto::v1;
use proto::v1::Outcome;
use proto::{JobState, TaskState};

use super::world::World;

/// A worker and its incarnation.
type Who = (usize, u64);
/// A job, a task, and an object in it.
type Object = (String, u32, u32);

/// What was seen from outside.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// The fence under which a task is out now.
    living: BTreeMap<(String, u32), u64>,
    /// Every hand-out of the jobs that are there.
    given: BTreeMap<u64, String>,
    /// Who got or reported on a hand-out, while it was the living one.
    holder: BTreeMap<u64, Who>,
    /// What workers were told is durable.
    acknowledged: BTreeSet<Object>,
    /// Recorded as arrived.
    arrived: BTreeSet<Object>,
    /// Reports that were refused.
    pub(super) refused: u64,
}

impl Oracle {
    /// The master gave it to a tracker.
    pub(super) fn handed_out(&mut self, task: &v1::TaskRef) -> Result<(), String> {
        self.given.insert(task.fence, task.job.clone());
        match self.living.insert(place(task), task.fence) {
            Some(before) => Err(format!("{task:?} is out twice, under {before} too")),
            None => Ok(()),
        }
    }

    /// The master counts it as out no more.
    pub(super) fn ended(&mut self, task: &v1::TaskRef) {
        if self.living.get(&place(task)) == Some(&task.fence) {
            self.living.remove(&place(task));
        }
    }

    /// The job is gone, and with it whatever was said of it.
    pub(super) fn cleaned(&mut self, name: &str) {
        self.living.retain(|(job, _), _| job != name);
        self.given.retain(|_, job| job != name);
        self.acknowledged.retain(|(job, ..)| job != name);
        self.arrived.retain(|(job, ..)| job != name);
    }

    /// A worker got it: nobody else may have it while the master would listen to both.
    pub(super) fn taken(&mut self, master: &Master, task: &v1::TaskRef, who: Who) -> Result<(), String> {
        if master.is_current(task) { self.hold(task, who) } else { Ok(()) }
    }

    /// The master took a report of it.
    pub(super) fn accepted(&mut self, task: &v1::TaskRef, who: Who) -> Result<(), String> {
        if self.living.get(&place(task)) != Some(&task.fence) {
            return Err(format!("a late report on {task:?} passed"));
        }
        self.hold(task, who)
    }

    fn hold(&mut self, task: &v1::TaskRef, who: Who) -> Result<(), String> {
        let holder = *self.holder.entry(task.fence).or_insert(who);
        if holder == who { Ok(()) } else { Err(format!("{holder:?} and {who:?} both hold {task:?}")) }
    }

    /// How many objects arrived.
    pub(super) fn arrivals(&self) -> usize {
        self.arrived.len()
    }

    /// How many hand-outs had a holder.
    pub(super) fn holders(&self) -> usize {
        self.holder.len()
    }

    /// Objects that are recorded as arrived now and were not before.
    pub(super) fn arrived(&mut self, task: &v1::TaskRef, fresh: &[u32]) -> Result<(), String> {
        for index in fresh {
            if !self.arrived.insert((task.job.clone(), task.number, *index)) {
                return Err(format!("object {index} of {task:?} is recorded twice"));
            }
        }
        Ok(())
    }

    /// A worker was told that this is durable.
    pub(super) fn acknowledged(&mut self, task: &v1::TaskRef, records: &[(u32, Outcome)]) {
        // An answer may be older than a `clean` and another job of that name: it says nothing of that one.
        if self.given.contains_key(&task.fence) {
            let arrived = records.iter().filter(|(_, outcome)| *outcome == Outcome::Succeeded);
            self.acknowledged.extend(arrived.map(|(index, _)| (task.job.clone(), task.number, *index)));
        }
    }
}

fn place(task: &v1::TaskRef) -> (String, u32) {
    (task.job.clone(), task.number)
}

impl World {
    /// Each fence is in one place of its tracker: waiting, leased, or on its way back.
    pub(super) fn check_places(&self) -> Result<(), String> {
        for tracker in &self.trackers {
            let mut fences = tracker.state.fences();
            let all = fences.len();
            fences.sort_unstable();
            fences.dedup();
            if fences.len() != all {
                return Err(format!("a fence is in two places: {:?}", tracker.state));
            }
        }
        Ok(())
    }

    /// No outcome is lost, and the master's tasks are those that were handed out.
    pub(super) fn check_everything(&self) -> Result<(), String> {
        self.check_places()?;
        for (job, number, index) in &self.oracle.acknowledged {
            let task = self.master.jobs.get(job).and_then(|job| job.tasks.get(number));
            if !task.is_some_and(|task| task.is_done(*index)) {
                return Err(format!("{job}/{number}/{index} was acknowledged and is lost"));
            }
        }
        for (name, job) in &self.master.jobs {
            for (number, task) in &job.tasks {
                let out = (task.state == TaskState::Dispatched).then_some(&task.fence);
                if self.oracle.living.get(&(name.clone(), *number)) != out {
                    return Err(format!("{name}/{number} is {:?}", task.state));
                }
            }
        }
        Ok(())
    }

    /// Everything arrived, each object is recorded once, and nobody holds anything.
    pub(super) fn check_the_end(&self) -> Result<(), String> {
        self.check_everything()?;
        let mut objects = 0;
        for (name, job) in &self.master.jobs {
            objects += job.tasks.values().map(|task| task.objects as usize).sum::<usize>();
            if job.state != JobState::Succeeded
                || job.tasks.values().any(|task| task.state != TaskState::Succeeded)
            {
                return Err(format!("{name} is {}", job.state));
            }
        }
        if self.oracle.arrived.len() != objects {
            return Err(format!("{} of {objects} objects arrived", self.oracle.arrived.len()));
        }
        let kept = self.trackers.iter().flat_map(|tracker| tracker.state.fences()).count();
        let held = self.workers.iter().flat_map(|worker| worker.held.values()).count();
        if (kept, held) != (0, 0) {
            return Err(format!("trackers keep {kept} tasks and workers {held}"));
        }
        Ok(())
    }
}
