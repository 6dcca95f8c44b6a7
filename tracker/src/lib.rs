//! The live side of dispatch: knows the workers, hands out leased tasks, passes on what workers report,
//! divides limits.
//!
//! Nothing here is durable. What is rebuilt after a restart, and from where:
//! - leases: the master names the tasks that are out ([`v1::AttachReply`]); workers that still renew them
//!   keep them, the others go back to pending after a few heartbeats;
//! - the roster of workers: a heartbeat learns that it is not registered, and the worker registers again;
//! - waiting tasks: they are out and nobody renews them, so they come back with the leases;
//! - limits and stopped jobs: the next answer to Pulse.

mod lease;
mod limits;
mod queue;
mod service;
mod shared;
#[cfg(test)]
mod simulation;
mod state;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;

use conf::SysConf;
use proto::channel::{self, Token};
use proto::v1;
use proto::v1::leases_server::LeasesServer;
use proto::v1::tasks_client::TasksClient;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use shared::Shared;

/// What the tracker is given beside its configuration.
#[derive(Debug)]
pub struct Options {
    /// Where workers call.
    pub listener: TcpListener,
    /// Where the master answers.
    pub master: SocketAddr,
    /// The installation's token.
    pub token: Token,
    /// All workers live in this process: whatever was out before it began is nobody's, and goes back at once.
    pub alone: bool,
}

/// Why the tracker ended.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// The server or the channel to the master could not be made, or broke.
    #[error("the tracker's gRPC transport failed")]
    Transport(#[from] tonic::transport::Error),
}

/// Runs until `shutdown`, then lets what is in flight end.
pub async fn run(conf: &SysConf, options: Options, shutdown: CancellationToken) -> Result<(), TrackerError> {
    let caller = channel::call(options.master, &options.token)?;
    let master = TasksClient::new(caller)
        .max_decoding_message_size(channel::MAX_MESSAGE)
        .max_encoding_message_size(channel::MAX_MESSAGE);
    let shared = Arc::new(Shared::new(conf.lease, options.alone));
    let service = service::Service::new(shared.clone(), master.clone(), shutdown.clone());
    let server = LeasesServer::new(service)
        .max_decoding_message_size(channel::MAX_MESSAGE)
        .max_encoding_message_size(channel::MAX_MESSAGE);
    let server = tonic::service::interceptor::InterceptedService::new(server, options.token.guard());
    // Workers settle while they drain, so the server outlives the shutdown by as long as they hold leases.
    let drained = CancellationToken::new();
    let upstream = upstream::run(shared.clone(), master, shutdown.clone(), drained.clone());
    let served = channel::serve()
        .add_service(server)
        .serve_with_incoming_shutdown(channel::incoming(options.listener), drained.clone().cancelled_owned());
    let (served, ()) = tokio::join!(served, upstream);
    served.map_err(TrackerError::from)
}

/// A task's name for logs.
fn name(task: &v1::TaskRef) -> String {
    format!("{}/r{}-{:06}", task.job, task.round, task.number)
}
