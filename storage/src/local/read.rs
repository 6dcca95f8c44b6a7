//! The tree as a source.

use std::ffi::OsStr;
use std::fs::File;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use proto::ObjectKey;

use super::body::{PIECE, Reading, check_version, pieces, rest_of_tick, tag, whole};
use super::walk::Walker;
use super::{At, LocalSource, Tree, modified_ms};
use crate::error::{ErrorKind, Op, Result};
use crate::meta::{Headers, ObjectMeta, Version};
use crate::meter::RequestKind;
use crate::source::{ListRequest, Pages, Read, Source};

#[async_trait]
impl Source for LocalSource {
    async fn check(&self) -> Result<()> {
        let at = At { op: Op::Open, key: None };
        let tree = self.tree.clone();
        at.blocking(move || {
            let root = tree.open_root(at)?;
            Dir::from_fd(root).map(drop).map_err(|errno| at.system(errno, &tree.root))
        })
        .await
    }

    fn list(&self, request: ListRequest) -> Pages {
        let walker = Walker::new(self.tree.clone(), &request, self.follow_symlinks, self.page);
        let tree = self.tree.clone();
        stream::unfold(Some(walker), move |walker| {
            let tree = tree.clone();
            async move {
                let mut walker = walker?;
                tree.meter.request(RequestKind::List).await;
                let at = At { op: Op::List, key: None };
                let walked = at.blocking(move || Ok((walker.next_page()?, walker))).await;
                match walked {
                    Ok((page, walker)) => page.map(|page| (Ok(page), Some(walker))),
                    Err(error) => {
                        tree.meter.failed(RequestKind::List, false);
                        Some((Err(error), None))
                    }
                }
            }
        })
        .boxed()
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        self.tree.meter.request(RequestKind::Head).await;
        let (tree, key, follow) = (self.tree.clone(), key.clone(), self.follow_symlinks);
        let found = At { op: Op::Head, key: None }
            .blocking(move || {
                let at = At::key(Op::Head, &key);
                let opened = tree.open(at, &key, follow)?;
                let full = tree.full(&key);
                if !tree.is_exact(at, &tree.place(at, &full)?, &opened.stat)? {
                    let text = "a name that this file system takes for the same is there, not this one";
                    return Err(at.error(ErrorKind::NotFound, text));
                }
                Ok(opened.meta(&key))
            })
            .await;
        found.inspect_err(|_| self.tree.meter.failed(RequestKind::Head, false))
    }

    async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>, version: &Version) -> Result<Read> {
        self.tree.meter.request(RequestKind::Get).await;
        let (tree, key, follow) = (self.tree.clone(), key.clone(), self.follow_symlinks);
        let version = version.clone();
        let begun = At { op: Op::Get, key: None }
            .blocking(move || tree.begin_read(&key, range, &version, follow))
            .await;
        begun.inspect_err(|_| self.tree.meter.failed(RequestKind::Get, false))
    }
}

/// A file or directory that is an object.
struct Opened {
    file: File,
    stat: FileStat,
}

impl Opened {
    fn meta(&self, key: &ObjectKey) -> ObjectMeta {
        let is_marker = key.is_marker();
        ObjectMeta {
            size: if is_marker { 0 } else { self.stat.st_size as u64 },
            modified_ms: Some(modified_ms(&self.stat)),
            etag: (!is_marker).then(|| tag(&self.stat)),
            headers: Headers {
                content_type: (!is_marker).then(|| content_type(key).to_owned()),
                ..Headers::default()
            },
            ..ObjectMeta::default()
        }
    }
}

/// By the name's extension.
pub(super) fn content_type(key: &ObjectKey) -> &'static str {
    let path = Path::new(OsStr::from_bytes(key.as_bytes()));
    mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream")
}

impl Tree {
    /// Opens what a key stands for; anything but a file, or a directory for a key that ends in `/`, is not
    /// found.
    fn open(&self, at: At<'_>, key: &ObjectKey, follow: bool) -> Result<Opened> {
        let full = self.full(key);
        let place = self.place(at, &full)?;
        let path = self.path(&full);
        let directory = self.open_directory(at, &place.directories, follow)?;
        let (file, wanted) = match place.name {
            Some(name) => {
                // Without O_NONBLOCK a pipe would wait for its writer.
                let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                let flags = if follow { flags } else { flags | OFlag::O_NOFOLLOW };
                let opened = openat(&directory, name, flags, Mode::empty());
                (opened.map_err(|errno| open_failed(at, errno, &path))?, SFlag::S_IFREG)
            }
            None => (directory, SFlag::S_IFDIR),
        };
        let stat = fstat(&file).map_err(|errno| at.system(errno, &path))?;
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != wanted {
            return Err(at.error(ErrorKind::NotFound, format!("{} is not a file", path.display())));
        }
        Ok(Opened { file: file.into(), stat })
    }

    fn begin_read(
        self: &Arc<Self>,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        version: &Version,
        follow: bool,
    ) -> Result<Read> {
        let at = At::key(Op::Get, key);
        let mut opened = self.open(at, key, follow)?;
        if key.is_marker() {
            let meta = opened.meta(key);
            return Ok(Read { meta, body: whole(bytes::Bytes::new(), self.meter.clone()) });
        }
        let path = self.path(&self.full(key));
        if let Some(left) = rest_of_tick(&opened.stat) {
            std::thread::sleep(left);
            opened.stat = fstat(&opened.file).map_err(|errno| at.system(errno, &path))?;
        }
        let meta = opened.meta(key);
        check_version(at, &path, &opened.stat, version)?;
        let range = match range {
            Some(range) if range.start >= range.end || range.start >= meta.size => {
                return Err(
                    at.error(ErrorKind::Refused, format!("no such range: {range:?} of {}", meta.size))
                );
            }
            Some(range) => range.start..range.end.min(meta.size),
            None => 0..meta.size,
        };
        let reading = Reading { file: opened.file, path, key: key.clone(), stat: opened.stat };
        let len = range.end - range.start;
        let body = if len <= PIECE {
            whole(reading.piece(range.start, len, true)?, self.meter.clone())
        } else {
            pieces(reading, range, self.meter.clone())
        };
        Ok(Read { meta, body })
    }
}

fn open_failed(at: At<'_>, errno: Errno, path: &Path) -> crate::error::Error {
    match errno {
        // A socket.
        Errno::ENXIO | Errno::EOPNOTSUPP => {
            at.error(ErrorKind::NotFound, format!("{} is not a file", path.display()))
        }
        errno => at.system(errno, path),
    }
}
