use futures::TryStreamExt;
use proto::v1::report_chunk::Part;
use proto::v1::settlement::Result as Ending;
use proto::v1::{Outcome, Upload, UploadProgress};

use super::*;
use crate::testing::{Bench, conf, due, moved, record};

#[test]
fn a_name_is_taken_until_the_job_is_cleaned() {
    let mut bench = Bench::new();
    bench.job("jobs", 1, 1);
    for _ in 0..2 {
        let Err(error) = bench.master().submit(&conf("jobs").to_wire()) else { panic!("taken twice") };
        assert!(matches!(error, MasterError::Exists { .. }));
        assert!(error.to_string().contains("brigade clean jobs"), "{error}");
        bench.restart();
    }
}

#[test]
fn a_job_that_cannot_be_read_or_named_is_refused() {
    let bench = Bench::new();
    assert!(matches!(bench.master().submit(b"name = 1"), Err(MasterError::BadJob(_))));
    assert!(matches!(bench.master().submit(&conf("../x").to_wire()), Err(MasterError::BadJob(_))));
    assert!(bench.master().stat_all().0.is_empty());
}

#[test]
fn the_secrets_of_a_job_do_not_rest_in_clear() {
    let mut bench = Bench::new();
    bench.job("jobs", 1, 1);
    bench.stop();
    let mut files = vec![bench.home().master()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{}", path.display());
        }
    }
    bench.restart();
    assert_eq!(bench.master().conf("jobs").unwrap(), conf("jobs"));
}

#[test]
fn without_the_key_of_its_secrets_a_state_is_refused() {
    let mut bench = Bench::new();
    bench.job("jobs", 1, 1);
    bench.stop();
    std::fs::remove_file(bench.home().secret_key()).unwrap();
    assert!(matches!(bench.open(), Err(MasterError::Damaged { .. })));
}

#[test]
fn a_retry_moves_what_failed_and_nothing_else() {
    let mut bench = Bench::new();
    bench.job("jobs", 2, 3);
    let grant = bench.fetch_one();
    bench.complete(&grant, Outcome::Succeeded);
    let grant = bench.fetch_one();
    bench.record(&grant, vec![moved(0), record(1, Outcome::Failed)]).unwrap();
    bench.record(&grant, vec![moved(2)]).unwrap();
    bench.settle(&grant, Ending::Finished).unwrap();
    let list = bench.home().job("jobs").join("failed_tasks/r1-000002/error.list");
    assert_eq!(std::fs::read_to_string(&list).unwrap(), "o-2-000001\n");
    let stat = bench.stat("jobs");
    assert_eq!((stat.state.as_str(), stat.objects_failed, stat.tasks_failed), ("failed", 1, 1));
    bench.restart();
    let reply = bench.master().retry("jobs").unwrap();
    assert_eq!((reply.tasks, reply.objects), (1, 1));
    for _ in 0..2 {
        let stat = bench.stat("jobs");
        assert_eq!((stat.state.as_str(), stat.objects_failed, stat.objects_succeeded), ("running", 0, 5));
        bench.restart();
    }
    let grant = bench.fetch_one();
    assert_eq!(due(&grant), [1]);
    // What failed before the retry is no record of it.
    assert!(matches!(bench.settle(&grant, Ending::Finished), Err(MasterError::Unfinished { .. })));
    let grant = bench.fetch_one();
    bench.complete(&grant, Outcome::Succeeded);
    let stat = bench.stat("jobs");
    assert_eq!((stat.state.as_str(), stat.objects_succeeded, stat.objects_failed), ("succeeded", 6, 0));
    assert!(!list.exists());
}

#[test]
fn a_retry_that_fails_again_is_a_failure_again() {
    let bench = Bench::new();
    bench.job("jobs", 1, 2);
    bench.complete(&bench.fetch_one(), Outcome::Failed);
    bench.master().retry("jobs").unwrap();
    bench.complete(&bench.fetch_one(), Outcome::Failed);
    let stat = bench.stat("jobs");
    assert_eq!((stat.state.as_str(), stat.objects_failed), ("failed", 2));
    assert_eq!(stat.failures[0].objects, 2);
}

#[test]
fn pausing_lasts_over_a_restart_and_what_is_in_flight_is_kept() {
    let mut bench = Bench::new();
    bench.job("jobs", 2, 2);
    let grant = bench.fetch_one();
    bench.master().pause("jobs", "").unwrap();
    let pulse = proto::v1::PulseRequest { session: bench.session, workers: Vec::new() };
    assert_eq!(bench.master().pulse(pulse).unwrap().stopped_jobs, ["jobs"]);
    bench.record(&grant, vec![moved(0)]).unwrap();
    bench.settle(&grant, Ending::Returned).unwrap();
    bench.restart();
    assert_eq!(bench.state("jobs"), "paused");
    assert!(bench.fetch(1).is_empty());
    bench.master().resume("jobs").unwrap();
    bench.fetch(2).iter().for_each(|grant| bench.complete(grant, Outcome::Succeeded));
    assert_eq!(bench.state("jobs"), "succeeded");
    assert!(bench.master().pause("jobs", "").is_err());
    assert!(bench.master().resume("jobs").is_err());
}

#[test]
fn a_task_that_ends_while_its_job_is_paused_ends_the_job_when_it_is_resumed() {
    let bench = Bench::new();
    bench.job("jobs", 1, 1);
    let grant = bench.fetch_one();
    bench.master().pause("jobs", "").unwrap();
    bench.complete(&grant, Outcome::Skipped);
    assert_eq!(bench.state("jobs"), "paused");
    bench.master().resume("jobs").unwrap();
    assert_eq!(bench.state("jobs"), "succeeded");
}

#[test]
fn a_job_does_not_end_before_its_scan() {
    let bench = Bench::new();
    bench.master().submit(&conf("jobs").to_wire()).unwrap();
    bench.scanned("jobs", 1..=1, 1, false);
    bench.complete(&bench.fetch_one(), Outcome::Succeeded);
    assert_eq!(bench.state("jobs"), "scanning");
    bench.scanned("jobs", 2..=2, 1, true);
    assert_eq!(bench.state("jobs"), "running");
    bench.complete(&bench.fetch_one(), Outcome::Succeeded);
    assert_eq!(bench.state("jobs"), "succeeded");
}

#[test]
fn an_empty_source_is_a_success() {
    let bench = Bench::new();
    bench.master().submit(&conf("jobs").to_wire()).unwrap();
    let state = crate::scan::ledger::ScanState { done: true, ..Default::default() };
    bench.keeper("jobs").keep(&crate::scan::ledger::Commit { tasks: Vec::new(), state }).unwrap();
    assert_eq!(bench.state("jobs"), "succeeded");
}

#[tokio::test]
async fn clean_aborts_uploads_and_leaves_nothing() {
    use storage::Destination;
    let mut bench = Bench::new();
    bench.job("jobs", 1, 2);
    bench.job("other", 1, 2);
    let begun =
        bench.stores.to.begin(&proto::ObjectKey::from("k"), &storage::PutOptions::default()).await.unwrap();
    let grant = bench.fetch(2).into_iter().find(|grant| grant.task.as_ref().unwrap().job == "jobs").unwrap();
    let upload = Upload { index: 0, key: b"k".to_vec(), upload_id: begun.id, ..Upload::default() };
    let progress = UploadProgress { task: grant.task.clone(), upload: Some(upload) };
    bench.master().save_upload(progress).unwrap();
    bench.record(&grant, vec![moved(1)]).unwrap();
    let refused = bench.master().clean("jobs", false, false).await;
    assert!(matches!(refused, Err(MasterError::WrongState { .. })), "{refused:?}");
    let reply = bench.master().clean("jobs", false, true).await.unwrap();
    assert_eq!((reply.uploads_aborted, reply.uploads_left), (1, 0));
    assert!(bench.stores.to.uploads().is_empty());
    assert!(!bench.home().job("jobs").exists());
    assert!(bench.record(&grant, vec![moved(0)]).is_err());
    assert!(bench.master().stat("jobs").is_err());
    // The name is free, and an old holder cannot reach the new job.
    bench.job("jobs", 1, 2);
    assert!(bench.record(&grant, vec![moved(0)]).is_err());
    bench.restart();
    assert_eq!(bench.state("other"), "running");
}

#[tokio::test]
async fn a_clean_that_was_cut_short_is_finished_at_the_next_start() {
    let mut bench = Bench::new();
    bench.job("jobs", 2, 2);
    bench.master().cancel("jobs", false, true).unwrap();
    bench.restart();
    assert_eq!(bench.state("jobs"), "cancelled");
    assert!(bench.fetch(1).is_empty());
    bench.master().clean_rest().await;
    assert!(bench.master().stat("jobs").is_err());
    assert!(!bench.home().job("jobs").exists());
    bench.restart();
}

#[tokio::test]
async fn what_cannot_be_aborted_is_counted_and_told() {
    use storage::ErrorKind;
    let bench = Bench::new();
    bench.job("jobs", 1, 3);
    let grant = bench.fetch_one();
    for index in 0..3 {
        let upload = Upload { index, key: b"k".to_vec(), upload_id: "u".into(), ..Upload::default() };
        bench
            .master()
            .save_upload(UploadProgress { task: grant.task.clone(), upload: Some(upload) })
            .unwrap();
    }
    bench.stores.to.fail_next(storage::Op::Abort, None, 9, ErrorKind::BadCredentials);
    let reply = bench.master().clean("jobs", false, true).await.unwrap();
    assert_eq!((reply.uploads_aborted, reply.uploads_left, reply.problems.len()), (0, 3, 1));
}

#[tokio::test]
async fn the_report_has_the_last_record_of_each_object_and_adds_up() {
    let bench = Bench::new();
    bench.job("jobs", 2, 3);
    let grant = bench.fetch_one();
    bench.complete(&grant, Outcome::Succeeded);
    bench.complete(&bench.fetch_one(), Outcome::Failed);
    bench.master().retry("jobs").unwrap();
    let grant = bench.fetch_one();
    bench.record(&grant, vec![moved(0), moved(1), record(2, Outcome::Failed)]).unwrap();
    bench.settle(&grant, Ending::Finished).unwrap();
    use crate::report::Only;
    let read = |only| {
        crate::report::stream(bench.master().clone(), "jobs".into(), only)
            .map_ok(|chunk| chunk.part.unwrap())
            .try_collect::<Vec<_>>()
    };
    let records = |parts: &[Part]| -> Vec<(u32, u32, i32)> {
        let of = |part: &Part| match part {
            Part::Records(some) => {
                some.records.iter().map(|record| (some.task, record.index, record.outcome)).collect()
            }
            _ => Vec::new(),
        };
        parts.iter().flat_map(of).collect()
    };
    let all = read(Only::Any).await.unwrap();
    assert_eq!(records(&all), [(1, 0, 1), (1, 1, 1), (1, 2, 1), (2, 0, 1), (2, 1, 1), (2, 2, 3)]);
    let Some(Part::Head(head)) = all.first() else { panic!("no head") };
    let stat = head.stat.clone().unwrap();
    assert_eq!(stat.objects_succeeded + stat.objects_failed, stat.scan_objects);
    assert!(matches!(all.last(), Some(Part::Tail(tail)) if tail.records == 6));
    assert_eq!(records(&read(Only::Failed).await.unwrap()), [(2, 2, 3)]);
    // Without one of the files there is no report, rather than one that looks whole.
    std::fs::remove_file(crate::audit::path(&bench.master().home.job("jobs"), "r1-000001")).unwrap();
    assert_eq!(read(Only::Any).await.unwrap_err().code(), tonic::Code::DataLoss);
}

#[test]
fn an_incremental_job_waits_and_begins_the_next_round() {
    let mut bench = Bench::new();
    let job = JobConf { incremental: true, since: 77, ..conf("jobs") };
    bench.master().submit(&job.to_wire()).unwrap();
    bench.scanned("jobs", 1..=1, 2, true);
    let first = bench.master().job_config("jobs").unwrap();
    assert_eq!(JobConf::from_wire(&first.config).unwrap(), job);
    bench.complete(&bench.fetch_one(), Outcome::Succeeded);
    assert_eq!(bench.state("jobs"), "waiting");
    bench.restart();
    bench.master().begin_round("jobs").unwrap();
    bench.restart();
    assert_eq!((bench.state("jobs").as_str(), bench.stat("jobs").round), ("scanning", 2));
    let second = bench.master().job_config("jobs").unwrap();
    assert!(second.revision > first.revision);
    let conf = JobConf::from_wire(&second.config).unwrap();
    assert_eq!((conf.since, conf.transfer.skip_existing), (0, true));
    bench.scanned("jobs", 1..=1, 3, true);
    bench.complete(&bench.fetch_one(), Outcome::Skipped);
    let stat = bench.stat("jobs");
    assert_eq!((stat.state.as_str(), stat.objects_succeeded, stat.objects_skipped), ("waiting", 2, 3));
}

#[test]
fn a_task_is_not_cut_twice() {
    let bench = Bench::new();
    bench.master().submit(&conf("jobs").to_wire()).unwrap();
    bench.scanned("jobs", 1..=1, 2, false);
    let again = crate::scan::ledger::Commit {
        tasks: vec![crate::testing::new_task(1, 2)],
        state: crate::scan::ledger::ScanState::default(),
    };
    assert!(bench.keeper("jobs").keep(&again).is_err());
    assert_eq!(bench.stat("jobs").scan_objects, 2);
}

#[test]
fn fresh_keys_are_taken_over_and_another_job_is_not() {
    let mut bench = Bench::new();
    bench.job("jobs", 1, 1);
    let before = bench.master().conf("jobs").unwrap();
    let revision = bench.master().book().job("jobs").unwrap().record.revision;
    let mut fresh = before.clone();
    fresh.source.secret_key = conf::Secret::Literal("fresh".into());
    let mut other = fresh.clone();
    other.destination.bucket = "elsewhere".into();
    let reply = bench.master().refresh(&other.to_wire(), false).unwrap();
    assert_eq!(reply.fixed, ["destination.bucket"]);
    assert_eq!(bench.master().conf("jobs").unwrap(), before, "all or nothing");

    let reply = bench.master().refresh(&fresh.to_wire(), true).unwrap();
    assert_eq!(reply.renewable, ["source.secret_key"]);
    assert_eq!(bench.master().conf("jobs").unwrap(), before, "only compared");
    bench.master().refresh(&fresh.to_wire(), false).unwrap();
    bench.restart();
    assert_eq!(bench.master().conf("jobs").unwrap(), fresh);
    assert!(bench.fetch_one().job_revision > revision, "workers open their ends anew");
}

#[test]
fn a_limit_that_was_set_stays_when_the_file_says_nothing_new() {
    let bench = Bench::new();
    bench.job("jobs", 1, 1);
    let limit = LimitRequest { job: "jobs".into(), bytes_per_s: Some(7), ..LimitRequest::default() };
    bench.master().limit(&limit).unwrap();
    let mut fresh = bench.master().conf("jobs").unwrap();
    fresh.transfer.requests_per_s = 9;
    bench.master().refresh(&fresh.to_wire(), false).unwrap();
    let limits = bench.master().stat("jobs").unwrap().limits.unwrap();
    assert_eq!((limits.bytes_per_s, limits.requests_per_s), (7, 9));
}
