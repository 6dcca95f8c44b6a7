//! From an endpoint of the configuration to its adapter: the only match over providers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use conf::Endpoint;
use conf::job::EndpointType;

use crate::archive::Archive;
use crate::azure::AzureStore;
use crate::destination::Destination;
use crate::dialect::{BOS, COS, Dialect, KS3, OSS, QINIU, provider};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::local::{LocalDestination, LocalSource};
use crate::meter::Meter;
use crate::s3::S3Store;
use crate::source::Source;
use crate::upkeep::Upkeep;
use crate::upyun::UpyunStore;
use crate::weblist::WebSource;

/// What an adapter needs beside its endpoint.
#[derive(Debug, Clone)]
pub struct Context {
    /// Counts and limits.
    pub meter: Meter,
    /// Longest duration of a step: connect, first byte, a pause in a body.
    pub timeout: Duration,
    /// The job's name: marks its temporary files, so that they are told from those of others.
    pub job: String,
}

/// The endpoint as a source.
pub fn source(endpoint: &Endpoint, context: &Context) -> Result<Arc<dyn Source>> {
    match endpoint.kind {
        EndpointType::Local => Ok(Arc::new(LocalSource::new(endpoint, context))),
        EndpointType::Youpai => Ok(Arc::new(UpyunStore::open(endpoint, context)?)),
        EndpointType::Azure => Ok(Arc::new(AzureStore::open(endpoint, context)?)),
        EndpointType::Http => Ok(Arc::new(WebSource::new(endpoint, context))),
        _ => Ok(Arc::new(S3Store::open(endpoint, dialect(endpoint)?, context)?)),
    }
}

/// The endpoint as a destination.
pub fn destination(endpoint: &Endpoint, context: &Context) -> Result<Arc<dyn Destination>> {
    match endpoint.kind {
        EndpointType::Local => Ok(Arc::new(LocalDestination::new(endpoint, context))),
        EndpointType::Youpai => Ok(Arc::new(UpyunStore::open(endpoint, context)?)),
        EndpointType::Azure => Ok(Arc::new(AzureStore::open(endpoint, context)?)),
        _ => Ok(Arc::new(S3Store::open(endpoint, dialect(endpoint)?, context)?)),
    }
}

/// What is beside reading and writing, where the endpoint has it.
pub fn upkeep(endpoint: &Endpoint, context: &Context) -> Result<Arc<dyn Upkeep>> {
    Ok(Arc::new(S3Store::open(endpoint, dialect(endpoint)?, context)?))
}

/// The archive of the endpoint, where objects of it can be restored from here.
pub fn archive(endpoint: &Endpoint, context: &Context) -> Result<Arc<dyn Archive>> {
    match endpoint.kind {
        EndpointType::Azure => Ok(Arc::new(AzureStore::open(endpoint, context)?)),
        _ => Ok(Arc::new(S3Store::open(endpoint, dialect(endpoint)?, context)?)),
    }
}

/// Removes the temporary files that killed holders of this job's tasks left at a local destination, but those
/// that are `wanted` (ids of uploads); answers how many. Call it when nobody works on the job.
pub async fn sweep(endpoint: &Endpoint, job: &str, wanted: BTreeSet<String>) -> Result<u64> {
    match endpoint.kind {
        EndpointType::Local => crate::local::sweep_temporaries(&endpoint.path, job, wanted).await,
        _ => Ok(0),
    }
}

fn dialect(endpoint: &Endpoint) -> Result<&'static Dialect> {
    match endpoint.kind {
        EndpointType::S3 => Ok(provider(&endpoint.provider)),
        EndpointType::Oss => Ok(&OSS),
        EndpointType::Cos => Ok(&COS),
        EndpointType::Bos => Ok(&BOS),
        EndpointType::Ks3 => Ok(&KS3),
        EndpointType::Qiniu => Ok(&QINIU),
        kind => Err(unsupported(kind)),
    }
}

fn unsupported(kind: EndpointType) -> Error {
    Error::new(ErrorKind::Unsupported, Op::Open, format!("there is no adapter for {:?}", kind.name()))
}
