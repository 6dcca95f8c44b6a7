//! The network: calls and answers that get lost, come twice, late, and in another order; cut lines.

use std::collections::BTreeSet;

use proto::v1;
use proto::v1::Outcome;
use proto::v1::settlement::Result as Ending;
use rand::Rng;

use super::world::{Event, World};

/// Who sends and receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    Master,
    Tracker(usize),
    Worker(usize),
}

/// A call or an answer on its way. `life` is the caller's: a restarted one does not hear the answer.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) from: Node,
    pub(super) to: Node,
    pub(super) life: u64,
    pub(super) call: u64,
    pub(super) body: Body,
}

/// What it says.
#[derive(Debug, Clone)]
pub(super) enum Body {
    // Worker to tracker.
    Register,
    Acquire,
    Renew {
        held: Vec<v1::TaskRef>,
        leaving: bool,
    },
    Report(Report),
    // Tracker to master; it also passes reports on.
    Attach,
    Fetch {
        session: u64,
        most: u32,
    },
    Release {
        session: u64,
        tasks: Vec<v1::TaskRef>,
    },
    Pulse {
        session: u64,
    },
    // Answers.
    Registered,
    Acquired(Vec<v1::Grant>),
    Renewed(v1::RenewReply),
    Reported,
    Attached {
        session: u64,
        out: Vec<v1::Grant>,
    },
    Fetched(v1::FetchReply),
    Released,
    Pulsed(v1::PulseReply),
    /// FAILED_PRECONDITION, and its like.
    Refused,
    /// UNAVAILABLE, or no connection.
    Failed,
}

/// A report on one hand-out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Report {
    pub(super) task: v1::TaskRef,
    /// Worker and incarnation: for the checks, no rule looks at it.
    pub(super) by: (usize, u64),
    pub(super) what: What,
}

/// Records, or the end.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Record(Vec<(u32, Outcome)>),
    Settle(Ending),
}

/// Lines that carry nothing, each in one direction.
#[derive(Debug, Default)]
pub(super) struct Cuts(pub(super) BTreeSet<(Node, Node)>);

impl Report {
    pub(super) fn is_settlement(&self) -> bool {
        matches!(self.what, What::Settle(_))
    }
}

impl Node {
    /// The number of a worker.
    pub(super) fn worker(self) -> usize {
        match self {
            Node::Worker(at) => at,
            Node::Master | Node::Tracker(_) => usize::MAX,
        }
    }
}

impl Body {
    pub(super) fn is_call(&self) -> bool {
        matches!(
            self,
            Body::Register
                | Body::Acquire
                | Body::Renew { .. }
                | Body::Report(_)
                | Body::Attach
                | Body::Fetch { .. }
                | Body::Release { .. }
                | Body::Pulse { .. }
        )
    }
}

impl World {
    /// A new call; its number.
    pub(super) fn call(&mut self, from: Node, to: Node, life: u64, body: Body) -> u64 {
        self.calls += 1;
        let call = self.calls;
        self.send(Message { from, to, life, call, body });
        call
    }

    /// The answer to a call.
    pub(super) fn answer(&mut self, call: &Message, body: Body) {
        let Message { from, to, life, call, .. } = *call;
        self.send(Message { from: to, to: from, life, call, body });
    }

    fn send(&mut self, message: Message) {
        if self.cuts.0.contains(&(message.from, message.to)) || self.chance(self.plan.loss) {
            self.note(|| format!("lost {message:?}"));
            return;
        }
        if self.chance(self.plan.twice) {
            let delay = self.delay();
            self.at(delay, Event::Deliver(message.clone()));
        }
        let delay = self.delay();
        self.at(delay, Event::Deliver(message));
    }

    fn delay(&mut self) -> u64 {
        let slow = self.chance(self.plan.slow);
        self.rng.random_range(1..if slow { 30_000 } else { 120 })
    }
}
