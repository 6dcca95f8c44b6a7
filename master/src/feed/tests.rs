use std::time::Duration;

use proptest::prelude::*;
use proto::v1::settlement::Result as Ending;
use proto::v1::{Outcome, Upload, UploadProgress};

use super::*;
use crate::testing::{Bench, conf, due, entries, moved, record};

#[test]
fn a_job_goes_out_task_by_task_and_ends_well() {
    let bench = Bench::new();
    bench.job("jobs", 3, 10);
    for _ in 0..3 {
        let grant = bench.fetch_one();
        assert_eq!((grant.attempt, grant.objects, grant.bytes), (1, 10, 100));
        assert_eq!(entries(&bench, &grant).len(), 10);
        bench.complete(&grant, Outcome::Succeeded);
    }
    assert!(bench.fetch(1).is_empty());
    let stat = bench.stat("jobs");
    assert_eq!((stat.state.as_str(), stat.tasks_succeeded, stat.objects_succeeded), ("succeeded", 3, 30));
    assert!(stat.finished_at_ms > 0);
    assert_eq!(stat.proofs[0].objects, 30);
}

#[test]
fn a_fence_is_never_given_twice_and_an_old_one_is_refused_everywhere() {
    let mut bench = Bench::new();
    bench.job("jobs", 1, 4);
    let first = bench.fetch_one();
    bench.record(&first, vec![moved(0)]).unwrap();
    let released = [first.task.clone().unwrap()];
    bench.master().release(bench.session, &released).unwrap();
    let refused = |bench: &Bench| {
        let late = bench.record(&first, vec![moved(1)]);
        assert!(matches!(late, Err(MasterError::LeaseLost { .. })), "{late:?}");
        assert!(bench.settle(&first, Ending::Finished).is_err());
        let upload = Some(Upload { index: 1, ..Upload::default() });
        let progress = UploadProgress { task: first.task.clone(), upload };
        assert!(bench.master().save_upload(progress).is_err());
        assert!(bench.master().manifest(first.task.as_ref().unwrap()).is_err());
    };
    refused(&bench);
    let second = bench.fetch_one();
    assert_eq!((second.attempt, due(&second)), (2, vec![1, 2, 3]));
    assert!(second.task.as_ref().unwrap().fence > first.task.as_ref().unwrap().fence);
    refused(&bench);
    bench.restart();
    refused(&bench);
    bench.complete(&second, Outcome::Succeeded);
    refused(&bench);
    assert_eq!(bench.state("jobs"), "succeeded");
}

#[test]
fn tasks_that_are_out_stay_out_over_a_restart() {
    let mut bench = Bench::new();
    bench.job("jobs", 2, 4);
    let grant = bench.fetch_one();
    bench.record(&grant, vec![moved(2)]).unwrap();
    bench.restart();
    let outstanding = bench.attach();
    assert_eq!(outstanding.len(), 1);
    assert_eq!(outstanding[0].task, grant.task);
    assert_eq!(due(&outstanding[0]), [0, 1, 3]);
    assert_eq!(bench.stat("jobs").objects_succeeded, 1);
    bench.complete(&outstanding[0], Outcome::Succeeded);
    assert_eq!(bench.stat("jobs").objects_succeeded, 4);
}

#[test]
fn an_older_session_is_refused() {
    let mut bench = Bench::new();
    bench.job("jobs", 1, 1);
    let old = bench.session;
    bench.attach();
    assert!(matches!(bench.master().dispatch(old, 1), Err(MasterError::OldSession)));
    assert!(matches!(bench.master().release(old, &[]), Err(MasterError::OldSession)));
    bench.restart();
    assert!(bench.session > old + 1, "a session is not given again after a restart");
}

#[test]
fn a_task_that_is_not_complete_cannot_be_settled_as_finished() {
    let bench = Bench::new();
    bench.job("jobs", 1, 3);
    let grant = bench.fetch_one();
    bench.record(&grant, vec![moved(0), record(2, Outcome::Failed)]).unwrap();
    let settled = bench.settle(&grant, Ending::Finished);
    assert!(matches!(settled, Err(MasterError::Unfinished { missing: 1, .. })), "{settled:?}");
    let stat = bench.stat("jobs");
    assert_eq!((stat.tasks_pending, stat.tasks_dispatched, stat.state.as_str()), (1, 0, "running"));
    let again = bench.fetch_one();
    assert_eq!(due(&again), [1, 2]);
    bench.complete(&again, Outcome::Succeeded);
    assert_eq!(bench.stat("jobs").objects_failed, 0);
    assert_eq!(bench.state("jobs"), "succeeded");
}

#[test]
fn higher_priority_goes_first_and_equals_share() {
    let bench = Bench::new();
    bench.job("job-a", 4, 1);
    bench.job("job-b", 4, 1);
    let first = bench.fetch(4);
    let of_a = first.iter().filter(|grant| grant.task.as_ref().unwrap().job == "job-a").count();
    assert_eq!(of_a, 2);
    let request = proto::v1::LimitRequest { job: "job-b".into(), priority: Some(5), ..Default::default() };
    bench.master().limit(&request).unwrap();
    assert!(bench.fetch(2).iter().all(|grant| grant.task.as_ref().unwrap().job == "job-b"));
}

#[test]
fn a_suspended_task_pauses_its_job_with_the_reason() {
    let mut bench = Bench::new();
    bench.job("jobs", 2, 2);
    let grant = bench.fetch_one();
    bench.record(&grant, vec![moved(0)]).unwrap();
    bench.settle(&grant, Ending::Suspended).unwrap();
    for _ in 0..2 {
        let stat = bench.stat("jobs");
        assert_eq!((stat.state.as_str(), stat.reason.as_str()), ("paused", "the test"));
        assert_eq!((stat.tasks_pending, stat.objects_succeeded, stat.objects_failed), (2, 1, 0));
        assert!(bench.fetch(1).is_empty());
        bench.restart();
    }
    bench.master().resume("jobs").unwrap();
    assert_eq!(due(&bench.fetch_one()), [1]);
}

#[test]
fn an_upload_is_given_to_the_next_holder_and_forgotten_when_the_object_arrived() {
    let mut bench = Bench::new();
    bench.job("jobs", 1, 2);
    let grant = bench.fetch_one();
    let upload = Upload { index: 1, upload_id: "u".into(), key: b"k".to_vec(), ..Upload::default() };
    let progress = UploadProgress { task: grant.task.clone(), upload: Some(upload.clone()) };
    bench.master().save_upload(progress).unwrap();
    bench.restart();
    bench.settle(&grant, Ending::Returned).unwrap();
    let next = bench.fetch_one();
    assert_eq!(next.uploads, [upload]);
    bench.record(&next, vec![moved(1)]).unwrap();
    assert!(
        bench
            .master()
            .uploads_of(&proto::TaskId::of(next.task.as_ref().unwrap()).unwrap())
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_damaged_audit_record_stops_its_job_and_is_named() {
    let mut bench = Bench::new();
    bench.job("jobs", 1, 9);
    let grant = bench.fetch_one();
    bench.record(&grant, vec![moved(0)]).unwrap();
    bench.record(&grant, vec![moved(1)]).unwrap();
    bench.settle(&grant, Ending::Returned).unwrap();
    bench.stop();
    let path = bench.home().job("jobs").join("audit/r1-000001.bra");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[15] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    bench.restart();
    assert!(bench.fetch(1).is_empty());
    let stat = bench.stat("jobs");
    assert_eq!((stat.state.as_str(), stat.tasks_pending), ("paused", 1));
    assert!(stat.reason.contains("r1-000001.bra"), "{}", stat.reason);
}

#[test]
fn records_of_other_objects_than_the_manifests_do_not_end_a_task() {
    let bench = Bench::new();
    bench.job("jobs", 1, 2);
    let grant = bench.fetch_one();
    let wrong = |index| proto::v1::AuditRecord { key: b"other".to_vec(), ..moved(index) };
    let records = vec![wrong(0), wrong(1)];
    bench.master().record(proto::v1::RecordBatch { task: grant.task.clone(), records }).unwrap();
    assert!(bench.settle(&grant, Ending::Finished).is_err());
    let stat = bench.stat("jobs");
    assert_eq!((stat.state.as_str(), stat.tasks_pending), ("paused", 1));
}

#[tokio::test]
async fn a_fetch_waits_for_tasks_and_the_scan_hears_of_it() {
    let bench = Bench::new();
    bench.master().submit(&conf("jobs").to_wire()).unwrap();
    let (master, session) = (bench.master().clone(), bench.session);
    let fetch = tokio::spawn(async move { master.fetch(session, 2, Duration::from_secs(60)).await });
    while !bench.master().is_idle() {
        tokio::task::yield_now().await;
    }
    bench.scanned("jobs", 1..=1, 3, false);
    assert_eq!(fetch.await.unwrap().unwrap().len(), 1);
    assert!(!bench.master().is_idle());
}

#[derive(Debug, Clone)]
enum Step {
    Fetch,
    Record { which: usize, from: u32, many: u32, failed: bool },
    Stale { many: u32 },
    Release { which: usize },
    Return { which: usize },
    Finish { which: usize },
    Retry,
    Pause,
    Resume,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0usize..4;
    prop_oneof![
        3 => Just(Step::Fetch),
        6 => (which.clone(), 0u32..6, 1u32..6, prop::bool::weighted(0.3))
            .prop_map(|(which, from, many, failed)| Step::Record { which, from, many, failed }),
        1 => (1u32..4).prop_map(|many| Step::Stale { many }),
        1 => which.clone().prop_map(|which| Step::Release { which }),
        1 => which.clone().prop_map(|which| Step::Return { which }),
        3 => which.prop_map(|which| Step::Finish { which }),
        1 => Just(Step::Retry),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => Just(Step::Restart),
    ]
}

const TASKS: u32 = 3;
const OBJECTS: u32 = 6;

fn play(bench: &mut Bench, step: Step, out: &mut Vec<Grant>, old: &mut Vec<Grant>) {
    let take = |out: &mut Vec<Grant>, which: usize| (which < out.len()).then(|| out.remove(which));
    match step {
        Step::Fetch => out.extend(bench.fetch(1)),
        Step::Record { which, from, many, failed } => {
            let Some(grant) = out.get(which) else { return };
            let outcome = if failed { Outcome::Failed } else { Outcome::Succeeded };
            let records = (from..OBJECTS.min(from + many)).map(|index| record(index, outcome)).collect();
            bench.record(grant, records).unwrap();
        }
        Step::Stale { many } => {
            let records: Vec<_> = (0..many).map(moved).collect();
            assert!(old.iter().all(|grant| bench.record(grant, records.clone()).is_err()));
        }
        Step::Release { which } => {
            let Some(grant) = take(out, which) else { return };
            bench.master().release(bench.session, &[grant.task.clone().unwrap()]).unwrap();
            old.push(grant);
        }
        Step::Return { which } => {
            let Some(grant) = take(out, which) else { return };
            bench.settle(&grant, Ending::Returned).unwrap();
            old.push(grant);
        }
        Step::Finish { which } => {
            let Some(grant) = take(out, which) else { return };
            let _ = bench.settle(&grant, Ending::Finished);
            old.push(grant);
        }
        Step::Retry => drop(bench.master().retry("jobs").unwrap()),
        Step::Pause => drop(bench.master().pause("jobs", "")),
        Step::Resume => drop(bench.master().resume("jobs")),
        Step::Restart => bench.restart(),
    }
}

/// Whatever happened, the counters fit the files, and the tasks add up.
fn must_fit(bench: &Bench) {
    let stat = bench.stat("jobs");
    let arrivals = bench.arrivals("jobs");
    assert!(arrivals.values().all(|times| *times == 1), "doubled: {arrivals:?}");
    assert_eq!(stat.objects_succeeded, arrivals.len() as u64);
    assert!(stat.objects_succeeded + stat.objects_failed <= u64::from(TASKS * OBJECTS));
    let tasks = stat.tasks_pending + stat.tasks_dispatched + stat.tasks_succeeded + stat.tasks_failed;
    assert_eq!(tasks, u64::from(TASKS));
    assert_eq!(stat.failures.iter().map(|cause| cause.objects).sum::<u64>(), stat.objects_failed);
    assert_eq!(stat.proofs.iter().map(|proof| proof.objects).sum::<u64>(), stat.objects_succeeded);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn no_sequence_of_events_loses_or_doubles_an_object(steps in prop::collection::vec(step(), 1..40)) {
        let mut bench = Bench::new();
        bench.job("jobs", TASKS, OBJECTS);
        let (mut out, mut old) = (Vec::new(), Vec::new());
        for step in steps {
            play(&mut bench, step, &mut out, &mut old);
            must_fit(&bench);
        }
        // However it went, the rest can be done.
        bench.restart();
        bench.master().retry("jobs").unwrap();
        let _ = bench.master().resume("jobs");
        for grant in bench.attach() {
            bench.complete(&grant, Outcome::Succeeded);
        }
        loop {
            let grants = bench.fetch(8);
            if grants.is_empty() {
                bench.master().retry("jobs").unwrap();
                if bench.stat("jobs").tasks_pending == 0 {
                    break;
                }
            }
            grants.iter().for_each(|grant| bench.complete(grant, Outcome::Succeeded));
        }
        let stat = bench.stat("jobs");
        prop_assert_eq!(stat.state, "succeeded");
        prop_assert_eq!(stat.objects_succeeded, u64::from(TASKS * OBJECTS));
        must_fit(&bench);
    }
}
