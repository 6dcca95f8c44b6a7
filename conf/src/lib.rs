//! The configuration: its schema, its readers (TOML and the predecessor's properties), its secrets, and
//! every path of an installation. The shipped default files lie beside the crate.

pub mod address;
pub mod azure;
pub mod boot;
pub mod carry;
mod check;
mod convert;
pub mod defaults;
pub mod differs;
pub mod home;
pub mod job;
pub mod keys;
pub mod load;
pub mod ossimport;
mod problem;
mod raw;
pub mod rename;
pub mod secret;
pub mod sys;
pub mod units;

pub use check::is_job_name;
pub use home::Home;
pub use job::{Endpoint, JobConf};
pub use load::{Checked, Problem};
pub use secret::Secret;
pub use sys::SysConf;
