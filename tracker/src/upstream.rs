//! The side towards the master: attach, fetch what workers ask for, give back what ran out, pulse.

use std::sync::Arc;
use std::time::Duration;

use proto::channel::Caller;
use proto::v1;
use proto::v1::tasks_client::TasksClient;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::shared::Shared;

/// How long the master may hold a Fetch open.
const FETCH_WAIT_MS: u32 = 5_000;
/// How long workers may take to settle after the shutdown began.
const DRAIN: Duration = Duration::from_secs(40);

/// Attached again and again until `shutdown`; then passes on what workers settle until they hold nothing,
/// and cancels `drained`.
pub(crate) async fn run(
    shared: Arc<Shared>,
    master: TasksClient<Caller>,
    shutdown: CancellationToken,
    drained: CancellationToken,
) {
    let mut first = true;
    while !shutdown.is_cancelled() {
        let Some(session) = attach(&shared, &master, &shutdown, first).await else { break };
        first = false;
        tokio::select! {
            ended = fetch(&shared, &master, session) => lost(ended),
            ended = give_back(&shared, &master, session) => lost(ended),
            ended = pulse(&shared, &master, session) => lost(ended),
            () = tick(&shared) => {}
            () = shutdown.cancelled() => {}
        }
    }
    let session = shared.state().session;
    let drain = async {
        // Tasks that no worker has go back at once; the rest as workers settle.
        let waiting = shared.state().queue.take(|_| true);
        let mut tasks: Vec<v1::TaskRef> = waiting.into_iter().filter_map(|grant| grant.task).collect();
        tasks.append(&mut shared.state().returned);
        if !tasks.is_empty() {
            let _ = release(&master, session, tasks).await;
        }
        while shared.state().leases.len() > 0 && !shared.state().workers.is_empty() {
            shared.tick(Instant::now());
            sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = timeout(DRAIN, drain).await;
    drained.cancel();
}

fn lost(why: Status) {
    tracing::warn!(code = ?why.code(), "the connection to the master ended: {}", why.message());
}

/// Retries until the master is there. What is out and unknown here becomes an orphan lease (`first`), or was
/// an answer to Fetch that got lost: that goes into the queue.
async fn attach(
    shared: &Shared,
    master: &TasksClient<Caller>,
    shutdown: &CancellationToken,
    first: bool,
) -> Option<u64> {
    let mut pause = Duration::from_millis(20);
    loop {
        let request = v1::AttachRequest { version: env!("CARGO_PKG_VERSION").into() };
        let reply = timeout(Duration::from_secs(10), master.clone().attach(request)).await;
        if let Ok(Ok(reply)) = reply {
            let reply = reply.into_inner();
            adopt(shared, reply.outstanding, first);
            shared.state().session = reply.session;
            tracing::info!(session = reply.session, "attached to the master");
            return Some(reply.session);
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(2)),
            () = shutdown.cancelled() => return None,
        }
    }
}

fn adopt(shared: &Shared, outstanding: Vec<v1::Grant>, first: bool) {
    let mut state = shared.state();
    let known: Vec<u64> =
        outstanding.iter().filter_map(|grant| grant.task.as_ref()).map(|task| task.fence).collect();
    state.leases.keep_only(&known);
    drop(state.queue.take(|grant| grant.task.as_ref().is_none_or(|task| !known.contains(&task.fence))));
    state.returned.retain(|task| known.contains(&task.fence));
    let mut here = state.leases.fences();
    here.extend(state.queue.fences());
    here.extend(state.returned.iter().map(|task| task.fence));
    let now = Instant::now();
    for grant in outstanding {
        let Some(task) = grant.task.clone().filter(|task| !here.contains(&task.fence)) else { continue };
        if first {
            state.leases.orphan(task, now);
        } else {
            state.queue.push(0, grant);
        }
    }
    drop(state);
    shared.tasks.notify_waiters();
}

/// Keeps the queue one task ahead of what workers ask for. Ends with an error: an answer may be lost then,
/// and attaching again finds it.
async fn fetch(shared: &Shared, master: &TasksClient<Caller>, session: u64) -> Status {
    loop {
        let demand = shared.demand.notified();
        let most = {
            let state = shared.state();
            if state.wanted == 0 { 0 } else { (state.wanted + 1).saturating_sub(state.queue.len() as u32) }
        };
        if most == 0 {
            demand.await;
            continue;
        }
        let request = v1::FetchRequest { session, most, wait_ms: FETCH_WAIT_MS };
        let reply = match timeout(Duration::from_secs(30), master.clone().fetch(request)).await {
            Ok(Ok(reply)) => reply.into_inner(),
            Ok(Err(status)) => return status,
            Err(_) => return Status::deadline_exceeded("no answer to Fetch"),
        };
        let mut state = shared.state();
        let priorities = reply.priorities.into_iter().chain(std::iter::repeat(0));
        for (grant, priority) in reply.tasks.into_iter().zip(priorities) {
            state.queue.push(priority, grant);
        }
        drop(state);
        shared.tasks.notify_waiters();
    }
}

async fn release(master: &TasksClient<Caller>, session: u64, tasks: Vec<v1::TaskRef>) -> Result<(), Status> {
    let request = v1::ReleaseRequest { session, tasks, reason: "the lease ran out".into() };
    match timeout(Duration::from_secs(10), master.clone().release(request)).await {
        Ok(answer) => answer.map(|_| ()),
        Err(_) => Err(Status::deadline_exceeded("no answer to Release")),
    }
}

async fn give_back(shared: &Shared, master: &TasksClient<Caller>, session: u64) -> Status {
    loop {
        let more = shared.returns.notified();
        let tasks = shared.state().returned.clone();
        if tasks.is_empty() {
            more.await;
            continue;
        }
        if let Err(status) = release(master, session, tasks.clone()).await {
            return status;
        }
        shared.state().returned.retain(|task| !tasks.contains(task));
    }
}

/// Live figures up, what changed down.
async fn pulse(shared: &Shared, master: &TasksClient<Caller>, session: u64) -> Status {
    let mut second = interval(Duration::from_millis(500));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        second.tick().await;
        let workers = shared.state().workers.values().map(|(stat, _)| stat.clone()).collect();
        let mut call = master.clone();
        let reply =
            match timeout(Duration::from_secs(10), call.pulse(v1::PulseRequest { session, workers })).await {
                Ok(Ok(reply)) => reply.into_inner(),
                Ok(Err(status)) => return status,
                Err(_) => return Status::deadline_exceeded("no answer to Pulse"),
            };
        let mut state = shared.state();
        state.stopped = reply.stopped_jobs.into_iter().collect();
        state.cluster = reply.cluster;
        state.jobs = reply.jobs.into_iter().filter_map(|job| Some((job.job, job.limits?))).collect();
        let stopped = state.stopped.clone();
        let waiting =
            state.queue.take(|grant| grant.task.as_ref().is_some_and(|task| stopped.contains(&task.job)));
        let waiting = waiting.into_iter().filter_map(|grant| grant.task).collect();
        shared.give_back(&mut state, waiting);
    }
}

async fn tick(shared: &Shared) {
    let mut tick = interval((shared.lease / 10).clamp(Duration::from_millis(50), Duration::from_secs(1)));
    loop {
        tick.tick().await;
        shared.tick(Instant::now());
    }
}
