//! Files that are not complete yet: `.brigade-<16 hex digits>.tmp`, in the directory where they will stand.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::{At, Tree};
use crate::error::{ErrorKind, Result};

const BEGIN: &[u8] = b".brigade-";
const END: &[u8] = b".tmp";

/// Permissions of new files, less the umask.
const FILE_MODE: Mode = Mode::from_bits_truncate(0o666);

/// A temporary file. Dropping it removes it, unless it was kept or published.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) file: File,
    pub(super) name: String,
    pub(super) directory: OwnedFd,
    /// For errors.
    pub(super) path: PathBuf,
    remove: bool,
}

/// Is this the name of a file that is not complete? Listings leave such names out.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    name.len() > BEGIN.len() + END.len() && name.starts_with(BEGIN) && name.ends_with(END)
}

impl Temporary {
    /// A new one in this directory.
    pub(super) fn create(tree: &Tree, at: At<'_>, directory: OwnedFd, segments: &[&[u8]]) -> Result<Self> {
        let name = format!(".brigade-{:016x}.tmp", rand::random::<u64>());
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Self::open_as(tree, at, directory, segments, name, flags)
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
            Ok(file) => Ok(Temporary { file: file.into(), name, directory, path, remove: true }),
            Err(Errno::ENOENT | Errno::ELOOP) if !flags.contains(OFlag::O_CREAT) => {
                Err(at.error(ErrorKind::UploadNotFound, format!("{} is gone", path.display())))
            }
            Err(errno) => Err(at.system(errno, &path)),
        }
    }

    /// Leaves it where it is.
    pub(super) fn keep(mut self) -> String {
        self.remove = false;
        std::mem::take(&mut self.name)
    }

    /// Takes it away when dropped.
    pub(super) fn discard(mut self) {
        self.remove = true;
    }

    /// Gives it its name, in one step; with `new_only` never over something else.
    pub(super) fn publish(mut self, at: At<'_>, name: &[u8], new_only: bool) -> Result<()> {
        let temporary = self.name.as_str();
        let target = self.path.with_file_name(String::from_utf8_lossy(name).as_ref());
        let done = if new_only {
            // Refused where anything stands; the temporary name is taken away below.
            linkat(&self.directory, temporary, &self.directory, name, AtFlags::empty())
        } else {
            renameat(&self.directory, temporary, &self.directory, name)
        };
        done.map_err(|errno| match errno {
            Errno::EEXIST if new_only => {
                at.error(ErrorKind::PreconditionFailed, format!("{} is there already", target.display()))
            }
            Errno::EISDIR | Errno::EEXIST | Errno::ENOTEMPTY => {
                at.error(ErrorKind::InvalidName, format!("{} is a directory", target.display()))
            }
            errno => at.system(errno, &target),
        })?;
        if new_only {
            self.unlink();
        }
        self.remove = false;
        nix::unistd::fsync(&self.directory).map_err(|errno| at.system(errno, &target))
    }

    fn unlink(&mut self) {
        self.remove = false;
        if let Err(errno) = unlinkat(&self.directory, self.name.as_str(), UnlinkatFlags::NoRemoveDir) {
            tracing::warn!(path = %self.path.display(), %errno, "cannot remove a temporary file");
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.remove {
            self.unlink();
        }
    }
}
