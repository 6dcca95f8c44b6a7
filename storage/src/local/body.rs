//! The bytes of a file, and the proof that they are one version's: size, times and inode before and after.
//!
//! What was listed is told from another version by its size and time of modification. Who can set that time back
//! (`cp -p`, `rsync -t`) can give two versions the same ones, so everything that is read of one object, in pieces
//! or in several ranges, has to have the same inode and time of change ([`tag`]) as well.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use crc_fast::Digest;
use futures::{StreamExt, stream};
use nix::sys::stat::{FileStat, fstat};
use proto::ObjectKey;
use proto::breakpoint::{self, breakpoint};

use super::{At, CRC, modified_ms};
use crate::error::{ErrorKind, Op, Result};
use crate::meta::Version;
use crate::meter::{Arriving, Meter, RequestKind};
use crate::source::Body;

/// Up to here a file is read in one piece of work; larger ones in pieces of this size.
pub(super) const PIECE: u64 = 1 << 20;

/// A file of which a range is read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) key: ObjectKey,
    pub(super) stat: FileStat,
}

/// The kernel stamps files with the time of its last tick, which may be this much ago (100 a second).
const TICK: Duration = Duration::from_millis(10);

/// Names one state of a file, whatever its size and time of modification say: inode and time of change.
pub(super) fn tag(stat: &FileStat) -> String {
    format!("{:x}-{:x}.{:09}", stat.st_ino, stat.st_ctime, stat.st_ctime_nsec)
}

/// Two writes in one tick leave the same times: a file that was changed just now is read when its tick is over,
/// so that the next write shows.
pub(super) fn rest_of_tick(stat: &FileStat) -> Option<Duration> {
    let seconds = u64::try_from(stat.st_ctime).ok()?;
    let changed = UNIX_EPOCH + Duration::new(seconds, u32::try_from(stat.st_ctime_nsec).ok()?);
    let age = SystemTime::now().duration_since(changed).ok()?;
    (TICK * 2).checked_sub(age).filter(|left| !left.is_zero())
}

/// `PreconditionFailed` when the file is not the version that was listed.
pub(super) fn check_version(at: At<'_>, path: &Path, stat: &FileStat, version: &Version) -> Result<()> {
    let same_time = version.modified_ms.is_none_or(|ms| ms == modified_ms(stat));
    let same_size = stat.st_size as u64 == version.size;
    if same_size && same_time && version.etag.as_ref().is_none_or(|etag| *etag == tag(stat)) {
        return Ok(());
    }
    if same_size && same_time {
        let text = format!("{} was replaced or written to while it was read in parts", path.display());
        return Err(at.error(ErrorKind::PreconditionFailed, text));
    }
    let text = format!(
        "{} changed since it was listed: {} bytes then, {} now; modified {} then, {} now (Unix ms)",
        path.display(),
        version.size,
        stat.st_size,
        version.modified_ms.unwrap_or_default(),
        modified_ms(stat),
    );
    Err(at.error(ErrorKind::PreconditionFailed, text))
}

impl Reading {
    /// The next bytes. With the last ones the file must still be what it was.
    pub(super) fn piece(&self, from: u64, len: u64, is_last: bool) -> Result<Bytes> {
        let at = At::key(Op::Get, &self.key);
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, from).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.changed(at),
            _ => at.io(&error, &self.path),
        })?;
        if is_last {
            let now = fstat(&self.file).map_err(|errno| at.system(errno, &self.path))?;
            let version = |stat: &FileStat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, tag(stat));
            if version(&now) != version(&self.stat) {
                return Err(self.changed(at));
            }
        } else {
            breakpoint(breakpoint::PIECE_READ);
        }
        Ok(bytes.into())
    }

    fn changed(&self, at: At<'_>) -> crate::error::Error {
        let text = format!("{} changed while it was read", self.path.display());
        at.error(ErrorKind::PreconditionFailed, text)
    }
}

/// One piece that was read already.
pub(super) fn whole(bytes: Bytes, meter: Meter) -> Body {
    if bytes.is_empty() {
        return stream::empty().boxed();
    }
    stream::once(async move {
        meter.bytes_read(bytes.len()).await;
        Ok(bytes)
    })
    .boxed()
}

/// Piece after piece, each read when it is asked for.
pub(super) fn pieces(reading: Reading, range: std::ops::Range<u64>, meter: Meter) -> Body {
    let state = Some((Arc::new(reading), range, None::<Arriving>));
    stream::unfold((state, meter), |(state, meter)| async move {
        let (reading, range, arriving) = state?;
        let len = PIECE.min(range.end - range.start);
        if len == 0 {
            return None;
        }
        let mut arriving = match arriving {
            Some(arriving) => arriving,
            None => meter.arriving(range.end - range.start).await,
        };
        let next = range.start + len..range.end;
        arriving.came(len).await;
        let (from, is_last, file) = (range.start, next.is_empty(), reading.clone());
        let at = At::key(Op::Get, &reading.key);
        let read = at.blocking(move || file.piece(from, len, is_last)).await;
        if read.is_err() {
            meter.failed(RequestKind::Get, false);
        }
        let state = read.is_ok().then_some((reading, next, Some(arriving)));
        Some((read, (state, meter)))
    })
    .boxed()
}

/// Reads `size` bytes back and hashes them; fewer when the file ends before.
pub(super) fn hash(file: &File, from: u64, size: u64) -> std::io::Result<u64> {
    let mut digest = Digest::new(CRC);
    let mut buffer = vec![0; size.min(256 << 10) as usize];
    let mut done = 0;
    while done < size {
        let want = (size - done).min(buffer.len() as u64) as usize;
        let Some(slice) = buffer.get_mut(..want) else { break };
        match file.read_at(slice, from + done) {
            Ok(0) => break,
            Ok(n) => {
                digest.update(slice.get(..n).unwrap_or_default());
                done += n as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(digest.finalize())
}
