//! File systems with little room, for one test: mounted in a mount namespace of the test's own thread, which the
//! commands that it runs share, and which goes with it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Gives this thread a mount namespace of its own. Only root may: whoever gets `false` says so and ends.
pub fn own_mounts() -> bool {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).is_ok()
        && mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).is_ok()
}

/// A directory with a file system of its own.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts an empty one of so many KiB over the directory, which is made.
    pub fn mount(path: &Path, kib: u32) -> Disk {
        std::fs::create_dir_all(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let options = format!("size={kib}k,mode=700");
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .unwrap_or_else(|error| panic!("cannot mount on {path:?}: {error}"));
        Disk { path: path.to_path_buf() }
    }

    /// Uses it up to the last byte.
    pub fn fill(&self) {
        let path = self.path.join("ballast");
        let mut ballast = File::create(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        for chunk in [1 << 20, 4096, 1] {
            let chunk = vec![b'x'; chunk];
            while ballast.write_all(&chunk).is_ok() {}
        }
    }

    /// Makes room again.
    pub fn free(&self) {
        let path = self.path.join("ballast");
        std::fs::remove_file(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    }
}

/// From now on a directory cannot be written by whoever comes to it.
pub fn make_read_only(path: &Path) {
    let none: Option<&str> = None;
    mount(Some(path), path, none, MsFlags::MS_BIND, none)
        .and_then(|()| {
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            mount(none, path, none, flags, none)
        })
        .unwrap_or_else(|error| panic!("cannot make {path:?} read-only: {error}"));
}

/// Takes that back.
pub fn make_writable(path: &Path) {
    nix::mount::umount2(path, nix::mount::MntFlags::MNT_DETACH)
        .unwrap_or_else(|error| panic!("cannot unmount {path:?}: {error}"));
}
