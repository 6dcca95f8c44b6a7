//! What goes wrong: crashes, stalls, cut lines, workers that turn to another tracker, users in the middle.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::tracker::Tracker;
use super::wire::Node;
use super::worker::Worker;
use super::world::{Event, World};

impl World {
    /// The whole process is gone; what it knew in memory too.
    pub(super) fn crash(&mut self, node: Node, down: Option<u64>) {
        self.note(|| format!("{node:?} crashes"));
        match node {
            Node::Master => self.master.restart(),
            Node::Tracker(at) => self.trackers[at] = Tracker::new(self.trackers[at].life + 1),
            Node::Worker(at) => {
                let life = self.workers[at].life + 1;
                let tracker = self.workers[at].at;
                self.workers[at] = Worker::new(life, &self.plan, &mut self.rng);
                self.workers[at].at = tracker;
            }
        }
        if let Some(health) = self.health.get_mut(&node) {
            health.down = true;
            health.stalled_until = 0;
        }
        if let Some(down) = down {
            self.at(down, Event::Start(node));
        }
    }

    pub(super) fn start(&mut self, node: Node) {
        let Some(health) = self.health.get_mut(&node).filter(|health| health.down) else { return };
        health.down = false;
        self.note(|| format!("{node:?} starts"));
        self.at(0, Event::Wake(node));
    }

    /// Workers most, for there are most of them; master and tracker often enough.
    fn somebody(&mut self) -> Node {
        match self.rng.random_range(0..4) {
            0 => Node::Master,
            1 => Node::Tracker(self.rng.random_range(0..self.plan.trackers)),
            _ => Node::Worker(self.rng.random_range(0..self.plan.workers)),
        }
    }

    pub(super) fn crash_somebody(&mut self) {
        let node = self.somebody();
        let long = self.chance(0.3);
        let down = self.rng.random_range(1..if long { 20_000 } else { 2_000 });
        if !self.health[&node].down {
            self.crash(node, Some(down));
        }
    }

    /// A process that gets no time: a stopped virtual machine, a full disk, swapping.
    pub(super) fn stall_somebody(&mut self) {
        let node = self.somebody();
        let until = self.now + self.rng.random_range(500..45_000);
        self.note(|| format!("{node:?} stands still until {until}"));
        if let Some(health) = self.health.get_mut(&node) {
            health.stalled_until = until;
        }
    }

    pub(super) fn cut_somewhere(&mut self) {
        let tracker = Node::Tracker(self.rng.random_range(0..self.plan.trackers));
        let other = match self.rng.random_range(0..3) {
            0 => Node::Master,
            _ => Node::Worker(self.rng.random_range(0..self.plan.workers)),
        };
        let (there, back) =
            *[(true, true), (true, false), (false, true)].choose(&mut self.rng).unwrap_or(&(true, true));
        let time = self.rng.random_range(500..40_000);
        self.note(|| format!("cut {tracker:?} {other:?} {there} {back} for {time}"));
        for (cut, from, to) in [(there, tracker, other), (back, other, tracker)] {
            if cut && self.cuts.0.insert((from, to)) {
                self.at(time, Event::Heal(from, to));
            }
        }
    }

    /// A worker turns to the other tracker, leaves in good order, or its processes are all restarted.
    pub(super) fn move_somebody(&mut self) {
        let at = self.rng.random_range(0..self.plan.workers);
        if self.plan.trackers > 1 && self.chance(0.7) {
            self.workers[at].at = self.rng.random_range(0..self.plan.trackers);
        } else {
            self.workers[at].leaving = true;
        }
    }

    /// Pause, resume, retry, clean and submit again, at any time; the master has to be there for it.
    pub(super) fn user(&mut self) {
        if self.health[&Node::Master].down {
            return;
        }
        let name = format!("job{}", self.rng.random_range(0..self.plan.jobs));
        let what = self.rng.random_range(0..8);
        self.note(|| format!("user {what} {name}"));
        match what {
            0..3 => drop(self.master.pause(&name)),
            3..5 => drop(self.master.resume(&name)),
            5..7 => drop(self.master.retry(&name)),
            _ => self.submit_again(&name),
        }
    }

    /// Another job under the same name: whatever was said of the old one is not of this one.
    fn submit_again(&mut self, name: &str) {
        let tasks = self.master.jobs.get(name).map_or(1, |job| job.tasks.len());
        if self.master.clean(name).is_err() {
            return;
        }
        self.oracle.cleaned(name);
        let priority = self.rng.random_range(-1..2);
        let _ = self.master.submit(name, tasks as u32, self.plan.objects, priority);
    }

    /// In the end somebody resumes what stands and retries what failed.
    pub(super) fn users_finish(&mut self) {
        if self.health[&Node::Master].down {
            return;
        }
        let names: Vec<String> = self.master.jobs.keys().cloned().collect();
        for name in names {
            let _ = self.master.resume(&name);
            let _ = self.master.retry(&name);
        }
    }
}
