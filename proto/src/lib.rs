//! The gRPC contracts between the roles, the wire types, and the persisted forms that more than one role
//! reads: manifests and audit records. Imports nothing of ours.

pub mod audit;
pub mod breakpoint;
pub mod channel;
pub mod id;
pub mod manifest;
#[cfg(feature = "model")]
pub mod model;
pub mod state;
pub mod text;
mod unpack;

pub use audit::{ObjectErrorCode, Proof};
pub use id::{JobName, ObjectKey, TaskId};
pub use state::{JobState, TaskState};

/// What tonic generates from `idl/`.
#[allow(missing_docs, unreachable_pub, missing_debug_implementations, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("brigade.v1");
}
