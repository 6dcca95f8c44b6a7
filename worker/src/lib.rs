//! The hands of the line: pulls tasks, moves and proves objects, reports. Stateless but for what is in
//! flight: a worker may die at any time, and whoever gets its tasks next does only what is not recorded.

pub(crate) mod budget;
pub(crate) mod concurrency;
pub(crate) mod copy;
mod error;
pub(crate) mod skip;
pub(crate) mod verify;

use std::net::SocketAddr;

use conf::{Home, SysConf};
use proto::channel::Token;
use tokio_util::sync::CancellationToken;

pub use error::WorkerError;

/// What a worker is given beside its configuration.
#[derive(Debug)]
pub struct Options {
    /// Where the tracker answers.
    pub tracker: SocketAddr,
    /// The installation's token.
    pub token: Token,
    /// Shown in `stat` and in the audit record; unique in the cluster.
    pub name: String,
    /// For scratch files.
    pub home: Home,
}

/// Runs until `shutdown`; then no new object begins, those in flight may finish, what is recorded is
/// reported and the tasks are given back.
///
/// # Errors
/// Only what waiting cannot mend; see [`WorkerError`].
pub async fn run(conf: &SysConf, options: Options, shutdown: CancellationToken) -> Result<(), WorkerError> {
    let _ = (conf, options);
    shutdown.cancelled().await;
    Ok(())
}
