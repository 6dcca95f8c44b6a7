use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// A service in simulation: an answer takes `base`, and longer in proportion once more than `knee` requests
/// are in flight; above `refuses` it throttles.
struct Service {
    base: f64,
    knee: usize,
    refuses: usize,
}

/// Runs `adaptive` with all slots taken for `seconds`; returns the limit at the end of each second.
fn run(adaptive: &mut Adaptive, service: &Service, from: f64, seconds: usize, seed: u64) -> Vec<usize> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut now, end) = (from, from + seconds as f64);
    let mut seen = Vec::new();
    while now < end {
        let in_flight = adaptive.limit();
        let slow = (in_flight as f64 / service.knee as f64).max(1.0);
        let rate = in_flight as f64 / (service.base * slow);
        now += rng.random_range(0.9..1.1) / rate;
        let at = Duration::from_secs_f64(now);
        adaptive.full();
        if in_flight > service.refuses && rng.random_bool(0.2) {
            adaptive.throttled(at);
        } else {
            adaptive.finished(at, 100_000);
        }
        if seen.len() < (now - from) as usize {
            seen.push(adaptive.limit());
        }
    }
    seen
}

#[test]
fn it_grows_while_more_slots_bring_more() {
    for seed in 0..20 {
        let mut adaptive = Adaptive::new(60);
        let service = Service { base: 0.05, knee: 1000, refuses: 1000 };
        let limits = run(&mut adaptive, &service, 0.0, 60, seed);
        assert_eq!(limits.last(), Some(&60), "seed {seed}: {limits:?}");
    }
}

#[test]
fn it_stops_where_more_slots_bring_nothing() {
    for seed in 0..20 {
        let mut adaptive = Adaptive::new(500);
        let service = Service { base: 0.05, knee: 40, refuses: 1000 };
        let limits = run(&mut adaptive, &service, 0.0, 120, seed);
        let last = limits.last().copied().unwrap();
        assert!((30..=120).contains(&last), "seed {seed}: {limits:?}");
    }
}

#[test]
fn it_halves_when_throttled_and_finds_its_way_back() {
    for seed in 0..20 {
        let mut adaptive = Adaptive::new(200);
        let service = Service { base: 0.05, knee: 1000, refuses: 30 };
        let limits = run(&mut adaptive, &service, 0.0, 300, seed);
        let settled = &limits[100..];
        assert!(settled.iter().all(|limit| (10..=60).contains(limit)), "seed {seed}: {settled:?}");
        let free = Service { base: 0.05, knee: 1000, refuses: 1000 };
        let limits = run(&mut adaptive, &free, 300.0, 120, seed);
        assert!(limits.last() >= Some(&150), "seed {seed}: {limits:?}");
    }
}

#[test]
fn a_burst_of_throttled_answers_halves_once() {
    let mut adaptive = Adaptive::new(60);
    for ms in 0..100 {
        adaptive.throttled(Duration::from_millis(5000 + ms));
    }
    assert_eq!(adaptive.limit(), 8);
    for second in 10..40 {
        adaptive.throttled(Duration::from_secs(second));
    }
    assert_eq!(adaptive.limit(), 1);
}

#[test]
fn idle_slots_say_nothing() {
    let mut adaptive = Adaptive::new(60);
    for ms in 0..100_000 {
        adaptive.finished(Duration::from_millis(ms), 10);
    }
    assert_eq!(adaptive.limit(), 16);
}

#[tokio::test(start_paused = true)]
async fn slots_that_are_out_vanish_when_they_come_back() {
    let gate = Gate::new(4);
    let mut slots = Vec::new();
    for _ in 0..4 {
        slots.push(gate.enter(false).await);
    }
    gate.throttled();
    assert_eq!(gate.limit(), 2);
    slots.truncate(2);
    let mut next = Box::pin(gate.enter(false));
    assert!(futures::poll!(&mut next).is_pending(), "two are out, two are allowed");
    slots.truncate(1);
    next.await;
}

#[test]
fn a_limit_that_holds_back_takes_all_slots_unless_the_service_throttles() {
    let mut adaptive = Adaptive::new(60);
    let at = Duration::from_secs;
    adaptive.held_back(at(1));
    assert_eq!(adaptive.limit(), 60);
    for n in 0..200 {
        adaptive.full();
        adaptive.held_back(at(2 + n));
        adaptive.finished(at(2 + n), 1);
    }
    assert_eq!(adaptive.limit(), 60, "nothing is concluded from what a limit let pass");
    adaptive.throttled(at(300));
    adaptive.held_back(at(301));
    assert_eq!(adaptive.limit(), 30);
    adaptive.held_back(at(320));
    assert_eq!(adaptive.limit(), 60);
}
