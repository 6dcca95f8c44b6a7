//! How the master gets at the ends of a job: to list them, and to abort what `clean` leaves behind.

use std::fmt::Debug;
use std::sync::Arc;

use conf::Endpoint;
use storage::open::Context;
use storage::{Destination, Source};

/// Opens endpoints. Tests open stores in memory.
pub(crate) trait Opener: Debug + Send + Sync {
    /// As a source.
    fn source(&self, endpoint: &Endpoint, context: &Context) -> storage::Result<Arc<dyn Source>>;

    /// As a destination.
    fn destination(&self, endpoint: &Endpoint, context: &Context) -> storage::Result<Arc<dyn Destination>>;
}

/// The adapters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adapters;

impl Opener for Adapters {
    fn source(&self, endpoint: &Endpoint, context: &Context) -> storage::Result<Arc<dyn Source>> {
        storage::open::source(endpoint, context)
    }

    fn destination(&self, endpoint: &Endpoint, context: &Context) -> storage::Result<Arc<dyn Destination>> {
        storage::open::destination(endpoint, context)
    }
}
