//! From keys to files: which keys are paths, and how a directory is reached without ever leaving the root.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::fsync;

use super::folding::unfit;
use super::temporary::is_temporary;
use super::{At, Tree};
use crate::error::{ErrorKind, Result};

/// Bytes of a name in every common file system.
const SEGMENT_MAX: usize = 255;

/// Bytes of a path that other programs can still use (PATH_MAX with its NUL).
const PATH_MAX: usize = 4095;

/// Permissions of new directories, less the umask.
const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o777);

/// A key taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// The directories, from the root on.
    pub(super) directories: Vec<&'a [u8]>,
    /// The file's name; none for a directory marker.
    pub(super) name: Option<&'a [u8]>,
}

/// The rule for names; the text says what is wrong.
pub(super) fn check(key: &[u8]) -> std::result::Result<(), String> {
    if std::str::from_utf8(key).is_err() {
        return Err("the name is not UTF-8".to_owned());
    }
    take_apart(key).map(drop)
}

/// Directories and name of a key that is a path below the root. Bytes need not be UTF-8.
pub(super) fn take_apart(key: &[u8]) -> std::result::Result<Place<'_>, String> {
    if key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    if key.contains(&0) {
        return Err("the key contains NUL".to_owned());
    }
    if key.len() > PATH_MAX {
        return Err(format!("the path has {} bytes, {PATH_MAX} are possible", key.len()));
    }
    let (path, is_marker) = match key.strip_suffix(b"/") {
        Some(path) => (path, true),
        None => (key, false),
    };
    let mut directories: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    directories.iter().try_for_each(|segment| check_segment(segment))?;
    let name = if is_marker { None } else { directories.pop() };
    Ok(Place { directories, name })
}

fn check_segment(segment: &[u8]) -> std::result::Result<(), String> {
    match segment {
        b"" => Err("a file system cannot hold an empty path segment (\"//\", or \"/\" first)".to_owned()),
        b"." | b".." => Err("a path segment is \".\" or \"..\"".to_owned()),
        _ if segment.len() > SEGMENT_MAX => {
            Err(format!("a path segment has {} bytes, {SEGMENT_MAX} are possible", segment.len()))
        }
        _ if is_temporary(segment) => Err("the name is one of Brigade's temporary files".to_owned()),
        _ => Ok(()),
    }
}

/// What a directory is opened with; a link in its place is an error.
pub(super) fn directory_flags(follow: bool) -> OFlag {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    if follow { flags } else { flags | OFlag::O_NOFOLLOW }
}

impl Tree {
    /// The path apart, or `InvalidName`.
    pub(super) fn place<'a>(&self, at: At<'_>, full: &'a [u8]) -> Result<Place<'a>> {
        if self.root.as_os_str().len() + 1 + full.len() > PATH_MAX {
            return Err(at.error(ErrorKind::InvalidName, "the path is too long below this root"));
        }
        take_apart(full).map_err(|why| at.error(ErrorKind::InvalidName, why))
    }

    /// The root. It may itself be reached through links: that is the operator's choice.
    pub(super) fn open_root(&self, at: At<'_>) -> Result<OwnedFd> {
        open(&self.root, directory_flags(true), Mode::empty()).map_err(|errno| match errno {
            Errno::ENOENT => at.error(ErrorKind::BucketNotFound, no_root(&self.root, "no such directory")),
            Errno::ENOTDIR => at.error(ErrorKind::BucketNotFound, no_root(&self.root, "not a directory")),
            errno => at.system(errno, &self.root),
        })
    }

    /// The directory behind these segments, one step after the other.
    pub(super) fn open_directory(&self, at: At<'_>, segments: &[&[u8]], follow: bool) -> Result<OwnedFd> {
        let mut directory = self.open_root(at)?;
        for (depth, segment) in segments.iter().enumerate() {
            directory = openat(&directory, *segment, directory_flags(follow), Mode::empty())
                .map_err(|errno| at.system(errno, &self.path(&segments[..=depth].join(&b'/'))))?;
        }
        Ok(directory)
    }

    /// The directory of a path that ends in `/`, or is empty; `None` where there is none any more.
    pub(super) fn find_directory(&self, at: At<'_>, path: &[u8], follow: bool) -> Result<Option<OwnedFd>> {
        let mut directory = self.open_root(at)?;
        for segment in path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()) {
            directory = match openat(&directory, segment, directory_flags(follow), Mode::empty()) {
                Ok(next) => next,
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
                Err(errno) => return Err(at.system(errno, &self.path(path))),
            };
        }
        Ok(Some(directory))
    }

    /// The same; what is missing is made, and is on disk when this returns.
    pub(super) fn make_directory(&self, at: At<'_>, segments: &[&[u8]]) -> Result<OwnedFd> {
        let mut directory = self.open_root(at)?;
        for (depth, segment) in segments.iter().enumerate() {
            let failed = |errno| in_the_way(at, errno, &self.path(&segments[..=depth].join(&b'/')));
            directory = match openat(&directory, *segment, directory_flags(false), Mode::empty()) {
                Ok(next) => next,
                Err(Errno::ENOENT) => make(&directory, segment).map_err(failed)?,
                Err(errno) => return Err(failed(errno)),
            };
        }
        self.must_be_exact(at, &directory, segments)?;
        Ok(directory)
    }
}

fn make(parent: &OwnedFd, name: &[u8]) -> nix::Result<OwnedFd> {
    match mkdirat(parent, name, DIRECTORY_MODE) {
        Ok(()) => fsync(parent)?,
        // Somebody else was faster.
        Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    openat(parent, name, directory_flags(false), Mode::empty())
}

/// A file or a link where the key needs a directory.
fn in_the_way(at: At<'_>, errno: Errno, path: &Path) -> crate::error::Error {
    match errno {
        Errno::ENOTDIR | Errno::ELOOP => {
            let text = format!("{} is not a directory (a file, or a symbolic link)", path.display());
            at.error(ErrorKind::InvalidName, text)
        }
        Errno::EINVAL => unfit(at, path),
        errno => at.system(errno, path),
    }
}

fn no_root(root: &Path, what: &str) -> String {
    format!("{}: {what}", root.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_a_path_out_of_the_root() {
        let bad: [&[u8]; 13] = [
            b"",
            b"/",
            b"/a",
            b"/etc/passwd",
            b"..",
            b"../x",
            b"a/../b",
            b"a/..",
            b"./a",
            b"a/./b",
            b"a//b",
            b"a/b//",
            b"a\0b",
        ];
        for key in bad {
            assert!(take_apart(key).is_err(), "{:?}", String::from_utf8_lossy(key));
        }
        assert!(check(&[b'x'; 256]).is_err());
        assert!(check(b"a/.brigade-0011223344556677.tmp").is_err());
        assert!(check(&[0xff]).is_err());
    }

    #[test]
    fn everything_else_is_a_path() {
        for key in ["a", "...", "a/b", " a ", "a\\b", "-", "a+b&c=d%20e?#", "😀", "\u{1}\n\u{7f}"] {
            assert_eq!(check(key.as_bytes()), Ok(()), "{key:?}");
        }
        let directories = vec![b"a".as_slice(), b"b"];
        assert_eq!(take_apart(b"a/b/").unwrap(), Place { directories: directories.clone(), name: None });
        assert_eq!(take_apart(b"a/b/c").unwrap(), Place { directories, name: Some(b"c") });
    }
}
