//! Why a worker ended.

/// A failure of the role itself; failures of objects are records, failures of jobs are settlements.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The channel to the tracker could not be made.
    #[error("the channel to the tracker cannot be made")]
    Transport(#[from] tonic::transport::Error),
    /// The tracker does not take this worker's token, and would not the next time.
    #[error("the tracker refuses this worker: {message}; run both from the same installation")]
    Refused {
        /// What it said.
        message: String,
    },
}
