//! Why a worker ends other than by being asked to.

/// What keeps a worker from its work for good. Everything that may pass (the tracker is away, an endpoint
/// does not answer) is waited for instead and never comes here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The channel to the tracker could not be made: a bad address.
    #[error("cannot make a channel to the tracker")]
    Channel(#[from] tonic::transport::Error),
    /// The tracker refuses this worker, and would do so again.
    #[error("the tracker refuses this worker: {message}; check that both use the same installation's token")]
    Refused {
        /// What it said.
        message: String,
    },
}
