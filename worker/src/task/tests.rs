//! A task against a fake mover and a fake master.

use std::sync::Mutex;

use proto::ObjectKey;
use tonic::Status;

use super::*;

#[derive(Default)]
struct Master {
    records: Mutex<Vec<v1::AuditRecord>>,
    settled: Mutex<Vec<v1::Settlement>>,
    /// Answers before the good ones.
    answers: Mutex<Vec<Status>>,
}

#[async_trait]
impl Reports for Master {
    async fn record(&self, batch: v1::RecordBatch) -> Result<(), Status> {
        if let Some(status) = self.answers.lock().unwrap().pop() {
            return Err(status);
        }
        self.records.lock().unwrap().extend(batch.records);
        Ok(())
    }

    async fn save_upload(&self, _: v1::UploadProgress) -> Result<(), Status> {
        Ok(())
    }

    async fn settle(&self, settlement: v1::Settlement) -> Result<(), Status> {
        self.settled.lock().unwrap().push(settlement);
        Ok(())
    }
}

type Behaviour = fn(u32, &CancellationToken) -> Moved;

struct Fake(Behaviour, CancellationToken);

#[async_trait]
impl MoveObject for Fake {
    async fn move_object(
        &self,
        index: u32,
        entry: &Entry,
        _: Option<v1::Upload>,
        _: &dyn SaveUpload,
    ) -> Moved {
        tokio::task::yield_now().await;
        match (self.0)(index, &self.1) {
            Moved::Recorded(mut record) => {
                record.index = index;
                record.key = entry.key.as_bytes().to_vec();
                Moved::Recorded(record)
            }
            other => other,
        }
    }

    fn concurrency(&self) -> usize {
        7
    }
}

fn good(_: u32, _: &CancellationToken) -> Moved {
    Moved::Recorded(Box::default())
}

fn task(master: &Arc<Master>, behaviour: Behaviour) -> Task {
    let stop = CancellationToken::new();
    let entry = |i: u32| Entry { key: ObjectKey::new(format!("k{i}")), ..Entry::default() };
    Task {
        task: v1::TaskRef { job: "job1".into(), round: 1, number: 1, fence: 1 },
        worker: "w".into(),
        entries: Arc::new((0..2_500).map(entry).collect()),
        recorded: Vec::new(),
        uploads: Vec::new(),
        mover: Arc::new(Fake(behaviour, stop.clone())),
        reports: master.clone(),
        stop,
        killed: CancellationToken::new(),
        left: Arc::new(AtomicUsize::new(2_500)),
        hungry: Arc::default(),
    }
}

fn indexes(master: &Master) -> Vec<u32> {
    let mut all: Vec<u32> = master.records.lock().unwrap().iter().map(|record| record.index).collect();
    all.sort_unstable();
    all
}

fn results(master: &Master) -> Vec<Settled> {
    master.settled.lock().unwrap().iter().map(|settled| settled.result()).collect()
}

#[tokio::test(start_paused = true)]
async fn every_entry_is_recorded_once_and_then_the_task_is_settled() {
    let master = Arc::<Master>::default();
    run(task(&master, good)).await;
    assert_eq!(indexes(&master), (0..2_500).collect::<Vec<_>>());
    assert_eq!(results(&master), [Settled::Finished]);
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_is_not_moved_again() {
    let master = Arc::<Master>::default();
    let mut task = task(&master, good);
    task.recorded = vec![0b0000_0101, 0xff];
    run(task).await;
    let left: Vec<u32> = (0..2_500).filter(|i| ![0, 2].contains(i) && !(8..16).contains(i)).collect();
    assert_eq!(indexes(&master), left);
}

#[tokio::test(start_paused = true)]
async fn a_master_that_is_away_delays_and_loses_nothing() {
    let master = Arc::<Master>::default();
    *master.answers.lock().unwrap() = vec![Status::unavailable("away"); 5];
    run(task(&master, good)).await;
    assert_eq!(indexes(&master).len(), 2_500);
    assert_eq!(results(&master), [Settled::Finished]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_report_drops_the_task_without_settling() {
    let master = Arc::<Master>::default();
    *master.answers.lock().unwrap() = vec![Status::failed_precondition("fenced")];
    run(task(&master, good)).await;
    assert!(results(&master).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_is_in_flight_records_it_and_gives_the_rest_back() {
    let master = Arc::<Master>::default();
    run(task(&master, |index, stop| {
        if index == 100 {
            stop.cancel();
        }
        good(index, stop)
    }))
    .await;
    let done = indexes(&master);
    assert!(done.len() >= 101 && done.len() < 120, "{}", done.len());
    assert_eq!(results(&master), [Settled::Returned]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_record_and_no_lost_object() {
    let master = Arc::<Master>::default();
    run(task(&master, |index, stop| if index == 5 { panic!("a bug") } else { good(index, stop) })).await;
    assert_eq!(indexes(&master).len(), 2_500);
    let records = master.records.lock().unwrap();
    let failed: Vec<_> = records.iter().filter(|record| !record.code.is_empty()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].index, failed[0].code.as_str()), (5, "INTERNAL"));
}

#[tokio::test(start_paused = true)]
async fn a_suspension_is_settled_with_its_reason_after_the_records_before_it() {
    let master = Arc::<Master>::default();
    run(task(&master, |index, stop| {
        if index == 50 { Moved::Suspend { reason: "the bucket is gone".into() } } else { good(index, stop) }
    }))
    .await;
    let settled = master.settled.lock().unwrap();
    assert_eq!(settled[0].result(), Settled::Suspended);
    assert_eq!(settled[0].reason, "the bucket is gone");
}

#[tokio::test(start_paused = true)]
async fn while_the_master_is_away_objects_wait_instead_of_piling_up() {
    let master = Arc::<Master>::default();
    *master.answers.lock().unwrap() = vec![Status::unavailable("away"); 100_000];
    let mut task = task(&master, good);
    let entry = |i: u32| Entry { key: ObjectKey::new(format!("k{i}")), ..Entry::default() };
    task.entries = Arc::new((0..50_000).map(entry).collect());
    task.left = Arc::new(AtomicUsize::new(50_000));
    let (left, killed) = (task.left.clone(), task.killed.clone());
    let run = tokio::spawn(run(task));
    tokio::time::sleep(Duration::from_secs(600)).await;
    let ended = 50_000 - left.load(Ordering::Relaxed);
    assert!(ended < 6_000, "{ended} records are held in memory");
    killed.cancel();
    assert_eq!(run.await.unwrap(), None);
    assert!(indexes(&master).is_empty() && results(&master).is_empty());
}

/// Moves that end only when they are told to, and count those that still run.
struct Slow {
    running: Arc<AtomicUsize>,
    end: CancellationToken,
    started: Arc<Notify>,
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl MoveObject for Slow {
    async fn move_object(&self, index: u32, _: &Entry, _: Option<v1::Upload>, _: &dyn SaveUpload) -> Moved {
        self.running.fetch_add(1, Ordering::Relaxed);
        let _running = Running(self.running.clone());
        self.started.notify_one();
        if index == 0 {
            self.end.cancelled().await;
        } else {
            std::future::pending::<()>().await;
        }
        Moved::Recorded(Box::new(v1::AuditRecord { index, ..v1::AuditRecord::default() }))
    }

    fn concurrency(&self) -> usize {
        3
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_grace_nothing_moves_any_more_and_what_ended_is_recorded() {
    let master = Arc::<Master>::default();
    let (running, end) = (Arc::<AtomicUsize>::default(), CancellationToken::new());
    let started = Arc::<Notify>::default();
    let mut task = task(&master, good);
    task.mover = Arc::new(Slow { running: running.clone(), end: end.clone(), started: started.clone() });
    let stop = task.stop.clone();
    let run = tokio::spawn(run(task));
    while running.load(Ordering::Relaxed) < 3 {
        started.notified().await;
    }
    stop.cancel();
    end.cancel();
    assert_eq!(run.await.unwrap(), Some(Settled::Returned));
    assert_eq!(running.load(Ordering::Relaxed), 0);
    assert_eq!(indexes(&master), [0]);
    assert_eq!(results(&master), [Settled::Returned]);
}
