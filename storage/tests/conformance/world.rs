//! One empty bucket or directory for one case, seen from both sides, and what its service can do.

use std::sync::Arc;

use bytes::Bytes;
use conf::Endpoint;
use futures::TryStreamExt;
use proto::ObjectKey;
use proto::manifest::Entry;
use storage::checksum::combine;
use storage::destination::{Limits, Whole};
use storage::{
    Destination, Error, Headers, ListRequest, Page, PartDone, Payload, PutOptions, Source, UploadRef,
    Version, Written,
};
use tempfile::TempDir;

/// Keys a page in every world, so that a listing has several.
pub(crate) const PAGE: u32 = 4;

/// One case's bucket.
pub(crate) struct World {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) destination: Arc<dyn Destination>,
    /// The endpoint, to open others like it; none for memory.
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) can: Abilities,
    pub(crate) _keep: Option<TempDir>,
}

/// In what services differ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abilities {
    pub(crate) key: fn(&str) -> Fate,
    /// Keeps content headers and user metadata.
    pub(crate) keeps_headers: bool,
    /// Refuses a read of another version (some servers do not look at If-Match).
    pub(crate) conditional_reads: bool,
    /// Compares the whole's checksum before an upload becomes visible.
    pub(crate) checks_whole: bool,
    /// Knows which buckets and uploads there are not, and lists the ETags of parts.
    pub(crate) keeps_books: bool,
    /// Lists open uploads with the time when each was begun.
    pub(crate) lists_uploads: bool,
    /// Answers a write with the ETag.
    pub(crate) states_etags: bool,
    /// The ETag of an object in one piece is its MD5.
    pub(crate) etags_are_md5: bool,
    /// Lists in the order of UTF-16 and not of UTF-8.
    pub(crate) utf16_order: bool,
    /// Refuses wrong keys.
    pub(crate) checks_credentials: bool,
}

/// What happens to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is kept, byte for byte.
    Kept,
    /// It is kept or refused.
    Either,
    /// It is refused with `InvalidName`.
    Refused,
    /// This server alters it silently: nothing that an adapter could find out.
    Altered,
}

impl World {
    /// The order of this service's listings.
    pub(crate) fn order(&self, a: &str, b: &str) -> std::cmp::Ordering {
        if self.can.utf16_order { a.encode_utf16().cmp(b.encode_utf16()) } else { a.cmp(b) }
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.destination.limits()
    }

    pub(crate) async fn put(&self, key: &str, content: impl Into<Bytes>) -> Result<Written, Error> {
        self.put_with(key, content, Headers::default()).await
    }

    pub(crate) async fn put_with(
        &self,
        key: &str,
        content: impl Into<Bytes>,
        headers: Headers,
    ) -> Result<Written, Error> {
        let payload = Payload::new(vec![content.into()]);
        let options = PutOptions { size: payload.len(), headers, ..PutOptions::default() };
        self.destination.put(&key.into(), &options, &payload).await
    }

    pub(crate) async fn put_all(&self, keys: &[&str]) {
        for key in keys {
            self.put(key, key.as_bytes().to_vec()).await.unwrap();
        }
    }

    pub(crate) async fn pages(&self, request: ListRequest) -> Result<Vec<Page>, Error> {
        self.source.list(request).try_collect().await
    }

    pub(crate) async fn entries(&self, request: ListRequest) -> Vec<Entry> {
        self.pages(request).await.unwrap().into_iter().flat_map(|page| page.entries).collect()
    }

    pub(crate) async fn keys(&self, request: ListRequest) -> Vec<String> {
        self.entries(request).await.into_iter().map(|entry| text(&entry.key)).collect()
    }

    pub(crate) async fn all(&self) -> Vec<String> {
        self.keys(ListRequest::default()).await
    }

    /// The version of an object as it is listed now.
    pub(crate) async fn listed(&self, key: &str) -> Version {
        let request = ListRequest { under: key.into(), ..ListRequest::default() };
        let entries = self.entries(request).await;
        let entry = entries.into_iter().find(|entry| entry.key == ObjectKey::from(key));
        let entry = entry.unwrap_or_else(|| panic!("{key:?} is not listed"));
        Version { size: entry.size, modified_ms: entry.modified_ms, etag: entry.etag }
    }

    pub(crate) async fn read(&self, key: &str) -> Result<Vec<u8>, Error> {
        let version = self.listed(key).await;
        let read = self.source.read(&key.into(), None, &version).await?;
        body(read).await
    }

    /// Content of two parts of the smallest size and a short one.
    pub(crate) fn parts(&self) -> Vec<Bytes> {
        let size = self.limits().part_min.max(100_000) as usize;
        [size, size, 1_000].iter().zip(1_u8..).map(|(size, byte)| Bytes::from(vec![byte; *size])).collect()
    }

    pub(crate) async fn begin(&self, key: &str, parts: &[Bytes]) -> (UploadRef, PutOptions) {
        let size = parts.iter().map(|part| part.len() as u64).sum();
        let options = PutOptions { size, ..PutOptions::default() };
        (self.destination.begin(&key.into(), &options).await.unwrap(), options)
    }

    /// Writes one of the parts, counted from 0, into its place.
    pub(crate) async fn part(&self, upload: &UploadRef, parts: &[Bytes], index: usize) -> PartDone {
        let offset = parts[..index].iter().map(|part| part.len() as u64).sum();
        let payload = Payload::new(vec![parts[index].clone()]);
        let done = self.destination.part(upload, index as u32 + 1, offset, &payload).await.unwrap();
        assert_eq!((done.number, done.offset, done.size), (index as u32 + 1, offset, payload.len()));
        if let (Some(algorithm), Some(crc)) = (self.limits().crc, done.crc) {
            assert_eq!(crc, payload.crc(algorithm), "the part's checksum");
        }
        done
    }

    pub(crate) fn whole(&self, parts: &[Bytes]) -> Whole {
        let size = parts.iter().map(|part| part.len() as u64).sum();
        let crc = self.limits().crc.and_then(|algorithm| {
            let of = |part: &Bytes| (Payload::new(vec![part.clone()]).crc(algorithm), part.len() as u64);
            combine(algorithm, parts.iter().map(of))
        });
        Whole { size, crc, md5: None }
    }
}

pub(crate) async fn body(read: storage::Read) -> Result<Vec<u8>, Error> {
    let chunks: Vec<Bytes> = read.body.try_collect().await?;
    Ok(chunks.concat())
}

pub(crate) fn text(key: &ObjectKey) -> String {
    key.to_str().unwrap_or_else(|| panic!("{key:?} is not UTF-8")).to_owned()
}
