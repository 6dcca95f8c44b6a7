//! The workers: the control flow of the agent, its heartbeat and its outbox. Some are slow, and some do not
//! give a task up before they are refused.

use std::collections::BTreeMap;

use proto::v1;
use proto::v1::Outcome;
use proto::v1::settlement::Result as Ending;
use rand::Rng;
use rand::rngs::StdRng;

use super::plan::Plan;
use super::tracker::LEASE;
use super::wire::{Body, Message, Node, Report, What};
use super::world::World;

/// A report that is not answered by then is made again.
const CALL: u64 = 3_000;
/// A heartbeat that is not answered by then has failed.
const BEAT: u64 = 2_500;
/// An Acquire that is not answered by then.
const ACQUIRE: u64 = 8_000;
/// Objects of one batch.
const BATCH: usize = 4;

/// One worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) life: u64,
    /// The tracker that it calls.
    pub(super) at: usize,
    /// It stops in good order.
    pub(super) leaving: bool,
    registered: bool,
    register: Option<(u64, u64)>,
    acquire: Option<(u64, u64)>,
    beat: Option<(u64, u64)>,
    next_beat: u64,
    /// The last heartbeat that was answered was sent then.
    good: u64,
    pub(super) held: BTreeMap<u64, Held>,
    stubborn: bool,
    lame: bool,
}

/// A task that it holds.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) task: v1::TaskRef,
    todo: Vec<u32>,
    /// The next report may be made then.
    ready: u64,
    /// The one that is not acknowledged, and the call that carries it now.
    report: Option<(Report, u64)>,
    stop: bool,
}

impl Worker {
    pub(super) fn new(life: u64, plan: &Plan, rng: &mut StdRng) -> Self {
        Worker {
            life,
            at: 0,
            leaving: false,
            registered: false,
            register: None,
            acquire: None,
            beat: None,
            next_beat: 0,
            good: 0,
            held: BTreeMap::new(),
            stubborn: rng.random_bool(plan.stubborn),
            lame: rng.random_bool(plan.lame),
        }
    }
}

// === what it does by itself ===

impl World {
    pub(super) fn drive_worker(&mut self, at: usize) {
        self.drive_heartbeat(at);
        let now = self.now;
        let most = self.plan.held;
        let worker = &mut self.workers[at];
        if worker.leaving {
            worker.held.values_mut().for_each(|held| held.stop = true);
        }
        let waits = worker.acquire.is_some_and(|(_, since)| now - since < ACQUIRE);
        if worker.registered && !waits && worker.held.len() < most && !worker.leaving {
            let call = self.call_tracker(at, Body::Acquire);
            self.workers[at].acquire = Some((call, now));
        }
        let due = self.workers[at].held.iter().filter(|(_, held)| held.ready <= now).map(|(fence, _)| *fence);
        for fence in due.collect::<Vec<_>>() {
            self.report(at, fence);
        }
        if self.workers[at].leaving && self.workers[at].held.is_empty() {
            self.call_tracker(at, Body::Renew { held: Vec::new(), leaving: true });
            let away = self.rng.random_range(1..5_000);
            self.crash(Node::Worker(at), Some(away));
        }
    }

    fn drive_heartbeat(&mut self, at: usize) {
        let now = self.now;
        let worker = &mut self.workers[at];
        if !worker.registered {
            if worker.register.is_none_or(|(_, since)| now - since > CALL) {
                let call = self.call_tracker(at, Body::Register);
                self.workers[at].register = Some((call, now));
            }
            return;
        }
        if worker.beat.is_some_and(|(_, since)| now - since > BEAT) {
            worker.beat = None;
            worker.beat_failed(now);
        }
        if worker.beat.is_none() && now >= worker.next_beat {
            worker.next_beat = now + 1_000;
            let held = worker.held.values().map(|held| held.task.clone()).collect();
            let call = self.call_tracker(at, Body::Renew { held, leaving: false });
            self.workers[at].beat = Some((call, now));
        }
    }

    /// The report that is due, or the same once more.
    fn report(&mut self, at: usize, fence: u64) {
        let fail = self.plan.fail;
        let ready = self.now + CALL;
        let many = self.rng.random_range(1..=BATCH);
        let worker = &mut self.workers[at];
        let by = (at, worker.life);
        let Some(held) = worker.held.get_mut(&fence) else { return };
        held.ready = ready;
        let report = match &held.report {
            Some((report, _)) => report.clone(),
            None => {
                let batch = held.todo.iter().take(many).copied();
                let mut outcome = || match self.rng.random_bool(fail) {
                    true => Outcome::Failed,
                    false => Outcome::Succeeded,
                };
                let records: Vec<_> = batch.map(|index| (index, outcome())).collect();
                let what = match (held.stop, records.is_empty()) {
                    (true, _) => What::Settle(Ending::Returned),
                    (false, true) => What::Settle(Ending::Finished),
                    (false, false) if fail > 0.0 && self.rng.random_bool(0.01) => {
                        What::Settle(Ending::Suspended)
                    }
                    (false, false) => What::Record(records),
                };
                Report { task: held.task.clone(), by, what }
            }
        };
        let call = self.call_tracker(at, Body::Report(report.clone()));
        if let Some(held) = self.workers[at].held.get_mut(&fence) {
            held.report = Some((report, call));
        }
    }

    fn call_tracker(&mut self, at: usize, body: Body) -> u64 {
        let (tracker, life) = (self.workers[at].at, self.workers[at].life);
        self.call(Node::Worker(at), Node::Tracker(tracker), life, body)
    }
}

impl Worker {
    fn beat_failed(&mut self, now: u64) {
        // Nobody vouches for these leases any more.
        if !self.stubborn && now - self.good >= LEASE.as_millis() as u64 {
            self.held.clear();
        }
    }
}

// === what it is answered ===

impl World {
    pub(super) fn worker_hears(&mut self, at: usize, message: Message) -> Result<(), String> {
        let now = self.now;
        let worker = &mut self.workers[at];
        if worker.life != message.life {
            return Ok(());
        }
        let is = |call: Option<(u64, u64)>| call.is_some_and(|(call, _)| call == message.call);
        match message.body {
            Body::Registered if is(worker.register) => {
                worker.register = None;
                worker.registered = true;
                worker.good = now;
            }
            Body::Failed | Body::Refused if is(worker.register) => worker.register = None,
            Body::Acquired(tasks) if is(worker.acquire) => {
                worker.acquire = None;
                for grant in tasks {
                    self.take(at, grant)?;
                }
            }
            Body::Failed | Body::Refused if is(worker.acquire) => worker.acquire = None,
            Body::Renewed(reply) => {
                let Some((_, sent)) = worker.beat.filter(|(call, _)| *call == message.call) else {
                    return Ok(());
                };
                worker.beat = None;
                worker.good = sent;
                worker.registered = reply.registered;
                for task in reply.lost.iter().filter(|_| !worker.stubborn) {
                    worker.held.remove(&task.fence);
                }
                for task in reply.stopping {
                    worker.held.get_mut(&task.fence).into_iter().for_each(|held| held.stop = true);
                }
            }
            Body::Failed | Body::Refused if is(worker.beat) => {
                worker.beat = None;
                worker.beat_failed(now);
            }
            body => self.reported(at, message.call, &body),
        }
        Ok(())
    }

    fn take(&mut self, at: usize, grant: v1::Grant) -> Result<(), String> {
        let ready = self.now + self.work(at);
        let recorded = |index: &u32| grant.recorded[*index as usize / 8] >> (index % 8) & 1 == 1;
        let todo = (0..grant.objects).filter(|index| !recorded(index)).collect();
        let Some(task) = grant.task.clone() else { return Ok(()) };
        self.oracle.taken(&self.master, &task, (at, self.workers[at].life))?;
        let held = Held { task, todo, ready, report: None, stop: false };
        self.workers[at].held.insert(held.task.fence, held);
        Ok(())
    }

    fn work(&mut self, at: usize) -> u64 {
        let lame = if self.workers[at].lame { 10 } else { 1 };
        self.rng.random_range(self.plan.pace.clone()) * lame
    }

    fn reported(&mut self, at: usize, call: u64, answer: &Body) {
        let (now, work) = (self.now, self.work(at));
        let worker = &mut self.workers[at];
        let found = worker.held.values_mut().find(|held| held.report.as_ref().is_some_and(|at| at.1 == call));
        let Some(held) = found else { return };
        let fence = held.task.fence;
        let Some((report, _)) = &held.report else { return };
        match (answer, &report.what) {
            (Body::Reported, What::Record(records)) => {
                self.oracle.acknowledged(&held.task, records);
                held.todo.retain(|todo| !records.iter().any(|(index, _)| index == todo));
                held.report = None;
                held.ready = now + work;
            }
            (Body::Reported, What::Settle(_)) => drop(worker.held.remove(&fence)),
            (Body::Refused, _) => {
                self.oracle.refused += 1;
                worker.held.remove(&fence);
            }
            // It is made again after a pause.
            _ => held.ready = now + 200,
        }
    }
}
