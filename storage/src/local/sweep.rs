//! Takes away what killed processes left: temporary files that nobody writes any more.

use std::collections::BTreeSet;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::openat;
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};

use super::At;
use super::path::directory_flags;
use super::temporary::{is_temporary, mark};
use crate::error::{Op, Result};

/// What goes and what stays.
struct Sweep {
    mark: String,
    wanted: BTreeSet<String>,
}

/// Removes the job's temporary files below `root` but the `wanted` ones; answers how many. Call it when nobody
/// works on the job. No link is followed; directories that cannot be read are left alone. A root that is not
/// there holds nothing.
pub(crate) async fn sweep_temporaries(root: &Path, job: &str, wanted: BTreeSet<String>) -> Result<u64> {
    let at = At { op: Op::ListUploads, key: None };
    let (root, sweep) = (root.to_owned(), Sweep { mark: mark(job), wanted });
    at.blocking(move || match Dir::open(&root, directory_flags(true), Mode::empty()) {
        Ok(directory) => Ok(sweep.below(directory)),
        Err(Errno::ENOENT) => Ok(0),
        Err(errno) => Err(at.system(errno, &root)),
    })
    .await
}

impl Sweep {
    fn below(&self, mut directory: Dir) -> u64 {
        let mut removed = 0;
        let (temporaries, directories) = self.sort_out(&mut directory);
        for name in temporaries {
            removed += u64::from(unlinkat(&directory, name.as_slice(), UnlinkatFlags::NoRemoveDir).is_ok());
        }
        // A killed process may have made names here that it did not come to sync.
        let _ = fsync(&directory);
        for name in directories {
            let child = openat(&directory, name.as_slice(), directory_flags(false), Mode::empty());
            if let Ok(child) = child.and_then(Dir::from_fd) {
                removed += self.below(child);
            }
        }
        removed
    }

    /// Names of files that are to go, and of what is or may be a directory.
    fn sort_out(&self, directory: &mut Dir) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let (mut temporaries, mut directories) = (Vec::new(), Vec::new());
        for entry in directory.iter().flatten() {
            let name = entry.file_name().to_bytes();
            if is_temporary(name) {
                if self.is_unwanted(name) {
                    temporaries.push(name.to_vec());
                }
            } else if matches!(entry.file_type(), Some(nix::dir::Type::Directory) | None)
                && !matches!(name, b"." | b"..")
            {
                directories.push(name.to_vec());
            }
        }
        (temporaries, directories)
    }

    fn is_unwanted(&self, name: &[u8]) -> bool {
        name.starts_with(self.mark.as_bytes())
            && !std::str::from_utf8(name).is_ok_and(|name| self.wanted.contains(name))
    }
}
