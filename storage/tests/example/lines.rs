//! A source whose objects are the lines of a file: `00000001` is the first one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use futures::StreamExt;
use proto::ObjectKey;
use proto::manifest::Entry;
use storage::{
    Checksums, Error, ErrorKind, ListRequest, ObjectMeta, Op, Page, Pages, Read, Result, Source, Version,
};

/// Keys of one page; a scan keeps its place after each page.
const PAGE: usize = 1000;

/// The lines of one file, as they were when it was opened.
#[derive(Debug)]
pub(crate) struct Lines(Arc<BTreeMap<ObjectKey, Bytes>>);

impl Lines {
    /// Reads the file. What goes wrong says what to do, and whose fault it is: the kind decides what happens next.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(|error| {
            Error::new(ErrorKind::BucketNotFound, Op::Open, format!("{}: {error}", path.display()))
        })?;
        let lines = text.split(|byte| *byte == b'\n').enumerate();
        let keyed =
            lines.map(|(at, line)| (format!("{:08}", at + 1).as_str().into(), Bytes::copy_from_slice(line)));
        Ok(Lines(Arc::new(keyed.collect())))
    }

    fn line(&self, op: Op, key: &ObjectKey) -> Result<&Bytes> {
        self.0.get(key).ok_or_else(|| Error::new(ErrorKind::NotFound, op, "there is no such line").on(key))
    }
}

/// What is known of a line beside its bytes. The checksum is stated because this adapter took it from the bytes
/// themselves; an adapter never makes one up.
fn meta(line: &Bytes) -> ObjectMeta {
    let crc = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, line);
    ObjectMeta {
        size: line.len() as u64,
        etag: Some(format!("{crc:016x}")),
        checksums: Checksums { crc64nvme: Some(crc), ..Checksums::default() },
        ..ObjectMeta::default()
    }
}

#[async_trait]
impl Source for Lines {
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    /// In the order of the bytes, from any key on: so a scan that was killed goes on where it was. Keys here have no
    /// `/`, so that nothing folds.
    fn list(&self, request: ListRequest) -> Pages {
        let wanted = |key: &ObjectKey| {
            key.as_bytes().starts_with(request.under.as_bytes())
                && request.after.as_ref().is_none_or(|after| key > after)
                && request.until.as_ref().is_none_or(|until| key < until)
        };
        let entries: Vec<Entry> = self
            .0
            .iter()
            .filter(|(key, _)| wanted(key))
            .map(|(key, line)| {
                let ObjectMeta { size, etag, .. } = meta(line);
                Entry { key: key.clone(), size, etag, ..Entry::default() }
            })
            .collect();
        let page = |entries: &[Entry]| Ok(Page { entries: entries.to_vec(), ..Page::default() });
        let pages: Vec<Result<Page>> = entries.chunks(PAGE).map(page).collect();
        futures::stream::iter(pages).boxed()
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        self.line(Op::Head, key).map(meta)
    }

    /// Only the version that was listed; bytes of another one would be a mixture.
    async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>, version: &Version) -> Result<Read> {
        let line = self.line(Op::Get, key)?;
        let meta = meta(line);
        if version.etag.is_some() && version.etag != meta.etag {
            return Err(Error::new(ErrorKind::PreconditionFailed, Op::Get, "the line was changed").on(key));
        }
        let Range { start, end } = range.unwrap_or(0..meta.size);
        if end > meta.size {
            return Err(Error::new(ErrorKind::PreconditionFailed, Op::Get, "the line is shorter").on(key));
        }
        let bytes = line.slice(start as usize..end as usize);
        Ok(Read { meta, body: futures::stream::iter([Ok(bytes)]).boxed() })
    }
}
