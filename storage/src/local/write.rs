//! The tree as a destination. Every write goes to a temporary file in the directory where the object will
//! stand; it is read back, flushed to the disk, and only then renamed.

use std::io::Write;
use std::os::unix::fs::FileExt;

use async_trait::async_trait;
use conf::job::EndpointType;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FallocateFlags, fallocate};
use nix::sys::stat::{fstat, fstatat, futimens};
use nix::sys::time::TimeSpec;
use proto::ObjectKey;

use super::body::hash;
use super::path::Place;
use super::read::content_type;
use super::temporary::Temporary;
use super::{At, CRC, LocalDestination, Tree};
use crate::checksum::combine;
use crate::destination::{Destination, Limits, PartDone, PutOptions, Unwanted, UploadRef, Whole, Written};
use crate::error::{ErrorKind, Op, Result};
use crate::fidelity;
use crate::meta::{Checksums, Headers};
use crate::meter::RequestKind;
use crate::pace::Turn;
use crate::payload::Payload;

#[async_trait]
impl Destination for LocalDestination {
    async fn check(&self) -> Result<()> {
        let destination = self.clone();
        let at = At { op: Op::Open, key: None };
        at.blocking(move || destination.tree.check_writable(at)).await
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    async fn put(&self, key: &ObjectKey, options: &PutOptions, payload: &Payload) -> Result<Written> {
        let (key, options, payload) = (key.clone(), options.clone(), payload.clone());
        self.run(Op::Put, RequestKind::Put, move |destination| {
            let written = destination.put_now(At::key(Op::Put, &key), &key, &options, &payload)?;
            destination.tree.meter.bytes_written(payload.len());
            Ok(written)
        })
        .await
    }

    async fn begin(&self, key: &ObjectKey, options: &PutOptions) -> Result<UploadRef> {
        let (key, options) = (key.clone(), options.clone());
        self.run(Op::Begin, RequestKind::Multipart, move |destination| {
            destination.begin_now(At::key(Op::Begin, &key), &key, &options)
        })
        .await
    }

    async fn part(
        &self,
        upload: &UploadRef,
        number: u32,
        offset: u64,
        payload: &Payload,
    ) -> Result<PartDone> {
        let (upload, payload) = (upload.clone(), payload.clone());
        self.run(Op::Part, RequestKind::Part, move |destination| {
            let at = At::key(Op::Part, &upload.key);
            let temporary = destination.reopen(at, &upload)?;
            let crc = write_part(&destination.tree, at, &temporary, offset, &payload)?;
            destination.tree.meter.bytes_written(payload.len());
            let etag = format!("{crc:016x}");
            Ok(PartDone { number, offset, size: payload.len(), etag, crc: Some(crc), md5: None })
        })
        .await
    }

    async fn parts(&self, upload: &UploadRef, recorded: &[PartDone]) -> Result<Vec<PartDone>> {
        let (upload, mut recorded) = (upload.clone(), recorded.to_vec());
        self.run(Op::ListParts, RequestKind::List, move |destination| {
            let at = At::key(Op::ListParts, &upload.key);
            let temporary = destination.reopen(at, &upload)?;
            // The record may be ahead of the disk after a power loss: only what can be read back counts.
            recorded.retain(|part| {
                part.crc.is_some() && hash(&temporary.file, part.offset, part.size).ok() == part.crc
            });
            Ok(recorded)
        })
        .await
    }

    async fn complete(
        &self,
        upload: &UploadRef,
        options: &PutOptions,
        parts: &[PartDone],
        whole: &Whole,
    ) -> Result<Written> {
        let (upload, options, parts, whole) = (upload.clone(), options.clone(), parts.to_vec(), *whole);
        self.run(Op::Complete, RequestKind::Multipart, move |destination| {
            destination.complete_now(&upload, &options, &parts, &whole)
        })
        .await
    }

    async fn abort(&self, unwanted: &Unwanted) -> Result<u64> {
        let Unwanted::Known(upload) = unwanted.clone() else { return Ok(0) };
        self.run(Op::Abort, RequestKind::Multipart, move |destination| destination.abort_now(&upload))
            .await?;
        Ok(1)
    }
}

impl LocalDestination {
    /// Counts, and runs work that blocks.
    async fn run<T: Send + 'static>(
        &self,
        op: Op,
        kind: RequestKind,
        work: impl FnOnce(&LocalDestination) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.tree.meter.request(kind).await;
        let destination = self.clone();
        let done = At { op, key: None }.blocking(move || work(&destination)).await;
        done.inspect_err(|_| self.tree.meter.failed(kind, false))
    }

    fn put_now(
        &self,
        at: At<'_>,
        key: &ObjectKey,
        options: &PutOptions,
        payload: &Payload,
    ) -> Result<Written> {
        let full = self.tree.full(key);
        let place = self.place(at, &full)?;
        let Some(name) = place.name else {
            if !payload.is_empty() {
                let text = "a key that ends in / is a directory and cannot hold content";
                return Err(at.error(ErrorKind::InvalidName, text));
            }
            self.tree.make_directory(at, &place.directories)?;
            return Ok(written(0, key, &options.headers));
        };
        let directory = self.tree.make_directory(at, &place.directories)?;
        if self.forbid_overwrite && fstatat(&directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok() {
            return Err(at.error(ErrorKind::PreconditionFailed, "a file of this name is there already"));
        }
        let mut temporary = Temporary::unnamed(&self.tree, at, directory, &place.directories)?;
        for piece in self.tree.paced(payload) {
            temporary.file.write_all(piece).map_err(|error| at.io(&error, &temporary.path))?;
        }
        let crc = read_back(at, &temporary, 0, payload)?;
        finish(at, &temporary, payload.len(), options)?;
        temporary.publish(&self.tree, at, name, self.forbid_overwrite)?;
        Ok(written(crc, key, &options.headers))
    }

    fn begin_now(&self, at: At<'_>, key: &ObjectKey, options: &PutOptions) -> Result<UploadRef> {
        let full = self.tree.full(key);
        let place = self.place(at, &full)?;
        let Some(name) = place.name else {
            let text = "a key that ends in / is a directory and cannot hold content";
            return Err(at.error(ErrorKind::InvalidName, text));
        };
        let directory = self.tree.make_directory(at, &place.directories)?;
        // Before the bytes are moved; the name is looked at again when they are there.
        drop(self.tree.hold_name(at, &directory, name, &self.tree.path(&full))?);
        let temporary = Temporary::create(&self.tree, at, directory, &place.directories)?;
        let size = i64::try_from(options.size).unwrap_or(i64::MAX);
        // So that a full disk is found out before the bytes are fetched. Not every file system can.
        match fallocate(&temporary.file, FallocateFlags::empty(), 0, size.max(1)) {
            Err(errno @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG)) => {
                return Err(at.system(errno, &temporary.path));
            }
            _ => {
                let sized = temporary.file.set_len(options.size).and_then(|()| temporary.file.sync_all());
                sized.map_err(|error| at.io(&error, &temporary.path))?;
            }
        }
        Ok(UploadRef { key: key.clone(), id: temporary.keep() })
    }

    fn complete_now(
        &self,
        upload: &UploadRef,
        options: &PutOptions,
        parts: &[PartDone],
        whole: &Whole,
    ) -> Result<Written> {
        let at = At::key(Op::Complete, &upload.key);
        let full = self.tree.full(&upload.key);
        let place = self.place(at, &full)?;
        let Some(name) = place.name else {
            return Err(at.error(ErrorKind::InvalidName, "a directory cannot hold content"));
        };
        let temporary = self.reopen(at, upload)?;
        let crc = joined(parts, whole.size).ok_or_else(|| {
            at.error(ErrorKind::Refused, format!("the parts do not make up {} bytes", whole.size))
        })?;
        if whole.crc.is_some_and(|announced| announced != crc) {
            let text = "the parts that were read back are not the whole that was announced";
            return Err(at.error(ErrorKind::Corrupted, text));
        }
        finish(at, &temporary, whole.size, options)?;
        temporary.publish(&self.tree, at, name, self.forbid_overwrite)?;
        Ok(written(crc, &upload.key, &options.headers))
    }

    fn abort_now(&self, upload: &UploadRef) -> Result<()> {
        let at = At::key(Op::Abort, &upload.key);
        match self.reopen(at, upload) {
            Ok(temporary) => {
                temporary.discard();
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::UploadNotFound | ErrorKind::InvalidName) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn place<'a>(&self, at: At<'_>, full: &'a [u8]) -> Result<Place<'a>> {
        super::path::check(full).map_err(|why| at.error(ErrorKind::InvalidName, why))?;
        self.tree.place(at, full)
    }

    fn reopen(&self, at: At<'_>, upload: &UploadRef) -> Result<Temporary> {
        let full = self.tree.full(&upload.key);
        let place = self.place(at, &full)?;
        // Nothing is made here: without its directory the upload is gone.
        let look = At { op: Op::Part, ..at };
        let directory = match self.tree.open_directory(look, &place.directories, false) {
            Ok(directory) => directory,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(error.into_kind(ErrorKind::UploadNotFound));
            }
            Err(error) => return Err(error),
        };
        Temporary::reopen(&self.tree, at, directory, &place.directories, &upload.id)
    }
}

impl Tree {
    /// The bytes in order, each piece when the limit lets it pass.
    fn paced<'a>(&'a self, payload: &'a Payload) -> impl Iterator<Item = &'a [u8]> {
        let slice = self.meter.slice().unwrap_or(usize::MAX);
        let mut turn = Turn::of(payload.len());
        let pieces = payload.chunks().iter().flat_map(move |chunk| chunk.chunks(slice));
        pieces.inspect(move |piece| {
            self.meter.sending_blocks(turn, piece.len() as u64);
            turn.left = turn.left.saturating_sub(piece.len() as u64);
        })
    }

    /// Makes the root where it is missing, and tries whether a file can be made in it.
    fn check_writable(&self, at: At<'_>) -> Result<()> {
        std::fs::create_dir_all(&self.root).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotADirectory => {
                at.error(ErrorKind::BucketNotFound, format!("{} is not a directory", self.root.display()))
            }
            _ => at.io(&error, &self.root),
        })?;
        let root = self.open_root(at)?;
        Temporary::unnamed(self, at, root, &[]).map(Temporary::discard)
    }
}

/// Writes a part into its place and reads it back; on disk when this returns.
fn write_part(tree: &Tree, at: At<'_>, temporary: &Temporary, offset: u64, payload: &Payload) -> Result<u64> {
    let failed = |error: std::io::Error| at.io(&error, &temporary.path);
    let mut position = offset;
    for piece in tree.paced(payload) {
        temporary.file.write_all_at(piece, position).map_err(failed)?;
        position += piece.len() as u64;
    }
    let crc = read_back(at, temporary, offset, payload)?;
    temporary.file.sync_data().map_err(failed)?;
    Ok(crc)
}

/// The hash of what the file holds now; `Corrupted` when that is not what was written.
fn read_back(at: At<'_>, temporary: &Temporary, offset: u64, payload: &Payload) -> Result<u64> {
    let crc = hash(&temporary.file, offset, payload.len()).map_err(|error| at.io(&error, &temporary.path))?;
    if crc == payload.crc(CRC) {
        return Ok(crc);
    }
    let text = format!("{} does not hold what was written to it", temporary.path.display());
    Err(at.error(ErrorKind::Corrupted, text))
}

/// The last steps before a file gets its name: the right length, the time, all on disk.
fn finish(at: At<'_>, temporary: &Temporary, size: u64, options: &PutOptions) -> Result<()> {
    let failed = |errno| at.system(errno, &temporary.path);
    let found = fstat(&temporary.file).map_err(failed)?.st_size;
    if found as u64 != size {
        let text = format!("{} has {found} bytes, {size} were written", temporary.path.display());
        return Err(at.error(ErrorKind::Corrupted, text));
    }
    if let Some(ms) = options.modified_ms {
        let time = TimeSpec::new(ms.div_euclid(1000), ms.rem_euclid(1000) * 1_000_000);
        futimens(&temporary.file, &TimeSpec::UTIME_OMIT, &time).map_err(failed)?;
    }
    temporary.file.sync_all().map_err(|error| at.io(&error, &temporary.path))
}

/// The hash of the whole from its parts; none when they leave a gap, overlap or have no hash.
fn joined(parts: &[PartDone], size: u64) -> Option<u64> {
    let mut end = 0;
    let mut crcs = Vec::with_capacity(parts.len());
    for part in parts {
        if part.offset != end {
            return None;
        }
        end += part.size;
        crcs.push((part.crc?, part.size));
    }
    if end != size { None } else { combine(CRC, crcs) }
}

fn written(crc: u64, key: &ObjectKey, headers: &Headers) -> Written {
    let stated = Checksums { crc64nvme: Some(crc), ..Checksums::default() };
    let mut not_carried = fidelity::of(EndpointType::Local).lost(headers);
    let plain = ["application/octet-stream", "binary/octet-stream"];
    // The type follows from the name; services write a plain one where nobody said any.
    if let Some(given) = headers.content_type.as_deref().filter(|given| !plain.contains(given))
        && !key.is_marker()
        && !given.eq_ignore_ascii_case(content_type(key))
    {
        not_carried
            .push(format!("content-type {given:?}: the name of the file says {:?}", content_type(key)));
    }
    Written { etag: None, stated, not_carried }
}
