//! The master: owns jobs and all durable state, scans sources, splits them into tasks.

mod error;
#[allow(dead_code, reason = "its callers are being built")]
pub(crate) mod scan;
#[allow(dead_code, reason = "its callers are being built")]
mod split;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use error::MasterError;

/// What a master needs beside its configuration.
#[derive(Debug)]
pub struct Options {
    /// The installation whose state it owns.
    pub home: conf::Home,
    /// Bound already, so that the address is known before it runs.
    pub listener: TcpListener,
    /// What every caller has to show.
    pub token: proto::channel::Token,
    /// Only answer from the state: start no scan and no round.
    pub dormant: bool,
}

/// Opens the state, recovers, serves until `shutdown`, and returns after a graceful drain.
pub async fn run(
    conf: &conf::SysConf,
    options: Options,
    shutdown: CancellationToken,
) -> Result<(), MasterError> {
    let _ = (conf, options, shutdown);
    Err(MasterError::Serve("not built yet".into()))
}
