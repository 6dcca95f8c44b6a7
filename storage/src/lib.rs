//! The adapters: every protocol once, as source and, where it can be written, as destination.
//!
//! Callers use [`open::source`] and [`open::destination`] and hold cheap-to-clone handles; no provider type
//! leaves this crate. Keys are carried byte for byte. A write is invisible until it is complete.

mod answered;
pub mod archive;
mod azure;
pub mod checksum;
mod credentials;
pub mod destination;
mod dialect;
pub mod error;
pub mod fidelity;
mod http;
pub mod local;
mod md5_lanes;
mod md5_queue;
#[cfg(feature = "fake")]
pub mod memory;
pub mod meta;
pub mod meter;
pub mod open;
mod pace;
pub mod payload;
pub mod retry;
mod s3;
mod sign;
pub mod source;
mod span;
pub mod upkeep;
mod upyun;
pub mod weblist;

pub use destination::{Destination, PartDone, PutOptions, Unwanted, UploadRef, Written};
pub use error::{Error, ErrorKind, Op, Result};
pub use meta::{Checksums, Headers, ObjectMeta, Version};
pub use meter::{Meter, RequestKind, Side};
pub use payload::Payload;
pub use source::{Body, Link, ListRequest, Opened, Page, Pages, Read, Source, Stated};
