//! Workers, one tracker and the master, and the messages between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use proto::v1;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use super::master::{Master, OBJECTS, Refused};
use crate::state::State;

const LEASE: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(200);
const CALL: Duration = Duration::from_secs(2);
const TASKS: u32 = 12;
const WORKERS: usize = 3;
const TASKS_HELD: usize = 2;

/// How likely each of them is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// A message is lost.
    pub(super) loss: f64,
    /// A message takes up to half a minute.
    pub(super) slow: f64,
    /// Somebody crashes, in one step.
    pub(super) crash: f64,
}

/// A call, or its answer, on its way. `life` is the incarnation of the one that waits for the answer: a
/// restarted one does not hear it.
#[derive(Debug, Clone)]
enum Message {
    // Worker to tracker, and back.
    Register { worker: usize, life: u64 },
    Registered { worker: usize, life: u64 },
    Acquire { worker: usize, life: u64 },
    Acquired { worker: usize, life: u64, tasks: Vec<v1::Grant> },
    Renew { worker: usize, life: u64, held: Vec<v1::TaskRef>, sent: Instant },
    Renewed { worker: usize, life: u64, lost: Vec<v1::TaskRef>, registered: bool, sent: Instant },
    Report { worker: usize, life: u64, report: Report },
    Reported { worker: usize, life: u64, report: Report, answer: Result<(), Refused> },
    // Tracker to master, and back.
    Forward { worker: usize, life: u64, tracker: u64, report: Report },
    Forwarded { worker: usize, life: u64, tracker: u64, report: Report, answer: Result<(), Refused> },
    Attach { tracker: u64, call: u64 },
    Attached { tracker: u64, call: u64, session: u64, out: Vec<v1::Grant> },
    Fetch { tracker: u64, session: u64, most: u32 },
    Fetched { tracker: u64, session: u64, answer: Result<Vec<v1::Grant>, Refused> },
    Release { tracker: u64, session: u64, tasks: Vec<v1::TaskRef> },
    Released { tracker: u64, session: u64, tasks: Vec<v1::TaskRef>, answer: Result<(), Refused> },
}

/// `index` None: Settle.
#[derive(Debug, Clone, PartialEq)]
struct Report {
    task: v1::TaskRef,
    index: Option<u32>,
}

#[derive(Debug)]
struct Worker {
    life: u64,
    registered: bool,
    down_until: Option<Instant>,
    /// The last heartbeat that was answered was sent then.
    good: Instant,
    asked: Option<Instant>,
    held: BTreeMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    task: v1::TaskRef,
    todo: Vec<u32>,
    sent: Option<Instant>,
}

#[derive(Debug)]
struct Tracker {
    life: u64,
    state: State,
    down_until: Option<Instant>,
    session: Option<u64>,
    call: u64,
    asked: Option<Instant>,
    fetching: Option<Instant>,
    releasing: Option<Instant>,
}

pub(super) struct World {
    rng: StdRng,
    seed: u64,
    faults: Faults,
    begun: Instant,
    now: Instant,
    order: u64,
    wire: BinaryHeap<Reverse<(Instant, u64)>>,
    messages: BTreeMap<u64, Message>,
    pub(super) master: Master,
    tracker: Tracker,
    workers: Vec<Worker>,
    /// What workers were told is durable.
    acknowledged: BTreeSet<(u32, u32)>,
    /// The fence under which a task is out now; whatever else reports is late.
    living: BTreeMap<u32, u64>,
    /// Reports that came too late and were refused.
    pub(super) late: usize,
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        let now = Instant::now();
        let worker = |_| Worker {
            life: 1,
            registered: false,
            down_until: None,
            good: now,
            asked: None,
            held: BTreeMap::new(),
        };
        World {
            rng: StdRng::seed_from_u64(seed),
            seed,
            faults,
            begun: now,
            now,
            order: 0,
            wire: BinaryHeap::new(),
            messages: BTreeMap::new(),
            master: Master::new(TASKS),
            tracker: Tracker::new(1),
            workers: (0..WORKERS).map(worker).collect(),
            acknowledged: BTreeSet::new(),
            living: BTreeMap::new(),
            late: 0,
        }
    }

    /// No more faults from now on.
    pub(super) fn calm(&mut self) {
        self.faults = Faults::default();
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end && !self.master.done() {
            self.step();
        }
    }

    pub(super) fn run_to_the_end(&mut self, within: Duration) {
        self.run(within);
        assert!(self.master.done(), "seed {} never ends: {:?}", self.seed, self.tracker);
        for number in 1..=TASKS {
            assert!((0..OBJECTS).all(|index| self.master.has(number, index)), "seed {}", self.seed);
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        while let Some(Reverse((_, order))) = self.wire.pop_if_due(self.now) {
            if let Some(message) = self.messages.remove(&order) {
                self.deliver(message);
                self.check();
            }
        }
        self.crash();
        self.drive_tracker();
        for worker in 0..WORKERS {
            self.drive_worker(worker);
        }
        self.check();
    }

    fn send(&mut self, message: Message) {
        if self.rng.random_bool(self.faults.loss) {
            return;
        }
        let slow = self.rng.random_bool(self.faults.slow);
        let delay = self.rng.random_range(1..if slow { 30_000 } else { 150 });
        self.order += 1;
        self.wire.push(Reverse((self.now + Duration::from_millis(delay), self.order)));
        self.messages.insert(self.order, message);
    }

    fn crash(&mut self) {
        for worker in 0..WORKERS {
            if self.rng.random_bool(self.faults.crash) {
                let down = Duration::from_millis(self.rng.random_range(0..15_000));
                let life = self.workers[worker].life + 1;
                self.workers[worker] = Worker {
                    life,
                    registered: false,
                    down_until: Some(self.now + down),
                    good: self.now,
                    asked: None,
                    held: BTreeMap::new(),
                };
            }
        }
        if self.rng.random_bool(self.faults.crash) {
            let down = Duration::from_millis(self.rng.random_range(0..15_000));
            self.tracker = Tracker::new(self.tracker.life + 1);
            self.tracker.down_until = Some(self.now + down);
        }
        if self.rng.random_bool(self.faults.crash) {
            self.master.restart();
        }
    }

    /// What has to hold at every moment.
    fn check(&self) {
        let seed = self.seed;
        // One place for each task that is out, and one living lease at most.
        let mut fences = self.tracker.state.fences();
        let all = fences.len();
        fences.sort_unstable();
        fences.dedup();
        assert_eq!(fences.len(), all, "seed {seed}: a fence is in two places");
        for number in 1..=TASKS {
            let holders = self.workers.iter().flat_map(|worker| worker.held.values()).filter(|held| {
                held.task.number == number
                    && self.master.is_current(&held.task)
                    && self.tracker.state.passes(held.task.fence, self.now)
            });
            assert!(holders.count() <= 1, "seed {seed}: two workers may report for task {number}");
        }
        for (number, index) in &self.acknowledged {
            assert!(
                self.master.has(*number, *index),
                "seed {seed}: {number}/{index} was acknowledged and is lost"
            );
        }
    }
}

// === the tracker: the control flow of `upstream` ===

impl Tracker {
    fn new(life: u64) -> Self {
        Tracker {
            life,
            state: State::new(LEASE, false),
            down_until: None,
            session: None,
            call: 0,
            asked: None,
            fetching: None,
            releasing: None,
        }
    }

    fn detach(&mut self) {
        self.session = None;
        self.asked = None;
        self.fetching = None;
        self.releasing = None;
    }
}

impl World {
    fn drive_tracker(&mut self) {
        let now = self.now;
        if self.tracker.down_until.is_some_and(|until| now < until) {
            return;
        }
        self.tracker.down_until = None;
        self.tracker.state.tick(now);
        let late = |since: Option<Instant>| since.is_some_and(|since| now - since > CALL);
        if late(self.tracker.fetching) || late(self.tracker.releasing) {
            self.tracker.detach();
        }
        let life = self.tracker.life;
        let Some(session) = self.tracker.session else {
            if self.tracker.asked.is_none_or(|asked| now - asked > CALL) {
                self.tracker.asked = Some(now);
                self.tracker.call += 1;
                self.send(Message::Attach { tracker: life, call: self.tracker.call });
            }
            return;
        };
        if self.tracker.fetching.is_none() && self.tracker.state.queue.len() < 2 {
            self.tracker.fetching = Some(now);
            self.send(Message::Fetch { tracker: life, session, most: 2 });
        }
        let tasks = self.tracker.state.to_release();
        if self.tracker.releasing.is_none() && !tasks.is_empty() {
            self.tracker.releasing = Some(now);
            self.send(Message::Release { tracker: life, session, tasks });
        }
    }

    fn tracker_hears(&self, life: u64) -> bool {
        self.tracker.life == life && self.tracker.down_until.is_none()
    }

    fn worker_hears(&self, worker: usize, life: u64) -> bool {
        let found = &self.workers[worker];
        found.life == life && found.down_until.is_none()
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Attach { tracker, call } => {
                let (session, out) = self.master.attach();
                self.send(Message::Attached { tracker, call, session, out });
            }
            Message::Fetch { tracker, session, most } => {
                let answer = self.master.fetch(session, most);
                for task in answer.iter().flatten().filter_map(|grant| grant.task.as_ref()) {
                    let before = self.living.insert(task.number, task.fence);
                    assert_eq!(before, None, "seed {}: task {} is out twice", self.seed, task.number);
                }
                self.send(Message::Fetched { tracker, session, answer });
            }
            Message::Release { tracker, session, tasks } => {
                let answer = self.master.release(session, &tasks);
                // What stands before a task that is refused has been taken back all the same.
                for task in &tasks {
                    if !self.master.is_current(task) && self.living.get(&task.number) == Some(&task.fence) {
                        self.living.remove(&task.number);
                    }
                }
                self.send(Message::Released { tracker, session, tasks, answer });
            }
            Message::Forward { worker, life, tracker, report } => {
                let answer = match report.index {
                    Some(index) => self.master.record(&report.task, index),
                    None => self.master.settle(&report.task),
                };
                if answer.is_ok() {
                    let living = self.living.get(&report.task.number);
                    assert_eq!(living, Some(&report.task.fence), "seed {}: a late report passed", self.seed);
                    if report.index.is_none() {
                        self.living.remove(&report.task.number);
                    }
                }
                self.send(Message::Forwarded { worker, life, tracker, report, answer });
            }
            Message::Attached { tracker, call, session, out } => {
                if self.tracker_hears(tracker) && self.tracker.session.is_none() && self.tracker.call == call
                {
                    self.tracker.state.attached(out, self.now);
                    self.tracker.session = Some(session);
                }
            }
            Message::Fetched { tracker, session, answer } => {
                if self.tracker_hears(tracker) && self.tracker.session == Some(session) {
                    self.tracker.fetching = None;
                    match answer {
                        Ok(tasks) => {
                            self.tracker.state.fetched(v1::FetchReply { tasks, ..Default::default() });
                        }
                        Err(Refused) => self.tracker.detach(),
                    }
                }
            }
            Message::Released { tracker, session, tasks, answer } => {
                if self.tracker_hears(tracker) && self.tracker.session == Some(session) {
                    self.tracker.releasing = None;
                    match answer {
                        Ok(()) => self.tracker.state.released(&tasks),
                        Err(Refused) => self.tracker.detach(),
                    }
                }
            }
            Message::Forwarded { worker, life, tracker, report, answer } => {
                if self.tracker_hears(tracker) {
                    if answer.is_err() || report.index.is_none() {
                        self.tracker.state.ended(report.task.fence);
                    }
                    self.send(Message::Reported { worker, life, report, answer });
                }
            }
            other => self.deliver_to_worker_side(other),
        }
    }

    fn deliver_to_worker_side(&mut self, message: Message) {
        let (now, up) = (self.now, self.tracker.down_until.is_none());
        let knows = up && self.tracker.state.knows();
        match message {
            Message::Register { worker, life } if up => {
                let request = v1::RegisterRequest { worker: id(worker, life), ..Default::default() };
                self.tracker.state.register(request, now);
                self.send(Message::Registered { worker, life });
            }
            Message::Acquire { worker, life } if knows => {
                if let Ok(tasks) = self.tracker.state.acquire(&id(worker, life), 1, now) {
                    self.send(Message::Acquired { worker, life, tasks });
                }
            }
            Message::Renew { worker, life, held, sent } if knows => {
                let stat = v1::WorkerStat { worker: id(worker, life), ..Default::default() };
                let request = v1::RenewRequest { stat: Some(stat), held, leaving: false };
                let reply = self.tracker.state.renew(request, now);
                let (lost, registered) = (reply.lost, reply.registered);
                self.send(Message::Renewed { worker, life, lost, registered, sent });
            }
            Message::Report { worker, life, report } if knows => {
                if self.tracker.state.passes(report.task.fence, now) {
                    let tracker = self.tracker.life;
                    self.send(Message::Forward { worker, life, tracker, report });
                } else {
                    self.send(Message::Reported { worker, life, report, answer: Err(Refused) });
                }
            }
            Message::Registered { worker, life } if self.worker_hears(worker, life) => {
                self.workers[worker].registered = true;
            }
            Message::Acquired { worker, life, tasks } if self.worker_hears(worker, life) => {
                self.workers[worker].asked = None;
                for grant in tasks {
                    self.take(worker, grant);
                }
            }
            Message::Renewed { worker, life, lost, registered, sent } if self.worker_hears(worker, life) => {
                let found = &mut self.workers[worker];
                found.good = found.good.max(sent);
                found.registered &= registered;
                for task in lost {
                    found.held.remove(&task.fence);
                }
            }
            Message::Reported { worker, life, report, answer } if self.worker_hears(worker, life) => {
                self.reported(worker, &report, answer);
            }
            _ => {}
        }
    }
}

// === the workers: the control flow of the agent ===

impl World {
    fn drive_worker(&mut self, worker: usize) {
        let now = self.now;
        let found = &mut self.workers[worker];
        if found.down_until.is_some_and(|until| now < until) {
            return;
        }
        found.down_until = None;
        if now - found.good > LEASE {
            found.held.clear();
        }
        let (life, registered) = (found.life, found.registered);
        let hungry = found.held.len() < TASKS_HELD && found.asked.is_none_or(|asked| now - asked > CALL);
        if hungry && registered {
            found.asked = Some(now);
        }
        let held = found.held.values().map(|held| held.task.clone()).collect();
        if !registered {
            self.send(Message::Register { worker, life });
        } else if hungry {
            self.send(Message::Acquire { worker, life });
        }
        if (now - self.begun).as_millis() % 1_000 < STEP.as_millis() {
            self.send(Message::Renew { worker, life, held, sent: now });
        }
        let mut reports = Vec::new();
        for held in self.workers[worker].held.values_mut() {
            if held.sent.is_none_or(|sent| now - sent > CALL) {
                held.sent = Some(now);
                reports.push(Report { task: held.task.clone(), index: held.todo.first().copied() });
            }
        }
        for report in reports {
            self.send(Message::Report { worker, life, report });
        }
    }

    fn take(&mut self, worker: usize, grant: v1::Grant) {
        let recorded = |index: &u32| grant.recorded[*index as usize / 8] >> (index % 8) & 1 == 1;
        let todo = (0..OBJECTS).filter(|index| !recorded(index)).collect();
        if let Some(task) = grant.task.clone() {
            self.workers[worker].held.insert(task.fence, Held { task, todo, sent: None });
        }
    }

    fn reported(&mut self, worker: usize, report: &Report, answer: Result<(), Refused>) {
        if let (Ok(()), Some(index)) = (answer, report.index) {
            self.acknowledged.insert((report.task.number, index));
        }
        self.late += usize::from(answer.is_err());
        let Some(held) = self.workers[worker].held.get_mut(&report.task.fence) else { return };
        match (answer, report.index) {
            (Ok(()), Some(index)) => {
                held.todo.retain(|todo| *todo != index);
                held.sent = None;
            }
            (Ok(()), None) | (Err(Refused), _) => {
                self.workers[worker].held.remove(&report.task.fence);
            }
        }
    }
}

fn id(worker: usize, life: u64) -> String {
    format!("w{worker}/{life}")
}

trait PopIfDue {
    fn pop_if_due(&mut self, now: Instant) -> Option<Reverse<(Instant, u64)>>;
}

impl PopIfDue for BinaryHeap<Reverse<(Instant, u64)>> {
    fn pop_if_due(&mut self, now: Instant) -> Option<Reverse<(Instant, u64)>> {
        let due = self.peek().is_some_and(|Reverse((at, _))| *at <= now);
        if due { self.pop() } else { None }
    }
}
