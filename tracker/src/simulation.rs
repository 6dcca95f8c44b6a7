//! The pure parts under fire: seeded losses and delays of every message, crashes of workers and trackers,
//! restarts of the master, in simulated time. A model of the master keeps the rules of the contract; what
//! has to hold is checked after each step.

mod master;
mod world;

use std::time::Duration;

use world::{Faults, World};

#[test]
fn nothing_is_lost_and_every_run_ends_whatever_gets_lost_on_the_way() {
    for seed in 0..150 {
        let mut world = World::new(seed, Faults { loss: 0.15, slow: 0.1, crash: 0.01 });
        world.run(Duration::from_secs(180));
        world.calm();
        world.run_to_the_end(Duration::from_secs(300));
    }
}

#[test]
fn without_faults_every_object_is_recorded_once() {
    for seed in 0..20 {
        let mut world = World::new(seed, Faults::default());
        world.run_to_the_end(Duration::from_secs(120));
        assert_eq!(world.late, 0, "seed {seed}");
        assert_eq!(world.master.repeated, 0, "seed {seed}");
        assert!(world.master.attempts_of_all().all(|attempt| attempt == 1), "seed {seed}");
    }
}

#[test]
fn the_faults_of_the_simulation_do_happen() {
    let (mut late, mut repeated, mut redone) = (0, 0, 0);
    for seed in 0..30 {
        let mut world = World::new(seed, Faults { loss: 0.15, slow: 0.1, crash: 0.01 });
        world.run(Duration::from_secs(180));
        world.calm();
        world.run_to_the_end(Duration::from_secs(300));
        late += world.late;
        repeated += world.master.repeated;
        redone += world.master.attempts_of_all().filter(|attempt| *attempt > 1).count();
    }
    assert!(late > 0 && repeated > 0 && redone > 0, "late {late}, repeated {repeated}, redone {redone}");
}
