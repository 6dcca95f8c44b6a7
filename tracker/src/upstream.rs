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
use crate::state::State;

/// How long the master may hold a Fetch open.
const FETCH_WAIT_MS: u32 = 5_000;
/// A call that is not answered by then counts as lost.
const CALL: Duration = Duration::from_secs(10);
/// After each quick end of a connection, more from time to time.
const PAUSE: Duration = Duration::from_millis(50);
/// A connection that lasted this long was a good one.
const CALM: Duration = Duration::from_secs(2);
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
    let mut quick = 0;
    let mut last = None;
    while let Some(session) = attach(&shared, &master, &shutdown).await {
        last = Some(session);
        let begun = Instant::now();
        tokio::select! {
            ended = fetch(&shared, &master, session) => lost(ended),
            ended = give_back(&shared, &master, session) => lost(ended),
            ended = pulse(&shared, &master, session) => lost(ended),
            () = tick(&shared) => {}
            () = shutdown.cancelled() => break,
        }
        // A master that takes an Attach and refuses what follows is not asked without pause.
        quick = if begun.elapsed() < CALM { quick + 1 } else { 0 };
        tokio::select! {
            () = sleep((PAUSE * quick).min(CALM)) => {}
            () = shutdown.cancelled() => break,
        }
    }
    if let Some(session) = last {
        drain(&shared, &master, session).await;
    }
    drained.cancel();
}

/// Tasks that no worker has go back at once; the rest as workers settle.
async fn drain(shared: &Shared, master: &TasksClient<Caller>, session: u64) {
    let drain = async {
        shared.change(State::close);
        loop {
            let tasks = shared.state().to_release();
            if !tasks.is_empty() && release(master, session, tasks.clone()).await.is_ok() {
                shared.change(|state| state.released(&tasks));
            }
            if shared.state().idle() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
            shared.change(|state| state.tick(Instant::now()));
        }
    };
    if timeout(DRAIN, drain).await.is_err() {
        tracing::warn!("workers still hold tasks; the master keeps them for the next tracker");
    }
}

fn lost(why: Status) {
    tracing::warn!(code = ?why.code(), "the connection to the master ended: {}", why.message());
}

/// Retries until the master is there; `None`: it was not before the shutdown.
async fn attach(shared: &Shared, master: &TasksClient<Caller>, shutdown: &CancellationToken) -> Option<u64> {
    let mut pause = Duration::from_millis(20);
    loop {
        let request = v1::AttachRequest { version: env!("CARGO_PKG_VERSION").into() };
        let mut caller = master.clone();
        let reply = tokio::select! {
            reply = timeout(CALL, caller.attach(request)) => reply,
            () = shutdown.cancelled() => return None,
        };
        match reply {
            Ok(Ok(reply)) => {
                let reply = reply.into_inner();
                shared.change(|state| state.attached(reply.outstanding, Instant::now()));
                shared.tasks.notify_waiters();
                shared.demand.notify_one();
                tracing::info!(session = reply.session, "attached to the master");
                return Some(reply.session);
            }
            Ok(Err(status)) => tracing::debug!("the master is not there yet: {}", status.message()),
            Err(_) => tracing::debug!("the master does not answer"),
        }
        // Leases run out in this time too.
        shared.change(|state| state.tick(Instant::now()));
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(1)),
            () = shutdown.cancelled() => return None,
        }
    }
}

/// Keeps the queue one task ahead of what workers ask for. Ends with an error: an answer may be lost then,
/// and attaching again finds it.
async fn fetch(shared: &Shared, master: &TasksClient<Caller>, session: u64) -> Status {
    loop {
        let demand = shared.demand.notified();
        let most = shared.state().demand();
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
        shared.change(|state| state.fetched(reply));
        shared.tasks.notify_waiters();
    }
}

async fn release(master: &TasksClient<Caller>, session: u64, tasks: Vec<v1::TaskRef>) -> Result<(), Status> {
    let request = v1::ReleaseRequest { session, tasks, reason: "the lease ran out".into() };
    match timeout(CALL, master.clone().release(request)).await {
        Ok(answer) => answer.map(|_| ()),
        Err(_) => Err(Status::deadline_exceeded("no answer to Release")),
    }
}

async fn give_back(shared: &Shared, master: &TasksClient<Caller>, session: u64) -> Status {
    loop {
        let more = shared.returns.notified();
        let tasks = shared.state().to_release();
        if tasks.is_empty() {
            more.await;
            continue;
        }
        if let Err(status) = release(master, session, tasks.clone()).await {
            return status;
        }
        shared.change(|state| state.released(&tasks));
    }
}

/// Live figures up, what changed down.
async fn pulse(shared: &Shared, master: &TasksClient<Caller>, session: u64) -> Status {
    let mut second = interval(Duration::from_millis(500));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        second.tick().await;
        let workers = shared.state().figures();
        let mut call = master.clone();
        let reply = match timeout(CALL, call.pulse(v1::PulseRequest { session, workers })).await {
            Ok(Ok(reply)) => reply.into_inner(),
            Ok(Err(status)) => return status,
            Err(_) => return Status::deadline_exceeded("no answer to Pulse"),
        };
        if !shared.change(|state| state.pulsed(reply)) {
            return Status::aborted("tasks are out that nobody here knows of");
        }
        // The first one brings the limits, without which nothing is handed out.
        shared.demand.notify_one();
    }
}

async fn tick(shared: &Shared) {
    let mut tick = interval((shared.lease / 10).clamp(Duration::from_millis(50), Duration::from_secs(1)));
    loop {
        tick.tick().await;
        shared.change(|state| state.tick(Instant::now()));
    }
}
