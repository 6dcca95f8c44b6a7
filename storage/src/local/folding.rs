//! File systems that take one name for another: FAT, exFAT, NTFS, shares of Windows, ext4 and tmpfs with
//! `casefold` ignore letter case, some of them ignore dots and spaces at the end, and some take the two ways to
//! write an accent for one. There the second of two such keys would replace the first, and both would be proved.
//!
//! What a file system does is found out once for each device, with a temporary file. Where it does nothing of
//! the kind, a write costs one `fstat` more. Where it does, a write compares the bytes of the name that stands
//! there already, as the directory lists it: a lookup tells the name that was asked for.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::libc::dev_t;
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::path::{Place, directory_flags};
use super::{At, Tree};
use crate::error::{Error, ErrorKind, Result};

/// Directories whose names were compared are remembered up to this number.
const REMEMBERED: usize = 100_000;

/// Between the look at a name and its use nobody else of this process may make one.
static TURN: Mutex<()> = Mutex::new(());

/// What a file system takes for the same name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Folding {
    /// Names that differ in letter case, or in the form of an accent.
    pub(super) names: bool,
    /// Names that differ in dots or spaces at the end.
    pub(super) ends: bool,
}

/// What is known of the file systems below the root.
#[derive(Debug, Default)]
pub(super) struct Known {
    devices: Mutex<Vec<(dev_t, Folding)>>,
    /// Paths of directories that stand there exactly so.
    exact: Mutex<HashSet<Vec<u8>>>,
}

/// Held while a name is looked at and used.
#[derive(Debug)]
pub(super) struct Held<'a> {
    _turn: MutexGuard<'a, ()>,
    _lock: Option<nix::fcntl::Flock<OwnedFd>>,
}

// === impl Folding ===

impl Folding {
    fn any(self) -> bool {
        self.names || self.ends
    }
}

// === impl Known ===

impl Known {
    fn of(&self, device: dev_t) -> Option<Folding> {
        let devices = lock(&self.devices);
        devices.iter().find(|(known, _)| *known == device).map(|(_, folding)| *folding)
    }

    pub(super) fn learn(&self, device: dev_t, folding: Folding) {
        lock(&self.devices).push((device, folding));
    }
}

// === impl Tree ===

impl Tree {
    /// What the file system of this directory takes for the same name. Makes a file when it is asked first.
    fn folding(&self, at: At<'_>, directory: &OwnedFd) -> Result<Folding> {
        let failed = |errno| at.system(errno, &self.root);
        let device = fstat(directory).map_err(failed)?.st_dev;
        if let Some(known) = self.known.of(device) {
            return Ok(known);
        }
        let found = try_out(directory, &self.mark).map_err(failed)?;
        if found.any() {
            tracing::warn!(root = %self.root.display(), ?found, "this file system takes different names for one: of such keys only the first is written");
        }
        self.known.learn(device, found);
        Ok(found)
    }

    /// `InvalidName` where one of these directories, which are there, stands under another spelling.
    pub(super) fn must_be_exact(&self, at: At<'_>, directory: &OwnedFd, segments: &[&[u8]]) -> Result<()> {
        if segments.is_empty() || !self.folding(at, directory)?.any() {
            return Ok(());
        }
        let mut parent = self.open_root(at)?;
        for (depth, segment) in segments.iter().enumerate() {
            let path = segments[..=depth].join(&b'/');
            let shown = self.path(&path);
            let failed = |errno| at.system(errno, &shown);
            let next = openat(&parent, *segment, directory_flags(false), Mode::empty()).map_err(failed)?;
            if !lock(&self.known.exact).contains(&path) {
                if let Some(other) = standing_as(&parent, segment, next.as_fd()).map_err(failed)? {
                    return Err(stands_as(at, &shown, &other));
                }
                let mut exact = lock(&self.known.exact);
                if exact.len() >= REMEMBERED {
                    exact.clear();
                }
                exact.insert(path);
            }
            parent = next;
        }
        Ok(())
    }

    /// `InvalidName` where a file of this name would take the place of one with another. While the answer is
    /// held, nobody else makes such a name; `None`: no need here.
    pub(super) fn hold_name(
        &self,
        at: At<'_>,
        directory: &OwnedFd,
        name: &[u8],
        path: &Path,
    ) -> Result<Option<Held<'static>>> {
        let folding = self.folding(at, directory)?;
        if !folding.any() {
            return Ok(None);
        }
        if folding.ends && matches!(name.last(), Some(b'.' | b' ')) {
            let text =
                format!("{}: this file system drops dots and spaces at the end of a name", path.display());
            return Err(at.error(ErrorKind::InvalidName, text));
        }
        let held = hold(directory);
        let failed = |errno| match errno {
            Errno::EINVAL => unfit(at, path),
            errno => at.system(errno, path),
        };
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(directory, name, flags, Mode::empty()) {
            Err(Errno::ENOENT) => Ok(Some(held)),
            Err(errno) => Err(failed(errno)),
            Ok(found) => match standing_as(directory, name, found.as_fd()).map_err(failed)? {
                None => Ok(Some(held)),
                Some(other) => Err(stands_as(at, path, &other)),
            },
        }
    }

    /// Was this found under exactly this name? Costs two lookups where letter case counts.
    pub(super) fn is_exact(&self, at: At<'_>, place: &Place<'_>, found: &FileStat) -> Result<bool> {
        let (mut directory, mut segments) = (self.open_root(at)?, place.directories.clone());
        segments.extend(place.name);
        let same = |from: &OwnedFd, name: &[u8]| {
            let stat = other_case(name).and_then(|other| fstatat(from, &*other, AtFlags::empty()).ok());
            stat.is_some_and(|stat| (stat.st_dev, stat.st_ino) == (found.st_dev, found.st_ino))
        };
        let last = segments.last().copied().unwrap_or_default();
        let above = self.find_directory(at, &place.directories.join(&b'/'), true)?;
        if !same(&directory, &segments.join(&b'/')) && !above.is_some_and(|above| same(&above, last)) {
            return Ok(true);
        }
        for segment in segments {
            let shown = self.path(segment);
            let failed = |errno| at.system(errno, &shown);
            let next = openat(&directory, segment, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
                .map_err(failed)?;
            if standing_as(&directory, segment, next.as_fd()).map_err(failed)?.is_some() {
                return Ok(false);
            }
            directory = next;
        }
        Ok(true)
    }
}

/// The name that no file system of this kind can have.
pub(super) fn unfit(at: At<'_>, path: &Path) -> Error {
    let text = format!("{}: this file system has no such names (EINVAL)", path.display());
    at.error(ErrorKind::InvalidName, text)
}

fn stands_as(at: At<'_>, path: &Path, other: &[u8]) -> Error {
    let other = String::from_utf8_lossy(other);
    let text = format!(
        "{} stands there as {other:?}, which this file system takes for the same name: the first stays as it is",
        path.display()
    );
    at.error(ErrorKind::InvalidName, text)
}

fn hold(directory: &OwnedFd) -> Held<'static> {
    let turn = lock(&TURN);
    // For other processes. Not every file system locks directories.
    let lock = directory
        .try_clone()
        .ok()
        .and_then(|fd| nix::fcntl::Flock::lock(fd, nix::fcntl::FlockArg::LockExclusive).ok());
    Held { _turn: turn, _lock: lock }
}

/// The directory's own word for what was found as `name`; `None`: the same one.
fn standing_as(
    directory: &OwnedFd,
    name: &[u8],
    found: std::os::fd::BorrowedFd<'_>,
) -> nix::Result<Option<Vec<u8>>> {
    let inode = fstat(found)?.st_ino;
    let mut other = None;
    let mut listed = Dir::openat(directory, ".", directory_flags(false), Mode::empty())?;
    for entry in listed.iter() {
        let entry = entry?;
        let standing = entry.file_name().to_bytes();
        if standing == name {
            return Ok(None);
        }
        let likely = standing.eq_ignore_ascii_case(name);
        if likely || other.is_none() && entry.ino() == inode {
            other = Some(standing.to_vec());
        }
    }
    Ok(Some(other.unwrap_or_else(|| b"another name".to_vec())))
}

/// The same name with small letters for large ones and the other way round; none where it has no letters.
fn other_case(name: &[u8]) -> Option<Vec<u8>> {
    let swap = |byte: &u8| {
        if byte.is_ascii_lowercase() { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() }
    };
    let other: Vec<u8> = name.iter().map(swap).collect();
    (other != name).then_some(other)
}

/// With a file that is gone when this returns.
fn try_out(directory: &OwnedFd, mark: &str) -> nix::Result<Folding> {
    let number = rand::random::<u32>();
    let plain = format!("{mark}{number:08x}.tmp");
    let accented = format!("{mark}{number:08x}\u{e9}.tmp");
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let make = |name: &str| openat(directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map(drop);
    let name = match make(&accented) {
        Ok(()) => accented,
        Err(Errno::EINVAL | Errno::EILSEQ) => make(&plain).map(|()| plain)?,
        Err(errno) => return Err(errno),
    };
    let is_there = |name: &str| fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok();
    let found = Folding {
        names: is_there(&name.to_ascii_uppercase()) || {
            let decomposed = name.replace('\u{e9}', "e\u{301}");
            decomposed != name && is_there(&decomposed)
        },
        ends: is_there(&format!("{name}.")) || is_there(&format!("{name} ")),
    };
    unlinkat(directory, name.as_str(), UnlinkatFlags::NoRemoveDir)?;
    Ok(found)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn open(path: &Path) -> OwnedFd {
        nix::fcntl::open(path, directory_flags(true), Mode::empty()).unwrap()
    }

    #[test]
    fn an_ordinary_file_system_keeps_names_apart_and_nothing_is_left_of_the_attempt() {
        let root = TempDir::new().unwrap();
        assert_eq!(try_out(&open(root.path()), ".brigade-00000000"), Ok(Folding::default()));
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_the_directory_lists_is_the_name_not_what_was_asked_for() {
        let root = TempDir::new().unwrap();
        std::fs::write(root.path().join("A.txt"), "x").unwrap();
        std::fs::write(root.path().join("LongName.txt"), "x").unwrap();
        let directory = open(root.path());
        // As such a file system would open it for any of the names.
        let found = |name: &str| openat(&directory, name, OFlag::O_PATH, Mode::empty()).unwrap();
        let standing = |name: &str, found: OwnedFd| standing_as(&directory, name.as_bytes(), found.as_fd());
        assert_eq!(standing("A.txt", found("A.txt")), Ok(None));
        assert_eq!(standing("a.TXT", found("A.txt")), Ok(Some(b"A.txt".to_vec())));
        assert_eq!(standing("LONGNA~1.TXT", found("LongName.txt")), Ok(Some(b"LongName.txt".to_vec())));
    }

    #[test]
    fn the_other_case_of_a_name_without_letters_is_none() {
        assert_eq!(other_case(b"aB-1"), Some(b"Ab-1".to_vec()));
        assert_eq!(other_case("1-é".as_bytes()), None);
    }
}
