//! Tasks that wait: out of the queue, durable, back when they are due.

use proto::TaskState;
use proto::v1::settlement::Result as Ending;
use proto::v1::{Grant, Outcome};

use super::*;
use crate::master::Master;
use crate::testing::{Bench, moved, record};

const MINUTE: i64 = 60_000;

#[test]
fn the_time_between_two_looks_grows_and_has_an_end() {
    let pause = |waited: i64| next_look(1_000_000, 1_000_000 + waited) - 1_000_000 - waited;
    assert_eq!(pause(0), MINUTE);
    assert_eq!(pause(10 * MINUTE), 5 * MINUTE);
    assert_eq!(pause(48 * 60 * MINUTE), 60 * MINUTE);
    // A restore of twelve hours is looked at fewer than thirty times.
    let (mut now, mut looks) = (0, 0);
    while now < 12 * 60 * MINUTE {
        now = next_look(0, now);
        looks += 1;
    }
    assert!(looks < 30, "{looks}");
}

fn task(bench: &Bench) -> TaskRecord {
    let id = bench.master().book().job("jobs").unwrap().task((1, 1));
    bench.master().task(&id).unwrap()
}

fn sum(master: &Master) -> Sum {
    master.book().job("jobs").unwrap().waits.sum()
}

/// As if so much time had passed.
fn later(bench: &Bench, ms: i64) {
    wake(&mut bench.master().book(), crate::now_ms() + ms);
}

/// Two objects moved, one failed, two wait.
fn parked(bench: &Bench) -> Grant {
    bench.job("jobs", 1, 5);
    let grant = bench.fetch_one();
    let failed = record(2, Outcome::Failed);
    bench.record(&grant, vec![moved(0), moved(1), failed]).unwrap();
    bench.settle(&grant, Ending::Deferred).unwrap();
    grant
}

#[test]
fn a_task_that_waits_is_given_to_nobody_until_it_is_due() {
    let mut bench = Bench::new();
    parked(&bench);
    for restarted in [false, true] {
        if restarted {
            bench.restart();
        }
        assert_eq!(bench.fetch(10).len(), 0);
        let waits = sum(bench.master());
        assert_eq!(waits.objects, 2);
        assert!(waits.since_ms > 0 && waits.next_ms >= waits.since_ms + MINUTE);
        let stat = bench.master().stat("jobs").unwrap();
        assert_eq!((stat.state.as_str(), stat.tasks_pending, stat.objects_waiting), ("running", 1, 2));
    }
    assert!(bench.master().next_wake().unwrap() <= Duration::from_millis(MINUTE as u64));
    later(&bench, MINUTE - 10_000);
    assert_eq!(bench.fetch(10).len(), 0);
    later(&bench, MINUTE + 10_000);
    let again = bench.fetch(10);
    assert_eq!(again.len(), 1);
    // What arrived and what failed is not looked at again; what waits is.
    assert_eq!(again[0].recorded, [0b00111]);
    assert!(!again[0].retried);
}

#[test]
fn what_waits_keeps_its_begin_over_looks_losses_and_restarts_and_ends_with_the_task() {
    let mut bench = Bench::new();
    parked(&bench);
    let since = task(&bench).waiting_since_ms;
    later(&bench, 2 * MINUTE);
    let lost = bench.fetch_one();
    assert_eq!(sum(bench.master()), Sum { objects: 2, since_ms: since, next_ms: 0 });
    // Its holder is lost: somebody else looks at once.
    bench.master().release(bench.session, &[lost.task.clone().unwrap()]).unwrap();
    bench.restart();
    let again = bench.fetch_one();
    bench.record(&again, vec![moved(3)]).unwrap();
    bench.settle(&again, Ending::Deferred).unwrap();
    assert_eq!((sum(bench.master()).objects, sum(bench.master()).since_ms), (1, since));
    assert!(bench.settle(&again, Ending::Deferred).is_err(), "it is nobody's any more");
    later(&bench, 2 * MINUTE);
    let last = bench.fetch_one();
    bench.record(&last, vec![moved(4)]).unwrap();
    // Nothing waits any more, whatever the holder thinks.
    bench.settle(&last, Ending::Deferred).unwrap();
    assert_eq!(sum(bench.master()), Sum::default());
    assert_eq!(task(&bench).state(), TaskState::Failed);
    let stat = bench.master().stat("jobs").unwrap();
    assert_eq!((stat.state.as_str(), stat.objects_failed, stat.objects_waiting), ("failed", 1, 0));
    bench.restart();
    assert_eq!(sum(bench.master()), Sum::default());
}

#[test]
fn retry_looks_now_pause_holds_and_clean_forgets() {
    let bench = Bench::new();
    parked(&bench);
    bench.master().pause("jobs", "").unwrap();
    later(&bench, 2 * MINUTE);
    assert_eq!(bench.fetch(10).len(), 0, "it is paused");
    bench.master().resume("jobs").unwrap();
    let again = bench.fetch_one();
    bench.settle(&again, Ending::Deferred).unwrap();
    assert_eq!(bench.fetch(10).len(), 0);
    assert_eq!(bench.master().retry("jobs").unwrap().tasks, 0);
    let again = bench.fetch_one();
    bench.settle(&again, Ending::Deferred).unwrap();
    bench.master().pause("jobs", "").unwrap();
    bench.master().cancel("jobs", false, false).unwrap();
    assert_eq!(sum(bench.master()), Sum::default());
    later(&bench, 2 * MINUTE);
    assert_eq!(bench.fetch(10).len(), 0);
}

#[test]
fn a_clock_that_is_set_back_does_not_put_off_a_look_for_ever() {
    let bench = Bench::new();
    parked(&bench);
    later(&bench, -10 * LATEST_MS);
    assert_eq!(bench.fetch(10).len(), 1);
}
