//! Files that are not complete yet. Where the system can do it they have no name at all, so that a killed
//! process leaves nothing; otherwise, and for uploads in parts, it is `.brigade-<16 hex digits>.tmp` in the
//! directory where they will stand. The first 8 digits are the job's: what a killed process left is found by them.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, checksum};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, fsync, linkat, unlinkat};

use proto::breakpoint::{self, breakpoint};

use super::folding::unfit;
use super::{At, Tree};
use crate::error::{ErrorKind, Result};

const BEGIN: &[u8] = b".brigade-";
const END: &[u8] = b".tmp";

/// Permissions of new files, less the umask.
const FILE_MODE: Mode = Mode::from_bits_truncate(0o666);

/// How the system names a file by its descriptor.
const DESCRIPTORS: &str = "/proc/self/fd";

/// A temporary file. Dropping it removes it, unless it was kept or published.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) file: File,
    /// Where it has one.
    name: Option<String>,
    directory: OwnedFd,
    /// For errors: its own, or the directory's.
    pub(super) path: PathBuf,
    remove: bool,
    mark: String,
}

/// Is this the name of a file that is not complete? Listings leave such names out.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    name.len() > BEGIN.len() + END.len() && name.starts_with(BEGIN) && name.ends_with(END)
}

impl Temporary {
    /// A new one in this directory, without a name where that is possible.
    pub(super) fn unnamed(tree: &Tree, at: At<'_>, directory: OwnedFd, segments: &[&[u8]]) -> Result<Self> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        match openat(&directory, ".", flags, FILE_MODE) {
            Ok(file) if Path::new(DESCRIPTORS).exists() => {
                let path = tree.path(&segments.join(&b'/'));
                let mark = tree.mark.clone();
                Ok(Temporary { file: file.into(), name: None, directory, path, remove: false, mark })
            }
            // Not here; a real trouble (no space, no permission) comes again with the name.
            Ok(_) | Err(_) => Self::create(tree, at, directory, segments),
        }
    }

    /// A new one with a name in this directory.
    pub(super) fn create(tree: &Tree, at: At<'_>, directory: OwnedFd, segments: &[&[u8]]) -> Result<Self> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Self::open_as(tree, at, directory, segments, new_name(&tree.mark), flags)
    }

    /// One that was kept. `UploadNotFound` when it is not there, or is not one.
    pub(super) fn reopen(
        tree: &Tree,
        at: At<'_>,
        directory: OwnedFd,
        segments: &[&[u8]],
        name: &str,
    ) -> Result<Self> {
        if !is_temporary(name.as_bytes()) || name.contains('/') {
            return Err(at.error(ErrorKind::UploadNotFound, "not the name of an upload"));
        }
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut opened = Self::open_as(tree, at, directory, segments, name.to_owned(), flags)?;
        opened.remove = false;
        Ok(opened)
    }

    fn open_as(
        tree: &Tree,
        at: At<'_>,
        directory: OwnedFd,
        segments: &[&[u8]],
        name: String,
        flags: OFlag,
    ) -> Result<Self> {
        let path = tree.path(&segments.join(&b'/')).join(&name);
        match openat(&directory, name.as_str(), flags, FILE_MODE) {
            Ok(file) => {
                let mark = tree.mark.clone();
                Ok(Temporary { file: file.into(), name: Some(name), directory, path, remove: true, mark })
            }
            Err(Errno::ENOENT | Errno::ELOOP) if !flags.contains(OFlag::O_CREAT) => {
                Err(at.error(ErrorKind::UploadNotFound, format!("{} is gone", path.display())))
            }
            Err(errno) => Err(at.system(errno, &path)),
        }
    }

    /// Leaves it where it is.
    pub(super) fn keep(mut self) -> String {
        self.remove = false;
        self.name.take().unwrap_or_default()
    }

    /// Takes it away when dropped.
    pub(super) fn discard(mut self) {
        self.remove = true;
    }

    /// Gives it its name, in one step; with `new_only` never over something else.
    pub(super) fn publish(mut self, tree: &Tree, at: At<'_>, name: &[u8], new_only: bool) -> Result<()> {
        let target = match &self.name {
            Some(_) => self.path.with_file_name(OsStr::from_bytes(name)),
            None => self.path.join(OsStr::from_bytes(name)),
        };
        let held = tree.hold_name(at, &self.directory, name, &target)?;
        breakpoint(breakpoint::NOT_NAMED);
        let done = if new_only { self.link(name) } else { self.replace(name) };
        done.map_err(|errno| match errno {
            Errno::EEXIST if new_only => {
                at.error(ErrorKind::PreconditionFailed, format!("{} is there already", target.display()))
            }
            Errno::EISDIR | Errno::EEXIST | Errno::ENOTEMPTY => {
                at.error(ErrorKind::InvalidName, format!("{} is a directory", target.display()))
            }
            Errno::EINVAL => unfit(at, &target),
            errno => at.system(errno, &target),
        })?;
        drop(held);
        fsync(&self.directory).map_err(|errno| at.system(errno, &target))
    }

    /// Under this name where nothing is there; `EEXIST` otherwise.
    fn link(&mut self, name: &[u8]) -> nix::Result<()> {
        match &self.name {
            Some(temporary) => {
                linkat(&self.directory, temporary.as_str(), &self.directory, name, AtFlags::empty())?;
                self.unlink();
                Ok(())
            }
            None => {
                let descriptor = format!("{DESCRIPTORS}/{}", self.file.as_raw_fd());
                let follow = AtFlags::AT_SYMLINK_FOLLOW;
                linkat(AT_FDCWD, descriptor.as_str(), &self.directory, name, follow)
            }
        }
    }

    /// Under this name, whatever file is there.
    fn replace(&mut self, name: &[u8]) -> nix::Result<()> {
        if self.name.is_none() {
            match self.link(name) {
                Err(Errno::EEXIST) => {}
                done => return done,
            }
            // Only something with a name can take another's place.
            let temporary = new_name(&self.mark);
            self.link(temporary.as_bytes())?;
            (self.name, self.remove) = (Some(temporary), true);
        }
        let temporary = self.name.as_deref().unwrap_or_default();
        breakpoint(breakpoint::NOT_RENAMED);
        renameat(&self.directory, temporary, &self.directory, name)?;
        self.remove = false;
        Ok(())
    }

    fn unlink(&mut self) {
        self.remove = false;
        let Some(name) = &self.name else { return };
        if let Err(errno) = unlinkat(&self.directory, name.as_str(), UnlinkatFlags::NoRemoveDir) {
            tracing::warn!(path = %self.path.display(), %errno, "cannot remove a temporary file");
        }
    }
}

fn new_name(mark: &str) -> String {
    format!("{mark}{:08x}.tmp", rand::random::<u32>())
}

/// How the names of this job's temporary files begin.
pub(super) fn mark(job: &str) -> String {
    format!(".brigade-{:08x}", checksum(CrcAlgorithm::Crc32Iscsi, job.as_bytes()) as u32)
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.remove {
            self.unlink();
        }
    }
}
