//! Where objects go.

use std::fmt;

use async_trait::async_trait;
use crc_fast::CrcAlgorithm;
use proto::ObjectKey;

use crate::error::{Error, ErrorKind, Op, Result};
use crate::meta::{Checksums, Headers};
use crate::payload::Payload;

/// Writes objects. Keys are relative to the endpoint's prefix. To list or read what is there, open the same
/// endpoint as a source.
#[async_trait]
pub trait Destination: fmt::Debug + Send + Sync {
    /// Is the bucket (or directory) there and may it be written? For the first look; writes nothing that stays.
    async fn check(&self) -> Result<()>;

    /// What it can hold and what it states of what it holds.
    fn limits(&self) -> &Limits;

    /// Writes one object whole. Atomic: nobody ever sees a part of it.
    async fn put(&self, key: &ObjectKey, options: &PutOptions, payload: &Payload) -> Result<Written>;

    /// Begins a multipart upload.
    async fn begin(&self, key: &ObjectKey, options: &PutOptions) -> Result<UploadRef>;

    /// Writes part `number` (from 1), whose first byte is at `offset` of the object. The same number again
    /// replaces it. Durable when answered.
    async fn part(&self, upload: &UploadRef, number: u32, offset: u64, payload: &Payload)
    -> Result<PartDone>;

    /// Those of the `recorded` parts that the destination still has, unchanged. `UploadNotFound` when the
    /// upload is gone.
    async fn parts(&self, upload: &UploadRef, recorded: &[PartDone]) -> Result<Vec<PartDone>>;

    /// Makes the object visible. All parts, in order; `whole` is the hash of all bytes.
    async fn complete(
        &self,
        upload: &UploadRef,
        options: &PutOptions,
        parts: &[PartDone],
        whole: &Whole,
    ) -> Result<Written>;

    /// Throws an upload away; one that is not there is no error.
    /// Gives how many were told to go.
    async fn abort(&self, unwanted: &Unwanted) -> Result<u64>;

    /// Writes an object that names another one (`target`, below the endpoint's prefix), with the metadata, class and
    /// access list of the options.
    async fn put_link(&self, key: &ObjectKey, target: &ObjectKey, options: &PutOptions) -> Result<Written> {
        let _ = (target, options);
        Err(Error::new(ErrorKind::Unsupported, Op::PutLink, "there are no links here").on(key))
    }
}

/// What a destination can hold.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The CRC that the destination states on a write, where it does: hash with it.
    pub crc: Option<CrcAlgorithm>,
    /// The ETag of a single PUT is the MD5 of its bytes, and a write that comes with another MD5 is refused.
    pub etag_is_md5: bool,
    /// The ETag of a multipart upload is the MD5 of the parts' MD5s, `-`, their number.
    pub etag_is_md5_of_parts: bool,
    /// Bytes of a single PUT at most.
    pub single_put: u64,
    /// Bytes of a part at least (but the last one).
    pub part_min: u64,
    /// Bytes of a part at most.
    pub part_max: u64,
    /// Parts at most.
    pub parts: u32,
    /// An upload in parts begins with the length of the whole and the size of its parts, and takes no others: what
    /// has no known length has to be written whole.
    pub needs_length: bool,
    /// The check of a name; the text says what is wrong with it.
    pub name: fn(&ObjectKey) -> std::result::Result<(), String>,
}

/// What is written beside the bytes.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// Content headers and user metadata.
    pub headers: Headers,
    /// The source's last-modified: the file's time at a local destination.
    pub modified_ms: Option<i64>,
    /// Bytes of the whole object.
    pub size: u64,
    /// For [`Destination::put`], where `Limits::etag_is_md5`: other bytes than these are refused. The source's word,
    /// so that nobody here has to hash. Uploads in parts have it where the source states it.
    pub md5: Option<[u8; 16]>,
    /// What is lost of it before the write: for the record alone, in the form of [`Written::not_carried`].
    pub lost: Vec<String>,
    /// For [`Destination::begin`]: bytes of each part but the last, for services that want to know before; 0: not known.
    pub part_size: u64,
    /// The storage class to write instead of the endpoint's.
    pub class: Option<String>,
    /// Tags to write.
    pub tags: Vec<(String, String)>,
    /// The canned access list to write instead of the endpoint's.
    pub acl: Option<String>,
    /// What stands there is left alone: the write is refused then (`PreconditionFailed`, `Conflict`).
    pub keep_standing: bool,
}

/// A multipart upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRef {
    /// The object's key.
    pub key: ObjectKey,
    /// The service's name for the upload; for local: the temporary file's.
    pub id: String,
}

/// Uploads that are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unwanted {
    /// This one.
    Known(UploadRef),
    /// Those of exactly this key whose ids nobody ever learnt. Where uploads are files with a name, that is
    /// left to the sweep.
    Unknown {
        /// The object's key.
        key: ObjectKey,
        /// Begun at this time (Unix ms) or later, by our clock.
        since_ms: i64,
        /// The id of the one that is wanted; empty: none is.
        wanted: String,
    },
}

impl Unwanted {
    /// The key that they are of.
    pub fn key(&self) -> &ObjectKey {
        match self {
            Unwanted::Known(upload) => &upload.key,
            Unwanted::Unknown { key, .. } => key,
        }
    }
}

/// A part that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartDone {
    /// From 1.
    pub number: u32,
    /// Where it begins in the object.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// Of its bytes, with `Limits::crc`: what the destination stated, or what was compared with it.
    pub crc: Option<u64>,
    /// Of its bytes, where it was taken.
    pub md5: Option<[u8; 16]>,
}

/// The whole object's hashes, combined from its parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Whole {
    /// Bytes.
    pub size: u64,
    /// With `Limits::crc`.
    pub crc: Option<u64>,
    /// The MD5 of these very bytes, where it is known; never only the source's writer's word.
    pub md5: Option<[u8; 16]>,
}

/// The answer to a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Without quotes.
    pub etag: Option<String>,
    /// What the destination states of the bytes it now holds; nothing that we only sent.
    pub stated: Checksums,
    /// What could not be carried as it was, for the record. Each begins with the name of a `fidelity::Property`
    /// ("metadata x: …"), by which it is counted. Empty: everything was carried.
    pub not_carried: Vec<String>,
}

impl PutOptions {
    /// All that is not carried as it was, before the write and by it.
    pub fn not_carried(&self, mut written: Vec<String>) -> Vec<String> {
        written.extend_from_slice(&self.lost);
        written
    }
}

impl Limits {
    /// `InvalidName` for a key that cannot be held.
    pub fn check_name(&self, key: &ObjectKey) -> Result<()> {
        (self.name)(key).map_err(|why| Error::new(ErrorKind::InvalidName, Op::Put, why).on(key))
    }
}
