//! The model on which the tracker's simulation stands (`proto::model`) says what the real master says: random
//! sequences of everything that trackers, workers and users do, old fences and restarts included, side by side.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proto::JobState;
use proto::model::{self, Refusal};
use proto::v1::settlement::Result as Ending;
use proto::v1::{AuditRecord, Grant, Outcome, RecordBatch, Settlement, TaskRef};

use crate::error::MasterError;
use crate::testing::{Bench, conf, key, record};

const TASKS: u32 = 3;
const OBJECTS: u32 = 5;
const JOBS: [&str; 2] = ["job-a", "job-b"];

#[derive(Debug, Clone)]
enum Step {
    Attach,
    Restart,
    Fetch { most: u32, old_session: bool },
    Release { which: usize, old_session: bool },
    Record { which: usize, from: u32, many: u32, failed: bool },
    Settle { which: usize, ending: Ending },
    Pause(usize),
    Resume(usize),
    Retry(usize),
    Again(usize),
    Priority(usize, i32),
}

fn step() -> impl Strategy<Value = Step> {
    let job = 0usize..JOBS.len();
    // The last hand-outs most, the whole of a task most.
    let which = prop_oneof![3 => 0usize..3, 1 => 0usize..12];
    let range = prop_oneof![2 => Just((0, OBJECTS)), 1 => (0u32..6, 0u32..7)];
    let ending = prop_oneof![
        5 => Just(Ending::Finished), 2 => Just(Ending::Returned), 1 => Just(Ending::Suspended),
        1 => Just(Ending::Aborted), 1 => Just(Ending::Unspecified),
    ];
    prop_oneof![
        1 => Just(Step::Attach),
        1 => Just(Step::Restart),
        8 => (0u32..4, prop::bool::weighted(0.1))
            .prop_map(|(most, old_session)| Step::Fetch { most, old_session }),
        2 => (which.clone(), prop::bool::weighted(0.1))
            .prop_map(|(which, old_session)| Step::Release { which, old_session }),
        12 => (which.clone(), range, prop::bool::weighted(0.3))
            .prop_map(|(which, (from, many), failed)| Step::Record { which, from, many, failed }),
        8 => (which, ending).prop_map(|(which, ending)| Step::Settle { which, ending }),
        1 => job.clone().prop_map(Step::Pause),
        2 => job.clone().prop_map(Step::Resume),
        4 => job.clone().prop_map(Step::Retry),
        1 => job.clone().prop_map(Step::Again),
        1 => (job, -1i32..2).prop_map(|(job, priority)| Step::Priority(job, priority)),
    ]
}

/// The real one and the model; `fences` are those of the model by the real ones.
struct Pair {
    bench: Bench,
    model: model::Master,
    session: u64,
    fences: BTreeMap<u64, u64>,
    /// Every hand-out that there was, living or not.
    given: Vec<Grant>,
}

impl Pair {
    fn new() -> Self {
        let (bench, model) = (Bench::new(), model::Master::default());
        let mut pair = Pair { bench, model, session: 0, fences: BTreeMap::new(), given: Vec::new() };
        pair.attach();
        for name in JOBS {
            pair.submit(name);
        }
        pair
    }

    fn submit(&mut self, name: &str) {
        self.bench.job(name, TASKS, OBJECTS);
        self.model.submit(name, TASKS, OBJECTS, 0).unwrap();
    }

    fn attach(&mut self) {
        let mut real = self.bench.attach();
        let (session, mut model) = self.model.attach();
        self.session = session;
        let place = |grant: &Grant| grant.task.clone().map(|task| (task.job, task.number));
        real.sort_by_key(place);
        model.sort_by_key(place);
        self.same_grants(real, model);
    }

    /// Both gave the same, under fences that belong together.
    fn same_grants(&mut self, real: Vec<Grant>, model: Vec<Grant>) {
        assert_eq!(real.len(), model.len(), "{real:?} {model:?}");
        for (real, model) in real.into_iter().zip(model) {
            let (at, of) = (real.task.clone().unwrap(), model.task.unwrap());
            assert_eq!((&at.job, at.round, at.number), (&of.job, of.round, of.number));
            assert_eq!((real.attempt, real.objects), (model.attempt, model.objects));
            assert_eq!(real.recorded, model.recorded, "{at:?}");
            assert_eq!(*self.fences.entry(at.fence).or_insert(of.fence), of.fence);
            if !self.given.iter().any(|given| given.task.as_ref() == Some(&at)) {
                self.given.push(real);
            }
        }
    }

    /// One of all hand-outs, and its task as the model knows it; late ones first.
    fn one(&self, which: usize) -> Option<(Grant, TaskRef)> {
        let grant = self.given.iter().rev().nth(which)?.clone();
        let mut task = grant.task.clone()?;
        task.fence = self.fences[&task.fence];
        Some((grant, task))
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Attach => self.attach(),
            Step::Restart => {
                self.bench.stop();
                self.bench.restart();
                self.model.restart();
                let (session, _) = self.model.attach();
                self.session = session;
                self.attach();
            }
            Step::Fetch { most, old_session } => {
                let old = u64::from(old_session);
                let real = self.bench.master().dispatch(self.bench.session - old, most);
                let model = self.model.fetch(self.session - old, most);
                let real = real.map(|given| given.into_iter().unzip::<_, _, Vec<_>, Vec<_>>());
                match (real, model.map(|given| given.into_iter().unzip::<_, _, Vec<_>, Vec<_>>())) {
                    (Ok((real, priorities)), Ok((model, others))) => {
                        assert_eq!(priorities, others);
                        self.same_grants(real, model);
                    }
                    (real, model) => same(real.map(drop), model.map(drop)),
                }
            }
            Step::Release { which, old_session } => {
                let Some((grant, task)) = self.one(which) else { return };
                let old = u64::from(old_session);
                let tasks = [grant.task.unwrap()];
                let real = self.bench.master().release(self.bench.session - old, &tasks);
                same(real, self.model.release(self.session - old, &[task]));
            }
            Step::Record { which, from, many, failed } => self.record(which, from..from + many, failed),
            Step::Settle { which, ending } => {
                let Some((grant, task)) = self.one(which) else { return };
                let settlement =
                    Settlement { task: grant.task, result: ending.into(), reason: "x".into(), stat: None };
                same(self.bench.master().settle(&settlement), self.model.settle(&task, ending));
            }
            Step::Pause(job) => {
                same(self.bench.master().pause(JOBS[job], ""), self.model.pause(JOBS[job]));
            }
            Step::Resume(job) => {
                same(self.bench.master().resume(JOBS[job]), self.model.resume(JOBS[job]));
            }
            Step::Retry(job) => {
                let real = self.bench.master().retry(JOBS[job]).map(|reply| reply.tasks);
                let model = self.model.retry(JOBS[job]);
                assert_eq!(real.as_ref().ok(), model.as_ref().ok());
                same(real.map(drop), model.map(drop));
            }
            Step::Again(job) => self.again(JOBS[job]),
            Step::Priority(job, priority) => {
                let request = proto::v1::LimitRequest {
                    job: JOBS[job].into(),
                    priority: Some(priority),
                    ..Default::default()
                };
                self.bench.master().limit(&request).unwrap();
                self.model.jobs.get_mut(JOBS[job]).unwrap().priority = priority;
            }
        }
    }

    fn record(&mut self, which: usize, indexes: std::ops::Range<u32>, failed: bool) {
        let Some((grant, task)) = self.one(which) else { return };
        let outcome = if failed { Outcome::Failed } else { Outcome::Succeeded };
        let name = |index| key(task.number, index).into_bytes();
        let records = indexes.clone().map(|index| AuditRecord { key: name(index), ..record(index, outcome) });
        let batch = RecordBatch { task: grant.task, records: records.collect() };
        let records: Vec<_> = indexes.map(|index| (index, outcome)).collect();
        same(self.bench.master().record(batch), self.model.record(&task, &records));
    }

    /// The job is forgotten, and another takes its name.
    fn again(&mut self, name: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let master = self.bench.master().clone();
        runtime.block_on(master.clean(name, false, true)).unwrap();
        self.model.clean(name).unwrap();
        self.submit(name);
    }

    /// What can be seen of every job is the same.
    fn same_jobs(&self) {
        for name in JOBS {
            let (stat, job) = (self.bench.stat(name), &self.model.jobs[name]);
            assert_eq!(stat.state.parse::<JobState>().unwrap(), job.state, "{name}");
            let mut counts = [0; 4];
            job.tasks.values().for_each(|task| counts[task.state as usize] += 1);
            let real = [stat.tasks_pending, stat.tasks_dispatched, stat.tasks_succeeded, stat.tasks_failed];
            assert_eq!(real, counts, "{name}");
            let outcomes = job.tasks.values().flat_map(|task| task.last.values());
            let failed = outcomes.clone().filter(|outcome| **outcome == Outcome::Failed).count();
            let real = (stat.objects_succeeded, stat.objects_failed);
            assert_eq!(real, ((outcomes.count() - failed) as u64, failed as u64), "{name}");
        }
    }
}

/// Both did it, or both refused it for the same reason.
#[track_caller]
fn same(real: Result<(), MasterError>, model: Result<(), Refusal>) {
    let said = match &real {
        Ok(()) => Ok(()),
        Err(MasterError::LeaseLost { .. }) => Err(Refusal::LeaseLost),
        Err(MasterError::OldSession) => Err(Refusal::OldSession),
        Err(MasterError::Unfinished { missing, .. }) => Err(Refusal::Unfinished(*missing)),
        Err(MasterError::BadRequest(_)) => Err(Refusal::BadRequest),
        Err(MasterError::NoJob { .. }) => Err(Refusal::NoJob),
        Err(MasterError::WrongState { .. }) => Err(Refusal::WrongState),
        Err(MasterError::Exists { .. }) => Err(Refusal::Exists),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(said, model, "{real:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn the_model_of_the_simulation_says_what_the_master_says(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut pair = Pair::new();
        for step in steps {
            pair.play(step);
            pair.same_jobs();
        }
    }
}

#[test]
fn the_model_knows_the_names_that_are_taken() {
    let mut pair = Pair::new();
    let real = pair.bench.master().submit(&conf(JOBS[0]).to_wire()).map(drop);
    same(real, pair.model.submit(JOBS[0], TASKS, OBJECTS, 0));
}
