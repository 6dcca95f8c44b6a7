//! A directory tree as source and as destination.
//!
//! An object's key is the path of its file below the root, byte for byte. Listings come in the order in which
//! an object store would give them ([`walk`]). What cannot be a path below the root is `InvalidName`: empty,
//! `.` and `..` segments, NUL, segments of more than 255 bytes, names that are not UTF-8 (a source lists those,
//! so that they are reported), and the names of our own temporary files. A key that ends in `/` and has no
//! content is a directory; a source gives such a key for each directory that holds nothing. Where a file
//! stands, nothing can be written below it, and where a directory stands, no file: the second of the two fails
//! with `InvalidName` and the first stays as it is.
//!
//! Directories are opened one by one from the root with `O_NOFOLLOW`: no key leads out of it, and no symbolic
//! link inside it is followed, unless the source is told to follow them. A write goes to a temporary name in
//! the same directory and is renamed when it is complete, checked and on disk. What a file holds is stated
//! only after it was read back.
//!
//! A file has no place for user metadata and content headers: what there is of them is reported as not carried. Of two keys that are one name to the
//! file system (letter case, dots at the end) the second fails with `InvalidName` ([`folding`]).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conf::Endpoint;
use crc_fast::CrcAlgorithm;
use nix::errno::Errno;
use nix::sys::stat::FileStat;
use proto::ObjectKey;

use crate::destination::Limits;
use crate::error::{Error, ErrorKind, Op, Result};
use crate::meter::Meter;
use crate::open::Context;

mod body;
mod folding;
mod names;
mod path;
mod read;
mod sweep;
mod temporary;
#[cfg(test)]
mod tests;
mod walk;
mod write;

pub(crate) use sweep::sweep_temporaries;

/// The hash of what is read back.
const CRC: CrcAlgorithm = CrcAlgorithm::Crc64Nvme;

/// A directory tree that objects come from.
#[derive(Debug, Clone)]
pub(crate) struct LocalSource {
    tree: Arc<Tree>,
    follow_symlinks: bool,
    /// Entries a page.
    page: usize,
}

/// A directory tree that objects go to.
#[derive(Debug, Clone)]
pub(crate) struct LocalDestination {
    tree: Arc<Tree>,
    forbid_overwrite: bool,
    limits: Limits,
}

/// What both ends know.
#[derive(Debug)]
struct Tree {
    root: PathBuf,
    /// Before every key, as in a bucket.
    prefix: Vec<u8>,
    meter: Meter,
    /// Begins the names of this job's temporary files.
    mark: String,
    /// Large directories that are being listed.
    shared: names::Shared,
    /// What its file systems do with names.
    known: folding::Known,
}

/// What is being done, for errors.
#[derive(Debug, Clone, Copy)]
struct At<'a> {
    op: Op,
    key: Option<&'a ObjectKey>,
}

// === impl LocalSource ===

impl LocalSource {
    pub(crate) fn new(endpoint: &Endpoint, context: &Context) -> Self {
        let page = endpoint.list_page.clamp(1, 100_000) as usize;
        LocalSource { tree: Tree::new(endpoint, context), follow_symlinks: endpoint.follow_symlinks, page }
    }
}

// === impl LocalDestination ===

impl LocalDestination {
    pub(crate) fn new(endpoint: &Endpoint, context: &Context) -> Self {
        let limits = Limits {
            crc: Some(CRC),
            etag_is_md5: false,
            etag_is_md5_of_parts: false,
            single_put: 1 << 62,
            part_min: 1,
            part_max: 1 << 62,
            parts: 50_000,
            needs_length: false,
            name: |key| path::check(key.as_bytes()),
        };
        LocalDestination {
            tree: Tree::new(endpoint, context),
            forbid_overwrite: endpoint.forbid_overwrite,
            limits,
        }
    }
}

// === impl Tree ===

impl Tree {
    fn new(endpoint: &Endpoint, context: &Context) -> Arc<Self> {
        Arc::new(Tree {
            root: endpoint.path.clone(),
            prefix: endpoint.prefix.as_bytes().to_vec(),
            meter: context.meter.clone(),
            mark: temporary::mark(&context.job),
            shared: names::Shared::default(),
            known: folding::Known::default(),
        })
    }

    /// The path of a key below the root, as bytes.
    fn full(&self, key: &ObjectKey) -> Vec<u8> {
        [&self.prefix, key.as_bytes()].concat()
    }

    /// The path of a file, for people.
    fn path(&self, full: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(full))
    }
}

// === impl At ===

impl<'a> At<'a> {
    fn key(op: Op, key: &'a ObjectKey) -> Self {
        At { op, key: Some(key) }
    }

    fn error(self, kind: ErrorKind, message: impl Into<String>) -> Error {
        let error = Error::new(kind, self.op, message);
        match self.key {
            Some(key) => error.on(key),
            None => error,
        }
    }

    /// What the system refused, at which path.
    fn system(self, errno: Errno, path: &Path) -> Error {
        self.error(self.kind(errno), format!("{}: {}", path.display(), errno.desc()))
    }

    fn io(self, error: &std::io::Error, path: &Path) -> Error {
        match error.raw_os_error() {
            Some(number) => self.system(Errno::from_raw(number), path),
            None => self.error(ErrorKind::Io, format!("{}: {error}", path.display())),
        }
    }

    fn kind(self, errno: Errno) -> ErrorKind {
        let reading = matches!(self.op, Op::Open | Op::List | Op::Head | Op::Get);
        match errno {
            Errno::ENOSPC | Errno::EDQUOT => ErrorKind::DiskFull,
            Errno::EROFS => ErrorKind::ReadOnly,
            Errno::EACCES | Errno::EPERM => ErrorKind::AccessDenied,
            // This process is at a limit of its own, not the object at fault.
            Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EAGAIN => ErrorKind::Broken,
            // Its directory was there a moment ago, and somebody took it away: the next attempt makes it anew.
            Errno::ENOENT if matches!(self.op, Op::Put | Op::Begin | Op::Complete) => ErrorKind::Broken,
            Errno::ENOENT => ErrorKind::NotFound,
            // Something on the way is a file or a link: no such object, and no place for one.
            Errno::ENOTDIR | Errno::ELOOP | Errno::EISDIR if reading => ErrorKind::NotFound,
            Errno::ENOTDIR | Errno::ELOOP | Errno::EISDIR | Errno::ENOTEMPTY => ErrorKind::InvalidName,
            Errno::ENAMETOOLONG | Errno::EILSEQ => ErrorKind::InvalidName,
            Errno::EFBIG => ErrorKind::Refused,
            _ => ErrorKind::Io,
        }
    }

    /// Runs work that blocks, away from the async threads. It goes on to its end when the caller is dropped.
    async fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(self.error(ErrorKind::Io, format!("the file task ended: {error}"))))
    }
}

/// Last modified, Unix milliseconds.
fn modified_ms(stat: &FileStat) -> i64 {
    stat.st_mtime * 1000 + stat.st_mtime_nsec / 1_000_000
}
