//! What is beside reading and writing: unfinished uploads, copies inside a service, deletion. For `clean`, for
//! server-side copies, and for tests.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use proto::ObjectKey;

use crate::destination::{PartDone, PutOptions, UploadRef, Written};
use crate::error::Result;

/// A service that can do more than read and write. Keys are relative to the endpoint's prefix.
#[async_trait]
pub trait Upkeep: fmt::Debug + Send + Sync {
    /// Multipart uploads below the prefix that are neither completed nor aborted.
    async fn uploads(&self) -> Result<Vec<UploadRef>>;

    /// Copies an object of this service (`bucket` and full key, at this ETag) to `key`, with its headers and
    /// metadata. For objects up to `Limits::single_put`.
    async fn copy(&self, from: &CopyFrom, key: &ObjectKey) -> Result<Written>;

    /// Copies a range of an object of this service into a part. Headers and metadata have to be given at begin.
    async fn copy_part(
        &self,
        from: &CopyFrom,
        upload: &UploadRef,
        number: u32,
        range: Range<u64>,
    ) -> Result<PartDone>;

    /// Deletes; keys that are not there are no error. Any number of keys.
    async fn delete(&self, keys: &[ObjectKey]) -> Result<()>;

    /// Begins an upload for part copies.
    async fn begin_copy(&self, key: &ObjectKey, options: &PutOptions) -> Result<UploadRef>;
}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFrom {
    /// Of the same service.
    pub bucket: String,
    /// With the prefix of its endpoint.
    pub key: ObjectKey,
    /// The version that is meant, without quotes.
    pub etag: Option<String>,
}
