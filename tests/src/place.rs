//! File systems with little room, for one test: mounted in a mount namespace of the test's own thread, which the
//! commands that it runs share, and which goes with it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// A file system that takes names for the same that differ in letter case.
#[derive(Debug)]
pub struct Folding {
    /// Which one.
    pub kind: &'static str,
    /// What is in it is empty and can be written.
    pub path: PathBuf,
    mounted: PathBuf,
}

impl Drop for Folding {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.mounted, nix::mount::MntFlags::MNT_DETACH);
    }
}

/// Of whichever such kind this machine can mount. `None`: of none.
pub fn folding(scratch: &Path) -> Option<Folding> {
    let (image, at) = (scratch.join("image"), scratch.join("mounted"));
    let (file, to) = (image.display(), at.display());
    let format = |program: &str| format!("truncate -s 64M {file} && {program} {file}");
    // It takes no plain file; the device goes with the last mount of it.
    let fuse =
        format!("d=$(losetup -f --show {file}) && mount.exfat-fuse $d {to}; e=$?; losetup -d $d; exit $e");
    let kinds = [
        ("vfat", format!("{} && mount -t vfat -o loop,utf8 {file} {to}", format("mkfs.vfat"))),
        ("exfat", format!("{} && mount -t exfat -o loop {file} {to}", format("mkfs.exfat"))),
        ("exfat (fuse)", format!("{} && {fuse}", format("mkfs.exfat"))),
        ("tmpfs", format!("mount -t tmpfs -o casefold none {to} && mkdir {to}/d && chattr +F {to}/d")),
    ];
    for (name, script) in kinds {
        let _ = std::fs::remove_file(&image);
        std::fs::create_dir_all(&at).unwrap_or_else(|error| panic!("{at:?}: {error}"));
        let mut shell = Command::new("sh");
        shell.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let done = shell.args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if done.is_ok_and(|status| status.success()) {
            let directory = at.join("d");
            let path = if directory.is_dir() { directory } else { at.clone() };
            return Some(Folding { kind: name, path, mounted: at });
        }
        let _ = nix::mount::umount2(&at, nix::mount::MntFlags::MNT_DETACH);
    }
    None
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
