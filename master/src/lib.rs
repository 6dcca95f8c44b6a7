//! The master: owns jobs and all durable state, scans sources, splits them into tasks, hands the tasks out and
//! keeps the audit record of every object.

mod audit;
mod book;
mod clean;
mod error;
mod feed;
mod files;
mod folders;
mod jobs;
mod keeper;
mod manifests;
mod master;
mod opener;
pub mod plan;
mod recover;
mod report;
mod rounds;
pub(crate) mod scan;
mod service;
mod split;
mod spoiled;
mod stat;
mod store;
mod tasks_service;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tidy;
mod uploads;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use proto::channel::{self, MAX_MESSAGE};
use proto::v1::jobs_server::JobsServer;
use proto::v1::tasks_server::TasksServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;

pub use error::MasterError;

use master::Master;
use opener::{Adapters, Opener};
use service::JobsService;
use tasks_service::TasksService;

/// Calls that are under way may take this long when the master stops.
const DRAIN: Duration = Duration::from_secs(10);

/// What a master needs beside its configuration.
#[derive(Debug)]
pub struct Options {
    /// The installation whose state it owns.
    pub home: conf::Home,
    /// Bound already, so that the address is known before it runs.
    pub listener: TcpListener,
    /// What every caller has to show.
    pub token: channel::Token,
    /// Only answer from the state: start no scan and no round.
    pub dormant: bool,
}

/// Opens the state, recovers, serves until `shutdown`, and returns after a graceful drain.
pub async fn run(
    conf: &conf::SysConf,
    options: Options,
    shutdown: CancellationToken,
) -> Result<(), MasterError> {
    serve(conf, options, shutdown, Arc::new(Adapters)).await
}

async fn serve(
    conf: &conf::SysConf,
    options: Options,
    shutdown: CancellationToken,
    opener: Arc<dyn Opener>,
) -> Result<(), MasterError> {
    let Options { home, listener, token, dormant } = options;
    let stop = shutdown.child_token();
    let (sys, token_of_scans) = (conf.clone(), stop.clone());
    let opened = tokio::task::spawn_blocking(move || Master::open(&sys, home, opener, token_of_scans)).await;
    let mut master = opened.map_err(|error| MasterError::Serve(format!("a bug: {error}")))??;
    master.dormant = dormant;
    let master = Arc::new(master);
    let jobs = JobsServer::new(JobsService::new(master.clone(), false))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    let tasks = TasksServer::new(TasksService::new(master.clone()))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    let server = channel::serve()
        .add_service(InterceptedService::new(jobs, token.guard()))
        .add_service(InterceptedService::new(tasks, token.guard()))
        .serve_with_incoming_shutdown(channel::incoming(listener), stop.clone().cancelled_owned());
    let served = async {
        let patience = async {
            stop.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        let ended = tokio::select! {
            ended = server => ended.map_err(|error| MasterError::Serve(error.to_string())),
            () = patience => Ok(()),
        };
        stop.cancel();
        ended
    };
    // A master that cannot write its state is of no use to anybody: the next one reads what is on disk.
    let watching = async {
        tokio::select! {
            () = master.store.broken() => stop.cancel(),
            () = stop.cancelled() => {}
        }
    };
    let working = async {
        if !dormant {
            tokio::join!(rounds::run(master.clone()), rest_of_cleaning(&master));
        }
    };
    let (served, (), ()) = tokio::join!(served, working, watching);
    master.store.sound().and(served)
}

/// What was being cleaned when the master stopped last.
async fn rest_of_cleaning(master: &Arc<Master>) {
    tokio::select! {
        () = master.clean_rest() => {}
        () = master.shutdown.cancelled() => {}
    }
}

/// Unix milliseconds.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
