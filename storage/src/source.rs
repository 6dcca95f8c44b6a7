//! Where objects come from.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use proto::ObjectKey;
use proto::manifest::Entry;

use crate::error::Result;
use crate::meta::{ObjectMeta, Version};

/// Lists and reads objects. Keys are relative to the endpoint's prefix.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// Is the bucket (or directory) there and may it be listed? For the first look, before anything starts.
    async fn check(&self) -> Result<()>;

    /// Pages in the order in which the service gives them, from `request.after` on (exclusive). The stream
    /// ends after the last page, or after an error; go on with a new one from the last key. The stream does
    /// not check order: the scan does.
    fn list(&self, request: ListRequest) -> Pages;

    /// Whether a listing that starts after a key costs no more than one from the begin. Where it does not, the
    /// service has to be read from the begin each time, and dividing a listing only multiplies it. Known for sure
    /// once the first page has come.
    fn starts_anywhere(&self) -> bool {
        true
    }

    /// One object's metadata, headers and checksums.
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta>;

    /// Bytes of `range` (all when `None`; never call it with an empty range) of this version of the object.
    /// `PreconditionFailed` when another version is there, `NotFound` when none is. The body may end early
    /// or fail: count what comes. `version.etag == None` means that the version is known by size and time.
    async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>, version: &Version) -> Result<Read>;
}

/// A listing under way.
pub type Pages = BoxStream<'static, Result<Page>>;

/// A body under way.
pub type Body = BoxStream<'static, Result<Bytes>>;

/// What to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// Only keys that begin with it.
    pub under: ObjectKey,
    /// Only keys after it (exclusive).
    pub after: Option<ObjectKey>,
    /// A hint that nothing from this key on is wanted; pages may hold such keys all the same.
    pub until: Option<ObjectKey>,
    /// Fold what lies behind the next `/` into `Page::prefixes`.
    pub folded: bool,
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// In the order of the service.
    pub entries: Vec<Entry>,
    /// With `folded`: each ends in `/`.
    pub prefixes: Vec<ObjectKey>,
    /// Things that are no objects and were left out: sockets, devices, links that are not followed.
    pub special: u64,
}

/// An answer to a read.
pub struct Read {
    /// Of the object that is being read.
    pub meta: ObjectMeta,
    /// Its bytes.
    pub body: Body,
}

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read").field("meta", &self.meta).finish_non_exhaustive()
    }
}
