//! The listing of a tree in the order of an object store: entries are compared with `/` behind the names of
//! directories, so `a-b` comes before `a/x`, and that before `a0`. Only the directories on the way to the
//! current one are held, each as its sorted names; what is outside of the wanted range is not kept at all. The
//! last of them alone are open, so that a deep tree does not use up the open files.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, stat};
use proto::manifest::Entry;

use super::names::{Identity, Listing, TooManyNames};
use super::path::{directory_flags, take_apart};
use super::temporary::is_temporary;
use super::{At, Tree, modified_ms};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::source::{ListRequest, Page};
use crate::span::Span;

const LIST: At<'static> = At { op: Op::List, key: None };

/// So many directories of a listing are open: the current one, and the one above it.
const OPEN: usize = 2;

/// A listing under way. Blocks: call it where blocking is allowed.
#[derive(Debug)]
pub(super) struct Walker {
    tree: Arc<Tree>,
    range: Span,
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
    /// Said behind the page that was begun before it.
    failed: Option<Error>,
}

#[derive(Debug)]
struct Frame {
    /// Open in the last [`OPEN`] frames.
    directory: Option<Dir>,
    listing: Arc<Listing>,
    /// The place of the next name.
    next: usize,
    path_len: usize,
    identity: Identity,
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
        let range = Span::new(&tree.prefix, request);
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
            failed: None,
        }
    }

    /// The next page; none after the last one.
    pub(super) fn next_page(&mut self) -> Result<Option<Page>> {
        if !self.begun {
            self.begun = true;
            self.begin()?;
        }
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        while self.page.entries.len() + self.page.prefixes.len() < self.page_size {
            match self.step() {
                Ok(true) => {}
                Ok(false) => break,
                // What came before it counts: whoever lists again gets on.
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        let page = std::mem::take(&mut self.page);
        let is_empty = page.entries.is_empty() && page.prefixes.is_empty() && page.special == 0;
        match self.failed.take_if(|_| is_empty) {
            Some(error) => Err(error),
            None => Ok((!is_empty).then_some(page)),
        }
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
        let (Some(directory), Some(name)) = (&frame.directory, frame.listing.names.get(frame.next)) else {
            let left = self.frames.pop().and_then(|frame| frame.directory);
            self.back_from(left)?;
            return Ok(true);
        };
        frame.next += 1;
        self.path.extend_from_slice(name);
        let is_directory = name.ends_with(b"/");
        if !(if is_directory {
            self.range.wants_directory(&self.path)
        } else {
            self.range.wants_file(&self.path)
        }) {
            return Ok(true);
        }
        match name.strip_suffix(b"/") {
            None => {
                let flags = if self.follow { AtFlags::empty() } else { AtFlags::AT_SYMLINK_NOFOLLOW };
                let stat = fstatat(directory, name, flags);
                self.file(stat)?;
            }
            Some(_) if self.range.folded => {
                let prefix = self.range.key(&self.path);
                self.page.prefixes.push(prefix);
            }
            Some(name) => {
                match openat(directory, name, directory_flags(self.follow), Mode::empty()) {
                    Ok(directory) => self.enter(directory)?,
                    // It went away since its name was read.
                    Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => self.must_be_current()?,
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
            Err(Errno::ENOENT | Errno::ELOOP) => self.must_be_current()?,
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
        let listing = match self.tree.shared.find(identity) {
            Some(listing) => listing,
            None => self.tree.shared.share(identity, self.load(&mut directory)?),
        };
        let mut key = self.path.clone();
        let mut full = |name: &[u8]| {
            key.truncate(self.path.len());
            key.extend_from_slice(name);
            key.clone()
        };
        let special = listing.special.iter().filter(|name| self.range.wants_file(&full(name))).count();
        let next = listing.names.first_not(|name| self.range.is_behind(&full(name)));
        self.page.special += special as u64;
        if listing.names.is_empty()
            && self.path.len() > self.range.prefix_len
            && self.range.wants_file(&self.path)
        {
            self.list(0, &stat);
        }
        self.frames.push(Frame {
            directory: Some(directory),
            listing,
            next,
            path_len: self.path.len(),
            identity,
        });
        if let Some(frame) = self.frames.len().checked_sub(OPEN + 1).and_then(|at| self.frames.get_mut(at)) {
            frame.directory = None;
        }
        Ok(())
    }

    /// Where another directory has the place of the current one now (a new release was moved there), the names
    /// that were read of the old one say nothing of what it holds: whoever lists has to go on behind the last key,
    /// from the root. Where nothing has its place, what was left in it is gone.
    fn must_be_current(&self) -> Result<()> {
        let Some(frame) = self.frames.last() else { return Ok(()) };
        let path = self.tree.path(&self.path[..frame.path_len]);
        match stat(&path) {
            Ok(there) if identity(&there) != frame.identity => {
                let text = format!("{}: another one took its place while it was listed", path.display());
                Err(LIST.error(ErrorKind::Broken, text))
            }
            // What else goes wrong goes wrong at the next look as well, with its reason.
            _ => Ok(()),
        }
    }

    /// Opens the current directory again, which was closed below it; where it is gone, what was left in it is.
    fn back_from(&mut self, below: Option<Dir>) -> Result<()> {
        if self.frames.last().is_none_or(|frame| frame.directory.is_some()) {
            return Ok(());
        }
        self.must_be_current()?;
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        self.path.truncate(frame.path_len);
        let flags = directory_flags(self.follow);
        let is_it = |found: &OwnedFd| fstat(found).is_ok_and(|stat| identity(&stat) == frame.identity);
        // Behind a link the way back is another one.
        let above = below.and_then(|below| openat(&below, "..", flags, Mode::empty()).ok()).filter(is_it);
        let found = match above {
            Some(above) => Some(above),
            None => self.tree.find_directory(LIST, &self.path, self.follow)?.filter(is_it),
        };
        let path = || self.tree.path(&self.path);
        match found {
            Some(found) => {
                frame.directory = Some(Dir::from_fd(found).map_err(|errno| LIST.system(errno, &path()))?);
            }
            None => frame.listing = Arc::default(),
        }
        Ok(())
    }

    /// Everything that a directory holds, sorted.
    fn load(&self, directory: &mut Dir) -> Result<Listing> {
        let failed = |errno| LIST.system(errno, &self.tree.path(&self.path));
        let mut listing = Listing::default();
        let mut add = |name: &[u8], kind: Kind| match kind {
            Kind::File => listing.names.push(name, false),
            Kind::Directory => listing.names.push(name, true),
            Kind::Special => listing.special.push(name, false),
            Kind::Gone => Ok(()),
        };
        let too_many = |TooManyNames| too_many(&self.tree, &self.path);
        let mut unclear: Vec<Vec<u8>> = Vec::new();
        for entry in directory.iter() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || is_temporary(name) {
                continue;
            }
            match entry.file_type() {
                Some(Type::File) => add(name, Kind::File).map_err(too_many)?,
                Some(Type::Directory) => add(name, Kind::Directory).map_err(too_many)?,
                Some(Type::Symlink) if self.follow => unclear.push(name.to_vec()),
                None => unclear.push(name.to_vec()),
                Some(_) => add(name, Kind::Special).map_err(too_many)?,
            }
        }
        for name in unclear {
            let kind = find_out(directory, &name, self.follow).map_err(failed)?;
            add(&name, kind).map_err(too_many)?;
        }
        listing.names.sort();
        Ok(listing)
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
