//! Where objects come from.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use proto::ObjectKey;
use proto::manifest::Entry;

use crate::error::{Error, ErrorKind, Op, Result};
use crate::meta::{Checksums, ObjectMeta, Version};

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

    /// Opens an object of which nothing is known before it is read (`Entry::size_unknown`), whatever version is
    /// there. Of one with more than `large` bytes it is found out whether ranges can be read.
    async fn open(&self, key: &ObjectKey, large: u64) -> Result<Opened> {
        let _ = large;
        let meta = self.head(key).await?;
        let version = Version { size: meta.size, modified_ms: meta.modified_ms, etag: meta.etag.clone() };
        let Read { meta, body } = self.read(key, None, &version).await?;
        Ok(Opened { length: Some(meta.size), meta, ranges: true, ends_marked: true, body })
    }

    /// The same source for keys that stand at `origin` (`Entry::origin`); nothing where it has no origins.
    fn at(&self, origin: &str) -> Option<Arc<dyn Source>> {
        let _ = origin;
        None
    }

    /// What the service states of all bytes of this version, where the answer to a read of a range does not say it.
    /// Asked once for an object that is read in parts.
    async fn stated(&self, key: &ObjectKey, version: &Version) -> Result<Stated> {
        let _ = (key, version);
        Ok(Stated::default())
    }

    /// The object's tags. Only asked where a job carries them.
    async fn tags(&self, key: &ObjectKey) -> Result<Vec<(String, String)>> {
        Err(Error::new(ErrorKind::Unsupported, Op::Tags, "there are no tags here").on(key))
    }

    /// The object's access list, where a canned one says the same. Only asked where a job carries them.
    async fn acl(&self, key: &ObjectKey) -> Result<Option<String>> {
        Err(Error::new(ErrorKind::Unsupported, Op::Acl, "there are no access lists here").on(key))
    }

    /// Where a link leads; nothing where that is not below the endpoint's prefix.
    async fn link(&self, key: &ObjectKey) -> Result<Option<Link>> {
        Err(Error::new(ErrorKind::Unsupported, Op::Link, "there are no links here").on(key))
    }
}

/// What a service states of all bytes of an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stated {
    /// Nothing where the answers to reads of ranges state them, or nobody does.
    pub checksums: Checksums,
    /// The object was uploaded in parts of so many bytes each, and its ETag is made of their MD5s
    /// ([`crate::checksum::multipart_etag`]).
    pub part: Option<u64>,
}

/// An object that names another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The other one, below the endpoint's prefix.
    pub target: ObjectKey,
    /// Its own user metadata, as in [`crate::Headers`].
    pub user: Vec<(String, String)>,
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

/// An object that was opened without knowing anything of it.
pub struct Opened {
    /// Its size is 0 where `length` is none.
    pub meta: ObjectMeta,
    /// Bytes of it, where the service says it.
    pub length: Option<u64>,
    /// Ranges of this very version can be read.
    pub ranges: bool,
    /// Where the body ends early, it fails. Otherwise nobody can tell.
    pub ends_marked: bool,
    /// All its bytes.
    pub body: Body,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("meta", &self.meta)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// `length` bytes from `skip` on, of a body that came whole instead of a range.
pub(crate) fn slice(body: Body, skip: u64, length: u64) -> Body {
    let cut = body.scan((skip, length), |(skip, left), chunk| {
        let out = match chunk {
            Err(error) => Some(Err(error)),
            Ok(_) if *left == 0 => None,
            Ok(mut chunk) => {
                let front = (*skip).min(chunk.len() as u64);
                *skip -= front;
                let mut rest = chunk.split_off(front as usize);
                rest.truncate((*left).min(rest.len() as u64) as usize);
                *left -= rest.len() as u64;
                Some(Ok(rest))
            }
        };
        std::future::ready(out)
    });
    cut.filter(|chunk| std::future::ready(!matches!(chunk, Ok(chunk) if chunk.is_empty()))).boxed()
}

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read").field("meta", &self.meta).finish_non_exhaustive()
    }
}
