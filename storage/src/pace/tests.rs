//! The promise of a limit, on a clock that the test holds: in no ten seconds more than 5 % above, and at least 90 %
//! used while there is work; also when it changes, and under two limits at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::*;

const WINDOW: f64 = 10.0;

/// What passed, and when, in seconds.
type Log = Arc<Mutex<Vec<(f64, u64)>>>;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work)
}

/// Flows that pass objects of these sizes over and over, in pieces, until `end`; notes each piece after it passed.
fn flows(pace: &Arc<Pace>, sizes: &[u64], piece: u64, begun: Instant, log: &Log, end: f64) -> JoinSet<()> {
    let mut flows = JoinSet::new();
    for &size in sizes {
        let (pace, log) = (pace.clone(), log.clone());
        flows.spawn(async move {
            while begun.elapsed().as_secs_f64() < end {
                let (mut turn, mut left) = (Turn::of(size), size);
                while left > 0 {
                    let n = left.min(piece);
                    pace.pass(turn, n).await;
                    log.lock().unwrap().push((begun.elapsed().as_secs_f64(), n));
                    left -= n;
                    turn.left = left;
                }
            }
        });
    }
    flows
}

/// The most that passed in any window, as a share of what may.
fn worst(log: &[(f64, u64)], allowed: impl Fn(f64, f64) -> f64) -> f64 {
    let (mut worst, mut passed, mut next) = (0.0f64, 0u64, 0);
    for (from, n) in log {
        while let Some((_, n)) = log.get(next).filter(|(when, _)| *when < from + WINDOW) {
            passed += n;
            next += 1;
        }
        worst = worst.max(passed as f64 / allowed(*from, from + WINDOW));
        passed -= n;
    }
    worst
}

/// What a rate that changes at these moments allows between two moments.
fn allowance(changes: &[(f64, f64)], from: f64, until: f64) -> f64 {
    let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([f64::INFINITY]);
    changes.iter().zip(ends).map(|((at, rate), end)| (until.min(end) - from.max(*at)).max(0.0) * rate).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_ten_seconds_pass_five_percent_more_than_the_limit_nor_ten_percent_less(
        magnitude in 0.0f64..7.5,
        changes in proptest::collection::vec((0.5f64..15.0, 0.2f64..5.0), 0..4),
        sizes in proptest::collection::vec(1u64..3_000_000, 1..40),
    ) {
        let rate = 10f64.powf(magnitude).round();
        let mut plan = vec![(0.0, rate)];
        for (after, factor) in changes {
            plan.push((plan.last().unwrap().0 + after, (rate * factor).max(1.0).round()));
        }
        // What a caller passes at once: it is noted when all of it passed.
        let piece = (plan.iter().fold(rate, |low, (_, rate)| low.min(*rate)) / 25.0).max(1.0) as u64;
        let end = plan.last().unwrap().0 + 25.0;
        let log = Log::default();
        run(async {
            let (pace, begun) = (Arc::new(Pace::default()), Instant::now());
            pace.set(Some(plan[0].1));
            let mut flows = flows(&pace, &sizes, piece, begun, &log, end);
            for (at, rate) in &plan[1..] {
                sleep(Duration::from_secs_f64(*at).saturating_sub(begun.elapsed())).await;
                pace.set(Some(*rate));
            }
            sleep(Duration::from_secs_f64(end).saturating_sub(begun.elapsed())).await;
            flows.shutdown().await;
        });
        let log = log.lock().unwrap();
        // Ten at 1 a second is ten, not ten and a half: one more than the whole number is the next one's.
        let allowed = |from: f64, until: f64| (allowance(&plan, from, until) * 1.05).max(1.0) + 1.0;
        prop_assert!(worst(&log, allowed) <= 1.0, "{}", worst(&log, allowed));
        let passed: u64 = log.iter().map(|(_, n)| n).sum();
        let meant = allowance(&plan, 0.0, end);
        prop_assert!(passed as f64 >= meant * 0.9 - piece as f64 * sizes.len() as f64, "{passed} of {meant}");
    }

    #[test]
    fn requests_are_never_more_than_the_limit_in_whole_seconds(rate in 1u64..500, flows_n in 1usize..50) {
        let log = Log::default();
        run(async {
            let (pace, begun) = (Arc::new(Pace::default()), Instant::now());
            pace.set(Some(rate as f64));
            let mut flows = flows(&pace, &vec![1; flows_n], 1, begun, &log, 40.0);
            while flows.join_next().await.is_some() {}
        });
        let log = log.lock().unwrap();
        let worst = worst(&log, |from, until| (until - from) * rate as f64);
        prop_assert!(worst <= 1.05, "{worst}");
        prop_assert!(log.len() as f64 >= 0.9 * 40.0 * rate as f64, "{}", log.len());
    }
}

#[test]
fn nothing_passes_a_closed_limit_until_it_is_opened() {
    run(async {
        let pace = Arc::new(Pace::default());
        pace.set(Some(0.0));
        let waiting = tokio::spawn({
            let pace = pace.clone();
            async move { pace.pass(Turn::of(1), 1).await }
        });
        sleep(Duration::from_secs(30)).await;
        assert!(!waiting.is_finished());
        pace.set(None);
        waiting.await.unwrap();
        let begun = Instant::now();
        pace.pass(Turn::of(1 << 40), 1 << 40).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "no limit, no wait");
    });
}

#[test]
fn a_share_below_one_a_second_is_kept() {
    run(async {
        let pace = Pace::default();
        pace.set(Some(0.25));
        let begun = Instant::now();
        for _ in 0..5 {
            pace.pass(Turn::of(1), 1).await;
        }
        let took = begun.elapsed().as_secs_f64();
        assert!((19.9..20.2).contains(&took), "five at one in four seconds, from an empty bucket: {took}");
    });
}

#[test]
fn what_began_first_ends_first() {
    run(async {
        let pace = Arc::new(Pace::default());
        pace.set(Some(1000.0));
        let (begun, ends) = (Instant::now(), Log::default());
        let mut bodies = JoinSet::new();
        for body in 0..4 {
            let (pace, ends, mut turn) = (pace.clone(), ends.clone(), Turn::of(5000));
            bodies.spawn(async move {
                for _ in 0..50 {
                    pace.pass(turn, 100).await;
                    turn.left -= 100;
                    // The next piece is asked for a little later.
                    sleep(Duration::from_millis(1)).await;
                }
                ends.lock().unwrap().push((begun.elapsed().as_secs_f64(), body));
            });
        }
        while bodies.join_next().await.is_some() {}
        let ends = ends.lock().unwrap().clone();
        for (body, (at, which)) in ends.iter().enumerate() {
            assert_eq!(*which, body as u64, "{ends:?}");
            assert!(*at >= 4.9 * (body + 1) as f64, "{ends:?}");
        }
    });
}

#[test]
fn small_ones_do_not_queue_up_behind_a_large_one_nor_starve_it() {
    run(async {
        let pace = Arc::new(Pace::default());
        pace.set(Some(1000.0));
        let large = tokio::spawn({
            let pace = pace.clone();
            async move { pace.pass(Turn::of(10_000), 10_000).await }
        });
        sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        pace.pass(Turn::of(10), 10).await;
        assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
        // Small ones as many as pass.
        let mut small = JoinSet::new();
        for _ in 0..20 {
            let pace = pace.clone();
            small.spawn(async move {
                loop {
                    pace.pass(Turn::of(50), 50).await;
                }
            });
        }
        large.await.unwrap();
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "half of the rate is its own: {:?}",
            begun.elapsed()
        );
        small.shutdown().await;
    });
}
