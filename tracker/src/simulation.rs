//! Dispatch under fire, in simulated time: the real state machine of the tracker between a model of the
//! master's rules (`proto::model`, which the master's tests hold against the real one) and workers that
//! crash, stall, leave and report late. Messages get lost, come twice and out of order; lines are cut in one
//! direction or both; users pause, resume, retry and clean in the middle.
//!
//! `BRIGADE_SEEDS=17..18` plays other seeds, `BRIGADE_TRACE=file` writes down what happens in them.

mod check;
mod master;
mod plan;
mod tracker;
mod trouble;
mod wire;
mod worker;
mod world;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use plan::Plan;
use rand::SeedableRng;
use rand::rngs::StdRng;
use world::World;

/// `BRIGADE_SEEDS=from..to`, or these.
fn seeds(otherwise: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("BRIGADE_SEEDS") else { return otherwise };
    let ends = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.unwrap_or_else(|| panic!("BRIGADE_SEEDS={text:?} is not of the form 17..18"))
}

/// Plays a seed; a failure says how to see it again.
fn play(seed: u64) -> World {
    let traced = std::env::var_os("BRIGADE_TRACE");
    let (world, ended) = World::play(seed, traced.is_some());
    if let Some(path) = &traced {
        std::fs::write(path, world.trace().join("\n")).unwrap();
    }
    let Err(what) = ended else { return world };
    let (again, _) = World::play(seed, true);
    let last = again.trace().len().saturating_sub(40);
    panic!(
        "seed {seed}: {what}\nthe last events:\n{}\nonce more, with everything in a file:\n  \
         BRIGADE_SEEDS={seed}..{} BRIGADE_TRACE=trace.txt cargo test -p tracker simulation\n",
        again.trace()[last..].join("\n"),
        seed + 1,
    );
}

#[test]
fn whatever_gets_lost_each_task_has_one_holder_nothing_is_lost_and_every_run_ends() {
    let seeds = seeds(0..500);
    let next = AtomicU64::new(seeds.start);
    let figures: [AtomicU64; 4] = Default::default();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            let world = play(seed);
            let attempts = world.master.jobs.values().flat_map(|job| job.tasks.values());
            let redone = attempts.filter(|task| task.attempt > 1).count() as u64;
            let found = [world.oracle.refused, world.master.repeated, redone, world.steps()];
            for (sum, figure) in figures.iter().zip(found) {
                sum.fetch_add(figure, Ordering::Relaxed);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        if let Some(failed) = ended.into_iter().find_map(Result::err) {
            std::panic::resume_unwind(failed);
        }
    });
    // What is to be survived did happen.
    let [refused, repeated, redone, steps] = figures.map(AtomicU64::into_inner);
    assert!(
        seeds.end - seeds.start < 100 || refused > 0 && repeated > 0 && redone > 0,
        "refused {refused}, repeated {repeated}, redone {redone}, steps {steps}"
    );
}

#[test]
fn a_seed_plays_the_same_each_time() {
    for seed in [3, 4, 17] {
        let (first, _) = World::play(seed, true);
        let (second, _) = World::play(seed, true);
        assert!(first.trace() == second.trace(), "seed {seed}");
    }
}

#[test]
fn without_faults_every_task_has_one_holder_and_nobody_is_refused() {
    for seed in 0..20 {
        let mut world = World::new(StdRng::seed_from_u64(seed), Plan::quiet(5, 40), false);
        world.run_to_the_end().unwrap();
        no_work_was_lost(&world, seed);
    }
}

/// Leases are renewed, and those of a tracker that is gone are taken over by the next one.
#[test]
fn slow_tasks_and_a_tracker_that_restarts_cost_no_work() {
    for seed in 0..20 {
        let plan = Plan { pace: 5_000..12_000, trouble: 60_000, ..Plan::quiet(5, 10) };
        let mut world = World::new(StdRng::seed_from_u64(seed), plan, false);
        world.run_until(20_000 + 500 * seed).unwrap();
        world.crash(wire::Node::Tracker(0), Some(1_500));
        world.run_to_the_end().unwrap();
        no_work_was_lost(&world, seed);
    }
}

/// Nobody was refused, and each task had one holder in all. (A task that no worker had
/// got yet may go out again.)
fn no_work_was_lost(world: &World, seed: u64) {
    assert_eq!(world.oracle.refused, 0, "seed {seed}");
    let tasks: usize = world.master.jobs.values().map(|job| job.tasks.len()).sum();
    assert_eq!(world.oracle.holders(), tasks, "seed {seed}");
}
