//! The configuration: its schema, its readers (TOML and the predecessor's properties), its secrets, and
//! every path of an installation. The shipped default files lie beside the crate.

pub mod home;
pub mod job;
pub mod secret;
pub mod sys;
pub mod units;

pub use home::Home;
pub use job::{Endpoint, JobConf};
pub use secret::Secret;
pub use sys::SysConf;
