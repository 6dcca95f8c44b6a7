//! The listing of a tree in the order of an object store: entries are compared with `/` behind the names of
//! directories, so `a-b` comes before `a/x`, and that before `a0`. Only the directories on the way to the
//! current one are held, each as its sorted names; what is outside of the wanted range is not kept at all.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use proto::ObjectKey;
use proto::manifest::Entry;

use super::names::Names;
use super::path::{directory_flags, take_apart};
use super::temporary::is_temporary;
use super::{At, Tree, modified_ms};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::source::{ListRequest, Page};

const LIST: At<'static> = At { op: Op::List, key: None };

/// A listing under way. Blocks: call it where blocking is allowed.
#[derive(Debug)]
pub(super) struct Walker {
    tree: Arc<Tree>,
    range: Range,
    follow: bool,
    page_size: usize,
    begun: bool,
    /// Device and inode of the directories above the first frame.
    above: Vec<Identity>,
    /// The directories from the first one to the current one.
    frames: Vec<Frame>,
    /// The path of the current directory; empty, or ends in `/`.
    path: Vec<u8>,
    page: Page,
}

#[derive(Debug)]
struct Frame {
    directory: Dir,
    names: Names,
    path_len: usize,
    identity: Identity,
}

type Identity = (u64, u64);

/// Which keys are wanted; all with the endpoint's prefix.
#[derive(Debug)]
struct Range {
    prefix_len: usize,
    under: Vec<u8>,
    after: Option<Vec<u8>>,
    until: Option<Vec<u8>>,
    folded: bool,
}

/// What a name stands for.
enum Kind {
    File,
    Directory,
    Special,
    Gone,
}

// === impl Walker ===

impl Walker {
    pub(super) fn new(tree: Arc<Tree>, request: &ListRequest, follow: bool, page_size: usize) -> Self {
        let full = |key: &ObjectKey| tree.full(key);
        let range = Range {
            prefix_len: tree.prefix.len(),
            under: full(&request.under),
            after: request.after.as_ref().map(full),
            until: request.until.as_ref().map(full),
            folded: request.folded,
        };
        Walker {
            tree,
            range,
            follow,
            page_size,
            begun: false,
            above: Vec::new(),
            frames: Vec::new(),
            path: Vec::new(),
            page: Page::default(),
        }
    }

    /// The next page; none after the last one.
    pub(super) fn next_page(&mut self) -> Result<Option<Page>> {
        if !self.begun {
            self.begun = true;
            self.begin()?;
        }
        while self.page.entries.len() + self.page.prefixes.len() < self.page_size && self.step()? {}
        let page = std::mem::take(&mut self.page);
        let is_empty = page.entries.is_empty() && page.prefixes.is_empty() && page.special == 0;
        Ok((!is_empty).then_some(page))
    }

    /// Opens the deepest directory that holds all keys under the wanted prefix. Where there is none, there
    /// are no keys.
    fn begin(&mut self) -> Result<()> {
        let depth = self.range.under.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let start = self.range.under[..depth].to_vec();
        if !self.range.reaches(&start) {
            return Ok(());
        }
        let mut directory = self.tree.open_root(LIST)?;
        if !start.is_empty() {
            let Ok(place) = take_apart(&start) else { return Ok(()) };
            for segment in place.directories {
                self.above.push(identity(&self.stat(&directory)?));
                match openat(&directory, segment, directory_flags(self.follow), Mode::empty()) {
                    Ok(next) => directory = next,
                    Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
                    Err(errno) => return Err(LIST.system(errno, &self.tree.path(&start))),
                }
            }
        }
        self.path = start;
        self.enter(directory)
    }

    /// One name further; false when there is nothing left.
    fn step(&mut self) -> Result<bool> {
        let Some(frame) = self.frames.last_mut() else { return Ok(false) };
        self.path.truncate(frame.path_len);
        let Some(name) = frame.names.next() else {
            self.frames.pop();
            return Ok(true);
        };
        self.path.extend_from_slice(name);
        match name.strip_suffix(b"/") {
            None => {
                let flags = if self.follow { AtFlags::empty() } else { AtFlags::AT_SYMLINK_NOFOLLOW };
                let stat = fstatat(&frame.directory, name, flags);
                self.file(stat)?;
            }
            Some(_) if self.range.folded => {
                let prefix = self.range.key(&self.path);
                self.page.prefixes.push(prefix);
            }
            Some(name) => {
                match openat(&frame.directory, name, directory_flags(self.follow), Mode::empty()) {
                    Ok(directory) => self.enter(directory)?,
                    // It went away since its name was read.
                    Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                    Err(errno) => return Err(LIST.system(errno, &self.tree.path(&self.path))),
                }
            }
        }
        Ok(true)
    }

    fn file(&mut self, stat: nix::Result<FileStat>) -> Result<()> {
        match stat {
            Ok(stat) if is(&stat, SFlag::S_IFREG) => self.list(stat.st_size as u64, &stat),
            // Another thing took the file's place since its name was read.
            Ok(_) => self.page.special += 1,
            Err(Errno::ENOENT | Errno::ELOOP) => {}
            Err(errno) => return Err(LIST.system(errno, &self.tree.path(&self.path))),
        }
        Ok(())
    }

    fn list(&mut self, size: u64, stat: &FileStat) {
        let key = self.range.key(&self.path);
        let modified_ms = Some(modified_ms(stat));
        self.page.entries.push(Entry { key, size, modified_ms, ..Entry::default() });
    }

    /// Reads the directory at the current path: it becomes the current one, or a marker when it is empty.
    fn enter(&mut self, directory: OwnedFd) -> Result<()> {
        let stat = self.stat(&directory)?;
        let identity = identity(&stat);
        let seen = self.above.contains(&identity) || self.frames.iter().any(|f| f.identity == identity);
        if seen {
            tracing::warn!(path = %self.tree.path(&self.path).display(), "a link leads back to a directory above it");
            self.page.special += 1;
            return Ok(());
        }
        let failed = |errno| LIST.system(errno, &self.tree.path(&self.path));
        let mut directory = Dir::from_fd(directory).map_err(failed)?;
        let (names, holds_something) = self.load(&mut directory)?;
        if !holds_something && self.path.len() > self.range.prefix_len && self.range.wants_file(&self.path) {
            self.list(0, &stat);
        }
        self.frames.push(Frame { directory, names, path_len: self.path.len(), identity });
        Ok(())
    }

    /// The wanted names of a directory, sorted, and whether it holds anything that is or leads to an object.
    fn load(&mut self, directory: &mut Dir) -> Result<(Names, bool)> {
        let failed = |errno| LIST.system(errno, &self.tree.path(&self.path));
        let mut names = Names::default();
        let mut holds_something = false;
        let mut key = self.path.clone();
        let mut unclear: Vec<Vec<u8>> = Vec::new();
        let mut add = |name: &[u8], kind: Kind, range: &Range, page: &mut Page| -> Result<()> {
            key.truncate(self.path.len());
            key.extend_from_slice(name);
            let is_directory = matches!(kind, Kind::Directory);
            if is_directory {
                key.push(b'/');
            }
            match kind {
                Kind::Special => page.special += u64::from(range.wants_file(&key)),
                Kind::Gone => {}
                Kind::File | Kind::Directory => {
                    holds_something = true;
                    if if is_directory { range.wants_directory(&key) } else { range.wants_file(&key) } {
                        names.push(name, is_directory).map_err(|_| too_many(&self.tree, &self.path))?;
                    }
                }
            }
            Ok(())
        };
        for entry in directory.iter() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || is_temporary(name) {
                continue;
            }
            match entry.file_type() {
                Some(Type::File) => add(name, Kind::File, &self.range, &mut self.page)?,
                Some(Type::Directory) => add(name, Kind::Directory, &self.range, &mut self.page)?,
                Some(Type::Symlink) if self.follow => unclear.push(name.to_vec()),
                None => unclear.push(name.to_vec()),
                Some(_) => add(name, Kind::Special, &self.range, &mut self.page)?,
            }
        }
        for name in unclear {
            let kind = find_out(directory, &name, self.follow).map_err(failed)?;
            add(&name, kind, &self.range, &mut self.page)?;
        }
        names.sort();
        Ok((names, holds_something))
    }

    fn stat(&self, directory: &OwnedFd) -> Result<FileStat> {
        fstat(directory).map_err(|errno| LIST.system(errno, &self.tree.path(&self.path)))
    }
}

/// What a link leads to, or what a name is on a file system that does not say so with the name.
fn find_out(directory: &Dir, name: &[u8], follow: bool) -> nix::Result<Kind> {
    let flags = if follow { AtFlags::empty() } else { AtFlags::AT_SYMLINK_NOFOLLOW };
    match fstatat(directory, name, flags) {
        Ok(stat) if is(&stat, SFlag::S_IFREG) => Ok(Kind::File),
        Ok(stat) if is(&stat, SFlag::S_IFDIR) => Ok(Kind::Directory),
        Ok(_) => Ok(Kind::Special),
        Err(errno @ (Errno::ENOENT | Errno::ELOOP)) => {
            // Gone meanwhile, or a link that leads nowhere.
            if fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_err() {
                return Ok(Kind::Gone);
            }
            tracing::warn!(name = %String::from_utf8_lossy(name), %errno, "a symbolic link leads nowhere");
            Ok(Kind::Special)
        }
        Err(errno) => Err(errno),
    }
}

fn too_many(tree: &Tree, path: &[u8]) -> Error {
    LIST.error(
        ErrorKind::Unsupported,
        format!("{}: too many names in one directory", tree.path(path).display()),
    )
}

fn identity(stat: &FileStat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
}

// === impl Range ===

impl Range {
    /// The key below the endpoint's prefix.
    fn key(&self, path: &[u8]) -> ObjectKey {
        ObjectKey::new(path.get(self.prefix_len..).unwrap_or_default().to_vec())
    }

    fn wants_file(&self, key: &[u8]) -> bool {
        key.starts_with(&self.under)
            && self.after.as_ref().is_none_or(|after| key > after.as_slice())
            && self.until.as_ref().is_none_or(|until| key < until.as_slice())
    }

    /// May there be wanted keys behind this path, which ends in `/`?
    fn wants_directory(&self, path: &[u8]) -> bool {
        if self.folded {
            // It is listed itself, as a key would be.
            return self.wants_file(path);
        }
        (path.starts_with(&self.under) || self.under.starts_with(path)) && self.reaches(path)
    }

    /// Does the range reach into what lies behind this path?
    fn reaches(&self, path: &[u8]) -> bool {
        self.after.as_ref().is_none_or(|after| path > after.as_slice() || after.starts_with(path))
            && self.until.as_ref().is_none_or(|until| path < until.as_slice())
    }
}
