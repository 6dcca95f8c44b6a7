//! The trackers: the real `State`, with the control flow of `service` and `upstream` around it.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::v1;

use super::wire::{Body, Message, Node};
use super::world::World;
use crate::state::State;

pub(super) const LEASE: Duration = Duration::from_secs(10);
/// A call that is not answered by then counts as lost.
const CALL: u64 = 3_000;
/// An Acquire waits this long at most.
const ACQUIRE: u64 = 4_000;

/// One tracker.
#[derive(Debug)]
pub(super) struct Tracker {
    pub(super) life: u64,
    pub(super) state: State,
    session: Option<u64>,
    /// Calls to the master that are under way, each with the moment at which it was made.
    attach: Option<(u64, u64)>,
    fetch: Option<(u64, u64)>,
    release: Option<(u64, u64)>,
    pulse: Option<(u64, u64)>,
    releasing: Vec<v1::TaskRef>,
    next_fetch: u64,
    next_pulse: u64,
    /// Acquires that wait for tasks, and until when.
    waiting: Vec<(Message, u64)>,
    /// Reports that were passed on, by the call that did.
    passed: BTreeMap<u64, Message>,
}

impl Tracker {
    pub(super) fn new(life: u64) -> Self {
        Tracker {
            life,
            state: State::new(LEASE, false),
            session: None,
            attach: None,
            fetch: None,
            release: None,
            pulse: None,
            releasing: Vec::new(),
            next_fetch: 0,
            next_pulse: 0,
            waiting: Vec::new(),
            passed: BTreeMap::new(),
        }
    }

    /// The connection ended: everything under way on it is dropped.
    fn detach(&mut self) {
        (self.session, self.attach) = (None, None);
        (self.fetch, self.release, self.pulse) = (None, None, None);
    }

    fn is_late(&self, now: u64) -> bool {
        let late = |call: Option<(u64, u64)>| call.is_some_and(|(_, since)| now - since > CALL);
        late(self.attach) || late(self.fetch) || late(self.release) || late(self.pulse)
    }
}

// === towards the master ===

impl World {
    pub(super) fn drive_tracker(&mut self, at: usize) {
        let (now, instant) = (self.now, self.instant());
        let tracker = &mut self.trackers[at];
        tracker.state.tick(instant);
        if tracker.is_late(now) {
            tracker.detach();
        }
        let (life, from) = (tracker.life, Node::Tracker(at));
        let Some(session) = tracker.session else {
            if tracker.attach.is_none() {
                let call = self.call(from, Node::Master, life, Body::Attach);
                self.trackers[at].attach = Some((call, now));
            }
            return;
        };
        let most = tracker.state.demand();
        if tracker.fetch.is_none() && most > 0 && now >= tracker.next_fetch {
            let call = self.call(from, Node::Master, life, Body::Fetch { session, most });
            self.trackers[at].fetch = Some((call, now));
        }
        let tracker = &mut self.trackers[at];
        let tasks = tracker.state.to_release();
        if tracker.release.is_none() && !tasks.is_empty() {
            tracker.releasing.clone_from(&tasks);
            let call = self.call(from, Node::Master, life, Body::Release { session, tasks });
            self.trackers[at].release = Some((call, now));
        }
        let tracker = &mut self.trackers[at];
        if tracker.pulse.is_none() && now >= tracker.next_pulse {
            tracker.next_pulse = now + 500;
            let call = self.call(from, Node::Master, life, Body::Pulse { session });
            self.trackers[at].pulse = Some((call, now));
        }
        self.serve(at);
    }

    fn master_answered(&mut self, at: usize, message: Message) {
        let (now, instant) = (self.now, self.instant());
        let tracker = &mut self.trackers[at];
        if let Some(report) = tracker.passed.remove(&message.call) {
            // As `service` does: a refusal ends the lease here too, and so does a settlement.
            let settled = matches!(&report.body, Body::Report(report) if report.is_settlement());
            if let (Body::Report(report), true) = (
                &report.body,
                matches!(message.body, Body::Refused) || settled && matches!(message.body, Body::Reported),
            ) {
                tracker.state.ended(report.task.fence);
            }
            self.answer(&report, message.body);
            return;
        }
        let is = |call: Option<(u64, u64)>| call.is_some_and(|(call, _)| call == message.call);
        let ours = is(tracker.attach) || is(tracker.fetch) || is(tracker.release) || is(tracker.pulse);
        match message.body {
            _ if !ours => {}
            Body::Refused | Body::Failed => tracker.detach(),
            Body::Attached { session, out } => {
                tracker.attach = None;
                tracker.session = Some(session);
                tracker.state.attached(out, instant);
                self.serve(at);
            }
            Body::Fetched(reply) => {
                tracker.fetch = None;
                // An empty answer was waited for at the master.
                tracker.next_fetch = if reply.tasks.is_empty() { now + 1_000 } else { now };
                tracker.state.fetched(reply);
                self.serve(at);
            }
            Body::Released => {
                tracker.release = None;
                let tasks = std::mem::take(&mut tracker.releasing);
                tracker.state.released(&tasks);
            }
            Body::Pulsed(reply) => {
                tracker.pulse = None;
                if !tracker.state.pulsed(reply) {
                    tracker.detach();
                }
            }
            _ => {}
        }
    }
}

// === towards the workers ===

impl World {
    pub(super) fn tracker_hears(&mut self, at: usize, message: Message) -> Result<(), String> {
        if message.from == Node::Master {
            if message.life == self.trackers[at].life {
                self.master_answered(at, message);
            }
            return Ok(());
        }
        let instant = self.instant();
        let worker = id(message.from.worker(), message.life);
        let state = &mut self.trackers[at].state;
        match &message.body {
            Body::Register => {
                let request = v1::RegisterRequest { worker, ..v1::RegisterRequest::default() };
                state.register(request, instant);
                self.answer(&message, Body::Registered);
            }
            Body::Acquire => {
                state.wait(1);
                let until = self.now + ACQUIRE;
                self.trackers[at].waiting.push((message, until));
                self.serve(at);
            }
            _ if !state.knows() => self.answer(&message, Body::Failed),
            Body::Renew { held, leaving } => {
                let stat = v1::WorkerStat { worker, ..v1::WorkerStat::default() };
                let request = v1::RenewRequest {
                    stat: Some(stat),
                    held: held.clone(),
                    leaving: *leaving,
                    ..v1::RenewRequest::default()
                };
                let reply = state.renew(request, instant);
                self.answer(&message, Body::Renewed(reply));
            }
            Body::Report(report) if state.passes(report.task.fence, instant) => {
                let (life, body) = (self.trackers[at].life, message.body.clone());
                let call = self.call(Node::Tracker(at), Node::Master, life, body);
                self.trackers[at].passed.insert(call, message);
            }
            Body::Report(_) => self.answer(&message, Body::Refused),
            _ => {}
        }
        Ok(())
    }

    /// Acquires that wait get what came, or nothing when their time is over.
    fn serve(&mut self, at: usize) {
        let (now, instant) = (self.now, self.instant());
        for (message, until) in std::mem::take(&mut self.trackers[at].waiting) {
            let worker = id(message.from.worker(), message.life);
            let tracker = &mut self.trackers[at];
            let body = match tracker.state.acquire(&worker, 1, instant) {
                Ok(tasks) if tasks.is_empty() && now < until => {
                    tracker.waiting.push((message, until));
                    continue;
                }
                Ok(tasks) => Body::Acquired(tasks),
                Err(_) => Body::Refused,
            };
            tracker.state.waited(1);
            self.answer(&message, body);
        }
    }
}

fn id(worker: usize, life: u64) -> String {
    format!("w{worker}/{life}")
}
