//! Takes away what killed processes left: temporary files that nobody writes any more.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, openat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::path::directory_flags;
use super::temporary::is_temporary;
use super::{At, modified_ms};
use crate::error::{Op, Result};

/// Removes Brigade's temporary files below `root` that were not written for `older_than`; answers how many.
/// An upload that is still to go on is such a file too: call it when no job goes on. No link is followed;
/// directories that cannot be read are left alone. A root that is not there holds nothing.
pub async fn sweep_temporaries(root: &Path, older_than: Duration) -> Result<u64> {
    let at = At { op: Op::ListUploads, key: None };
    let root = root.to_owned();
    at.blocking(move || match Dir::open(&root, directory_flags(true), Mode::empty()) {
        Ok(directory) => Ok(sweep(directory, before_ms(older_than))),
        Err(Errno::ENOENT) => Ok(0),
        Err(errno) => Err(at.system(errno, &root)),
    })
    .await
}

fn before_ms(older_than: Duration) -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.saturating_sub(older_than).as_millis()).unwrap_or(i64::MAX)
}

fn sweep(mut directory: Dir, before_ms: i64) -> u64 {
    let mut removed = 0;
    let (temporaries, directories) = sort_out(&mut directory);
    for name in temporaries {
        let Ok(stat) = fstatat(&directory, name.as_slice(), AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
        if modified_ms(&stat) <= before_ms
            && unlinkat(&directory, name.as_slice(), UnlinkatFlags::NoRemoveDir).is_ok()
        {
            removed += 1;
        }
    }
    for name in directories {
        let child = openat(&directory, name.as_slice(), directory_flags(false), Mode::empty());
        if let Ok(child) = child.and_then(Dir::from_fd) {
            removed += sweep(child, before_ms);
        }
    }
    removed
}

/// Names of temporary files, and of what is or may be a directory.
fn sort_out(directory: &mut Dir) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut temporaries, mut directories) = (Vec::new(), Vec::new());
    for entry in directory.iter().flatten() {
        let name = entry.file_name().to_bytes();
        if is_temporary(name) {
            temporaries.push(name.to_vec());
        } else if matches!(entry.file_type(), Some(nix::dir::Type::Directory) | None)
            && !matches!(name, b"." | b"..")
        {
            directories.push(name.to_vec());
        }
    }
    (temporaries, directories)
}
