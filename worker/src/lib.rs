//! Pulls leased tasks, moves their objects, proves them, reports. Stateless but for what is in flight.

pub(crate) mod agent;
pub(crate) mod appetite;
pub(crate) mod archived;
mod audit;
pub(crate) mod beside;
pub(crate) mod breaker;
pub(crate) mod budget;
pub(crate) mod composite;
pub(crate) mod concurrency;
pub(crate) mod copy;
pub(crate) mod engine;
mod error;
mod existing;
mod flight;
pub(crate) mod heartbeat;
pub(crate) mod jobs;
pub(crate) mod large;
pub(crate) mod memory;
pub(crate) mod meters;
pub(crate) mod multipart;
pub(crate) mod outbox;
pub(crate) mod outcome;
pub(crate) mod parts;
pub(crate) mod proof;
pub(crate) mod ready;
pub(crate) mod resume;
pub(crate) mod skip;
pub(crate) mod small;
pub(crate) mod stream;
pub(crate) mod task;
pub(crate) mod trip;
pub(crate) mod unknown;
pub(crate) mod verify;

use std::net::SocketAddr;

use conf::{Home, SysConf};
use proto::channel::Token;
use tokio_util::sync::CancellationToken;

pub use error::WorkerError;

/// What the worker is given beside its configuration.
#[derive(Debug)]
pub struct Options {
    /// Where the tracker answers.
    pub tracker: SocketAddr,
    /// The installation's token.
    pub token: Token,
    /// The worker's name, the same after a restart: usually the host's.
    pub name: String,
    /// The installation.
    pub home: Home,
}

/// Runs until `shutdown`: then objects in flight end (within a grace), what is recorded is delivered, and
/// tasks are given back.
pub async fn run(conf: &SysConf, options: Options, shutdown: CancellationToken) -> Result<(), WorkerError> {
    agent::run(conf, options, shutdown).await
}
