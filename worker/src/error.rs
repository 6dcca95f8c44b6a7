//! Why a worker ended.

/// A failure of the role itself; failures of objects are records, failures of jobs are settlements.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The channel to the tracker could not be made.
    #[error("the channel to the tracker cannot be made")]
    Transport(#[from] tonic::transport::Error),
}
