//! The world of one seed: a clock, what happens next, and who is up.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::JobState;
use proto::model::Master;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use super::check::Oracle;
use super::plan::Plan;
use super::tracker::Tracker;
use super::wire::{Cuts, Message, Node};
use super::worker::Worker;

/// Without any fault something arrives in this many milliseconds, or nothing ever will.
const PATIENCE: u64 = 180_000;

/// What happens at a moment.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Deliver(Message),
    /// It looks what is to be done.
    Wake(Node),
    /// It is up again after a crash.
    Start(Node),
    /// A cut line carries again.
    Heal(Node, Node),
    Crash,
    Stall,
    Cut,
    User,
    Move,
}

/// Whether a process runs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Health {
    pub(super) down: bool,
    /// It stands still until then: what arrives waits.
    pub(super) stalled_until: u64,
}

/// Everything.
pub(super) struct World {
    pub(super) rng: StdRng,
    pub(super) plan: Plan,
    begun: Instant,
    /// Milliseconds since it began.
    pub(super) now: u64,
    order: u64,
    events: BTreeMap<(u64, u64), Event>,
    pub(super) calls: u64,
    pub(super) cuts: Cuts,
    pub(super) master: Master,
    pub(super) health: BTreeMap<Node, Health>,
    pub(super) trackers: Vec<Tracker>,
    pub(super) workers: Vec<Worker>,
    pub(super) oracle: Oracle,
    pub(super) calm: bool,
    steps: u64,
    trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(mut rng: StdRng, plan: Plan, trace: bool) -> Self {
        let mut world = World {
            begun: Instant::now(),
            now: 0,
            order: 0,
            events: BTreeMap::new(),
            calls: 0,
            cuts: Cuts::default(),
            master: Master::default(),
            health: BTreeMap::from([(Node::Master, Health::default())]),
            trackers: (0..plan.trackers).map(|_| Tracker::new(1)).collect(),
            workers: (0..plan.workers).map(|_| Worker::new(1, &plan, &mut rng)).collect(),
            oracle: Oracle::default(),
            calm: false,
            steps: 0,
            trace: trace.then(Vec::new),
            rng,
            plan,
        };
        world.submit_all();
        let trackers = (0..world.plan.trackers).map(Node::Tracker);
        let nodes: Vec<Node> = trackers.chain((0..world.plan.workers).map(Node::Worker)).collect();
        for node in nodes {
            world.health.insert(node, Health::default());
            let delay = world.rng.random_range(0..1_000);
            world.at(delay, Event::Wake(node));
        }
        let plan = world.plan.clone();
        for (event, often) in [
            (Event::Crash, plan.crashes),
            (Event::Stall, plan.stalls),
            (Event::Cut, plan.cuts),
            (Event::User, plan.users),
            (Event::Move, plan.moves),
        ] {
            let times = (often * plan.trouble as f64 / 100_000.0).round() as u64;
            for _ in 0..times {
                let at = world.rng.random_range(0..plan.trouble.max(1));
                world.at(at, event.clone());
            }
        }
        world
    }

    fn submit_all(&mut self) {
        for job in 0..self.plan.jobs {
            let (name, tasks) = (format!("job{job}"), self.plan.tasks / self.plan.jobs as u32 + 1);
            let priority = self.rng.random_range(-1..2);
            let submitted = self.master.submit(&name, tasks, self.plan.objects, priority);
            assert_eq!(submitted, Ok(()));
        }
    }

    /// The seed's world, to its end.
    pub(super) fn play(seed: u64, trace: bool) -> (Self, Result<(), String>) {
        let mut rng = StdRng::seed_from_u64(seed);
        let plan = Plan::of(seed, &mut rng);
        let mut world = World::new(rng, plan, trace);
        let ended = world.run_to_the_end();
        (world, ended)
    }

    /// Trouble, then calm, then nothing is left to do.
    pub(super) fn run_to_the_end(&mut self) -> Result<(), String> {
        self.run(self.plan.trouble, false)?;
        self.calm_down();
        let (mut progress, mut since) = (0, self.now);
        while !self.done() {
            let (now, arrived) = (self.now, self.oracle.arrivals() + self.master.settled());
            if arrived != progress {
                (progress, since) = (arrived, now);
            } else if now - since > PATIENCE {
                let open = self.master.jobs.iter().filter(|(_, job)| job.state != JobState::Succeeded);
                let states = self.trackers.iter().map(|tracker| &tracker.state);
                return Err(format!(
                    "it never ends: {:?} {:?}",
                    open.collect::<Vec<_>>(),
                    states.collect::<Vec<_>>()
                ));
            }
            self.run(self.now + 1_000, true)?;
            self.users_finish();
        }
        self.check_everything()?;
        // Who still stands still gives up what it holds when it wakes.
        let awake = self.health.values().map(|health| health.stalled_until).max().unwrap_or(0);
        self.run(self.now.max(awake) + 40_000, false)?;
        self.check_the_end()
    }

    /// Plays on up to this moment.
    pub(super) fn run_until(&mut self, until: u64) -> Result<(), String> {
        self.run(until, false)
    }

    fn run(&mut self, until: u64, until_done: bool) -> Result<(), String> {
        while !(until_done && self.done()) {
            let Some(next) = self.events.first_entry().filter(|next| next.key().0 < until) else { break };
            let ((at, _), event) = next.remove_entry();
            self.now = at;
            self.happen(event)?;
            self.steps += 1;
            // A look at everything costs as much as the world is large.
            let size = self.plan.workers * self.plan.held;
            if self.steps.is_multiple_of(1 + size as u64 / 4) {
                self.check_places()?;
            }
            if self.steps.is_multiple_of(2_000) {
                self.check_everything()?;
            }
        }
        if !(until_done && self.done()) {
            self.now = until;
        }
        Ok(())
    }

    fn done(&self) -> bool {
        self.master.jobs.values().all(|job| job.state == JobState::Succeeded)
    }

    fn calm_down(&mut self) {
        let quiet = Plan::quiet(self.plan.workers, self.plan.tasks);
        let (loss, twice, slow, fail) = (quiet.loss, quiet.twice, quiet.slow, quiet.fail);
        self.plan = Plan { loss, twice, slow, fail, ..self.plan.clone() };
        self.calm = true;
        self.cuts.0.clear();
        self.note(|| "calm from here on".into());
        // A second tracker was a mistake that somebody has mended by now.
        for extra in 1..self.trackers.len() {
            self.crash(Node::Tracker(extra), None);
        }
        for worker in &mut self.workers {
            worker.at = 0;
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Deliver(message) => return self.deliver(message),
            Event::Wake(node) => self.wake(node),
            Event::Start(node) => self.start(node),
            Event::Heal(from, to) => {
                self.cuts.0.remove(&(from, to));
            }
            _ if self.calm => {}
            Event::Crash => self.crash_somebody(),
            Event::Stall => self.stall_somebody(),
            Event::Cut => self.cut_somewhere(),
            Event::User => self.user(),
            Event::Move => self.move_somebody(),
        }
        Ok(())
    }

    fn deliver(&mut self, message: Message) -> Result<(), String> {
        let health = self.health[&message.to];
        if health.stalled_until > self.now {
            // Later than what it does first by itself, or sooner.
            let delay = health.stalled_until - self.now + self.rng.random_range(0..400);
            self.at(delay, Event::Deliver(message));
            return Ok(());
        }
        if health.down {
            if message.body.is_call() && self.chance(0.5) {
                self.answer(&message, super::wire::Body::Failed);
            }
            return Ok(());
        }
        self.note(|| format!("{message:?}"));
        match message.to {
            Node::Master => self.master_hears(message),
            Node::Tracker(at) => self.tracker_hears(at, message),
            Node::Worker(at) => self.worker_hears(at, message),
        }
    }

    fn wake(&mut self, node: Node) {
        let health = self.health[&node];
        if health.down {
            return;
        }
        if health.stalled_until > self.now {
            let delay = health.stalled_until - self.now + self.rng.random_range(0..200);
            self.at(delay, Event::Wake(node));
            return;
        }
        match node {
            Node::Master => {}
            Node::Tracker(at) => {
                self.drive_tracker(at);
                self.at(200, Event::Wake(node));
            }
            Node::Worker(at) => {
                self.drive_worker(at);
                let delay = self.rng.random_range(200..600);
                self.at(delay, Event::Wake(node));
            }
        }
    }

    /// Something happens so many milliseconds from now.
    pub(super) fn at(&mut self, delay: u64, event: Event) {
        self.order += 1;
        self.events.insert((self.now + delay, self.order), event);
    }

    /// The time, as the tracker's state takes it.
    pub(super) fn instant(&self) -> Instant {
        self.begun + Duration::from_millis(self.now)
    }

    pub(super) fn chance(&mut self, of: f64) -> bool {
        of > 0.0 && self.rng.random_bool(of)
    }

    /// For the trace, if there is one.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>7} {}", self.now, line()));
        }
    }

    pub(super) fn trace(&self) -> &[String] {
        self.trace.as_deref().unwrap_or_default()
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }
}
