//! An upload under way: what is to do, what is ready, what arrived, and its form in the master's books.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use conf::job::Verify;
use proto::v1;
use storage::checksum::Hashes;
use storage::{Checksums, Error, ErrorKind, ObjectMeta, PartDone, PutOptions, UploadRef, Version};
use tokio_util::sync::CancellationToken;

use crate::budget::Held;
use crate::flight::Flight;
use crate::trip::{Failure, Fetched, Trip};

/// An upload under way.
pub(crate) struct Large<'a> {
    pub(crate) to: UploadRef,
    pub(crate) part_size: u64,
    /// Unix milliseconds, by our clock.
    pub(crate) begun_ms: i64,
    pub(crate) size: u64,
    /// All ranges are read from it.
    pub(crate) version: Version,
    pub(crate) options: PutOptions,
    /// What the source states of the whole.
    pub(crate) source: Checksums,
    /// The parts are those that the source's ETag is made of.
    pub(crate) in_parts_of_source: bool,
    /// Of all bytes, where they passed in their order and it was taken.
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) todo: Mutex<VecDeque<u32>>,
    /// A part that was read to learn the object's metadata.
    pub(crate) ready: Mutex<Option<(u32, Fetched, Held)>>,
    pub(crate) parts: Mutex<BTreeMap<u32, (PartDone, Hashes)>>,
    /// How many parts the master knows of.
    pub(crate) saved: tokio::sync::Mutex<usize>,
    /// No part is left to begin.
    pub(crate) drained: CancellationToken,
    /// An earlier holder began it.
    pub(crate) resumed: bool,
    pub(crate) flight: Flight<'a>,
}

impl Trip<'_> {
    /// What an upload is begun and completed with: the MD5 that the source states of the whole goes with it.
    pub(crate) async fn upload_options(
        &self,
        meta: &ObjectMeta,
        part_size: u64,
    ) -> Result<PutOptions, Failure> {
        let options = self.options(meta, meta.checksums.md5).await?;
        Ok(PutOptions { md5: self.compared_md5(meta), part_size, ..options })
    }

    /// The MD5 that the source states of the whole, where the job compares it.
    pub(crate) fn compared_md5(&self, meta: &ObjectMeta) -> Option<[u8; 16]> {
        meta.checksums.md5.filter(|_| self.mover.job.transfer.verify != Verify::Size)
    }
}

// === impl Large ===

impl Large<'_> {
    pub(crate) fn parts(&self) -> MutexGuard<'_, BTreeMap<u32, (PartDone, Hashes)>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn todo(&self) -> MutexGuard<'_, VecDeque<u32>> {
        self.todo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ready(&self) -> MutexGuard<'_, Option<(u32, Fetched, Held)>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the destination no longer have this upload? Some services refuse the use of an upload that they do
    /// not know: where an earlier holder began it, a new one tells whether the keys may write.
    pub(crate) fn is_gone(&self, error: &Error) -> bool {
        match error.kind() {
            ErrorKind::UploadNotFound => true,
            ErrorKind::AccessDenied | ErrorKind::Refused => self.resumed,
            _ => false,
        }
    }

    /// The next part to move, with its bytes where they were read already.
    pub(crate) fn next(&self) -> Option<(u32, Option<(Fetched, Held)>)> {
        let ready = self.ready().take();
        let next = match ready {
            Some((number, fetched, held)) => Some((number, Some((fetched, held)))),
            None => self.todo().pop_front().map(|number| (number, None)),
        };
        if self.todo().is_empty() {
            self.drained.cancel();
        }
        next
    }

    /// As the master keeps it.
    pub(crate) fn record(&self, index: u32) -> v1::Upload {
        let part = |(done, _): &(PartDone, Hashes)| v1::Part {
            number: done.number,
            size: done.size,
            etag: done.etag.clone(),
            crc64: done.crc,
            md5: done.md5.map(|md5| md5.to_vec()).unwrap_or_default(),
        };
        v1::Upload {
            index,
            key: self.to.key.as_bytes().to_vec(),
            upload_id: self.to.id.clone(),
            part_size: self.part_size,
            source_version: self.version.to_line(),
            parts: self.parts().values().map(part).collect(),
            finished: false,
            begun_ms: self.begun_ms,
            astray: false,
        }
    }
}
