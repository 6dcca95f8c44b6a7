//! Workers that come and go, answers that get lost or come late, limits that change: the sum of what is in force
//! is never above the limit.

use proptest::prelude::*;

use super::*;

/// A worker as it really is: its share in force, and an answer that is under way.
#[derive(Debug, Clone, Default)]
struct Worker {
    /// It has a lease.
    works: bool,
    share: f64,
    coming: Option<f64>,
}

#[derive(Debug, Clone)]
enum Step {
    /// Begins to work, with what it has.
    Join(usize),
    /// Its last lease ends: it goes on with what it has until it closes its share.
    Rest(usize),
    Close(usize),
    /// It is gone, and the tracker knows.
    Leave(usize),
    /// A heartbeat that is heard and answered at once.
    Beat(usize),
    /// A heartbeat whose answer is under way.
    Ask(usize),
    /// That answer arrives.
    Hear(usize),
    /// Or does not.
    Lose(usize),
    Limit(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0usize..6;
    let step = prop_oneof![
        2 => who.clone().prop_map(Step::Join),
        2 => who.clone().prop_map(Step::Rest),
        1 => who.clone().prop_map(Step::Close),
        1 => who.clone().prop_map(Step::Leave),
        6 => who.clone().prop_map(Step::Beat),
        3 => who.clone().prop_map(Step::Ask),
        3 => who.clone().prop_map(Step::Hear),
        1 => who.prop_map(Step::Lose),
        1 => (1u64..1000).prop_map(Step::Limit),
    ];
    proptest::collection::vec(step, 1..200)
}

struct World {
    division: Division,
    limit: u64,
    workers: Vec<Worker>,
}

impl World {
    fn ask(&mut self, at: usize) -> f64 {
        let limits = Limits { bytes_per_s: self.limit, requests_per_s: 0 };
        let said = Share { bytes_per_s: Some(self.workers[at].share), requests_per_s: None };
        if !self.workers[at].works {
            self.division.heard(&at.to_string(), &said);
            return self.workers[at].share;
        }
        let working = self.workers.iter().filter(|worker| worker.works).count();
        let told = self.division.tell(&limits, &at.to_string(), &said, working, false);
        assert_eq!(told.requests_per_s, None, "no limit");
        told.bytes_per_s.unwrap()
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Join(at) => self.workers[at].works = true,
            Step::Rest(at) => self.workers[at].works = false,
            Step::Close(at) if !self.workers[at].works => self.workers[at].share = 0.0,
            Step::Leave(at) => {
                self.workers[at] = Worker::default();
                self.division.keep(|worker| worker != at.to_string());
            }
            // One heartbeat at a time.
            Step::Beat(at) if self.workers[at].coming.is_none() => self.workers[at].share = self.ask(at),
            Step::Ask(at) if self.workers[at].coming.is_none() => {
                self.workers[at].coming = Some(self.ask(at));
            }
            Step::Hear(at) => {
                if let Some(share) = self.workers[at].coming.take() {
                    self.workers[at].share = share;
                }
            }
            Step::Lose(at) => self.workers[at].coming = None,
            Step::Limit(limit) => self.limit = limit,
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn what_is_in_force_never_adds_up_to_more_than_the_limit(steps in steps(), changes in any::<bool>()) {
        let mut world = World { division: Division::default(), limit: 100, workers: vec![Worker::default(); 6] };
        let mut most = world.limit;
        for step in steps.iter().filter(|step| changes || !matches!(step, Step::Limit(_))) {
            world.play(step);
            // A limit that was lowered takes its heartbeats.
            most = most.max(world.limit);
            let sum: f64 = world.workers.iter().map(|worker| worker.share).sum();
            prop_assert!(sum <= most as f64 * 1.000_001, "{sum} of {most} after {step:?}");
        }
        // When nothing changes any more, three heartbeats of each divide all of it.
        for worker in &mut world.workers {
            worker.coming = None;
            if !worker.works {
                worker.share = 0.0;
            }
        }
        for _ in 0..3 {
            (0..6).for_each(|at| world.play(&Step::Beat(at)));
        }
        let working = world.workers.iter().filter(|worker| worker.works).count();
        for worker in world.workers.iter().filter(|worker| worker.works) {
            let fair = world.limit as f64 / working as f64;
            prop_assert!((worker.share - fair).abs() < fair * 1e-6, "{worker:?}, not {fair}");
        }
    }
}

#[test]
fn nobody_gets_more_while_there_may_be_workers_that_were_not_heard() {
    let mut division = Division::default();
    let limits = Limits { bytes_per_s: 100, requests_per_s: 0 };
    let mut tell = |said: f64, unknown: bool| {
        let said = Share { bytes_per_s: Some(said), requests_per_s: None };
        division.tell(&limits, "a", &said, 1, unknown).bytes_per_s
    };
    assert_eq!(tell(0.0, true), Some(0.0));
    assert_eq!(tell(30.0, true), Some(30.0));
    assert_eq!(tell(30.0, false), Some(100.0));
}

#[test]
fn a_limit_on_workers_that_had_none_stops_nobody() {
    let mut division = Division::default();
    let limits = Limits { bytes_per_s: 100, requests_per_s: 0 };
    let mut tell = |worker: &str, said: Option<f64>| {
        let said = Share { bytes_per_s: said, requests_per_s: None };
        division.tell(&limits, worker, &said, 2, false).bytes_per_s
    };
    assert_eq!(tell("a", None), Some(50.0));
    assert_eq!(tell("b", None), Some(50.0));
}
