//! An adapter in memory, for tests: source and destination at once, with planned faults and a record of calls.

mod listing;
mod writing;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use conf::job::EndpointType;
use crc_fast::{CrcAlgorithm, checksum};
use futures::{StreamExt, stream};
use md5::{Digest, Md5};
use proto::ObjectKey;
use proto::manifest::Entry;

use crate::destination::{Limits, PutOptions, Written};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::fidelity;
use crate::meta::{Checksums, Headers, ObjectMeta, Version};
use crate::meter::{Meter, RequestKind};
use crate::payload::Payload;
use crate::source::{Link, ListRequest, Pages, Read, Source};

/// Objects in memory. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
    limits: Limits,
    meter: Meter,
    /// Keys a page.
    pub page: usize,
    /// Pages are given in this order of keys instead of key order.
    pub order: Option<fn(&ObjectKey, &ObjectKey) -> std::cmp::Ordering>,
    /// States checksums on writes and reads.
    pub states_checksums: bool,
    /// Reads state the MD5 and no CRC.
    pub states_md5: bool,
    /// Reads state this MD5 of every object, as its writer's word.
    pub claims_md5: Option<[u8; 16]>,
    /// Keeps of headers and metadata what this type of endpoint keeps; none: all.
    pub like: Option<EndpointType>,
}

/// One object in memory.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its bytes.
    pub data: Bytes,
    /// Content headers and user metadata.
    pub headers: Headers,
    /// Unix milliseconds.
    pub modified_ms: i64,
    /// Storage class, where it is not the plain one.
    pub class: Option<String>,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<ObjectKey, Stored>,
    uploads: BTreeMap<String, (ObjectKey, BTreeMap<u32, Bytes>)>,
    faults: Vec<Fault>,
    corrupt: Vec<(Op, Option<ObjectKey>)>,
    calls: Vec<(Op, Option<ObjectKey>)>,
    tags: BTreeMap<ObjectKey, Vec<(String, String)>>,
    acls: BTreeMap<ObjectKey, String>,
    links: BTreeMap<ObjectKey, ObjectKey>,
    next_upload: u32,
    ignores_versions: bool,
    clock_ms: i64,
}

#[derive(Debug)]
struct Fault {
    op: Op,
    key: Option<ObjectKey>,
    times: u32,
    kind: ErrorKind,
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new()
    }
}

impl MemoryStore {
    /// An empty one that states CRC-64/NVME.
    pub fn new() -> Self {
        MemoryStore {
            inner: Arc::default(),
            limits: Limits {
                crc: Some(CrcAlgorithm::Crc64Nvme),
                etag_is_md5: true,
                etag_is_md5_of_parts: true,
                single_put: 5 << 30,
                part_min: 1,
                part_max: 5 << 30,
                parts: 10_000,
                needs_length: false,
                name,
            },
            meter: Meter::unlimited(),
            page: 1000,
            order: None,
            states_checksums: true,
            states_md5: false,
            claims_md5: None,
            like: None,
        }
    }

    /// With another meter.
    #[must_use]
    pub fn metered(mut self, meter: Meter) -> Self {
        self.meter = meter;
        self
    }

    /// With other limits.
    #[must_use]
    pub fn limited(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Puts an object without a call.
    pub fn insert(&self, key: impl Into<ObjectKey>, data: impl Into<Bytes>) {
        let mut inner = self.inner();
        inner.clock_ms += 1000;
        let modified_ms = inner.clock_ms;
        let stored = Stored { data: data.into(), headers: Headers::default(), modified_ms, class: None };
        inner.objects.insert(key.into(), stored);
    }

    /// Puts an object with all that belongs to it.
    pub fn insert_stored(&self, key: impl Into<ObjectKey>, stored: Stored) {
        self.inner().objects.insert(key.into(), stored);
    }

    /// Tags and the access list of an object, without a call.
    pub fn insert_beside(&self, key: impl Into<ObjectKey>, tags: &[(&str, &str)], acl: &str) {
        let (key, mut inner) = (key.into(), self.inner());
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        inner.tags.insert(key.clone(), tags.iter().map(pair).collect());
        inner.acls.insert(key, acl.to_owned());
    }

    /// Tags of an object, its access list, and where it leads if it is a link.
    pub fn beside(
        &self,
        key: impl Into<ObjectKey>,
    ) -> (Vec<(String, String)>, Option<String>, Option<ObjectKey>) {
        let (key, inner) = (key.into(), self.inner());
        let tags = inner.tags.get(&key).cloned().unwrap_or_default();
        (tags, inner.acls.get(&key).cloned(), inner.links.get(&key).cloned())
    }

    /// A link, without a call.
    pub fn insert_link(&self, key: impl Into<ObjectKey>, target: impl Into<ObjectKey>) {
        let key = key.into();
        self.insert(key.clone(), "");
        let mut inner = self.inner();
        if let Some(stored) = inner.objects.get_mut(&key) {
            stored.class = Some("Symlink".to_owned());
        }
        inner.links.insert(key, target.into());
    }

    /// The object, as it is kept.
    pub fn get(&self, key: impl Into<ObjectKey>) -> Option<Stored> {
        self.inner().objects.get(&key.into()).cloned()
    }

    /// Takes an object away without a call.
    pub fn remove(&self, key: impl Into<ObjectKey>) {
        self.inner().objects.remove(&key.into());
    }

    /// All keys in order.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.inner().objects.keys().cloned().collect()
    }

    /// Uploads that are neither completed nor aborted.
    pub fn uploads(&self) -> Vec<String> {
        self.inner().uploads.keys().cloned().collect()
    }

    /// The next `times` calls of `op` (on `key`, where given) fail with `kind`.
    pub fn fail_next(&self, op: Op, key: Option<ObjectKey>, times: u32, kind: ErrorKind) {
        self.inner().faults.push(Fault { op, key, times, kind });
    }

    /// The next call of `op` (on `key`, where given) damages one byte: of what is read, or of what is kept.
    pub fn corrupt_next(&self, op: Op, key: Option<ObjectKey>) {
        self.inner().corrupt.push((op, key));
    }

    /// From now on reads give whatever is there, as from a service that does not know conditions.
    pub fn ignore_versions(&self) {
        self.inner().ignores_versions = true;
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<(Op, Option<ObjectKey>)> {
        self.inner().calls.clone()
    }

    /// How many calls of one operation.
    pub fn count(&self, op: Op) -> usize {
        self.inner().calls.iter().filter(|(called, _)| *called == op).count()
    }

    /// The entry that a listing shows.
    pub fn entry(&self, key: impl Into<ObjectKey>) -> Option<Entry> {
        let key = key.into();
        self.inner().objects.get(&key).map(|stored| entry(&key, stored))
    }

    async fn call(&self, op: Op, kind: RequestKind, key: Option<&ObjectKey>) -> Result<()> {
        self.meter.request(kind).await;
        let mut inner = self.inner();
        inner.calls.push((op, key.cloned()));
        let fits = |fault: &&mut Fault| {
            fault.times > 0 && fault.op == op && (fault.key.is_none() || fault.key.as_ref() == key)
        };
        let Some(fault) = inner.faults.iter_mut().find(fits) else { return Ok(()) };
        fault.times -= 1;
        let error = Error::new(fault.kind, op, "planned by the test");
        self.meter.failed(kind, fault.kind == ErrorKind::Throttled);
        Err(key.map_or(error.clone(), |key| error.on(key)))
    }

    /// The bytes, damaged where that was planned.
    fn pass(&self, op: Op, key: &ObjectKey, data: Bytes) -> Bytes {
        let mut inner = self.inner();
        let planned = inner
            .corrupt
            .iter()
            .position(|(planned, on)| *planned == op && on.as_ref().is_none_or(|on| on == key));
        let Some(at) = planned.filter(|_| !data.is_empty()) else { return data };
        inner.corrupt.remove(at);
        let mut damaged = data.to_vec();
        if let Some(byte) = damaged.last_mut() {
            *byte ^= 1;
        }
        damaged.into()
    }

    fn meta(&self, stored: &Stored) -> ObjectMeta {
        let checksums = if let Some(md5) = self.claims_md5 {
            Checksums { md5: Some(md5), claimed: true, ..Checksums::default() }
        } else if self.states_md5 {
            Checksums { md5: Some(Md5::digest(&stored.data).into()), ..Checksums::default() }
        } else if self.states_checksums {
            stated(&stored.data)
        } else {
            Checksums::default()
        };
        ObjectMeta {
            size: stored.data.len() as u64,
            modified_ms: Some(stored.modified_ms),
            etag: Some(etag(&stored.data)),
            class: stored.class.clone(),
            headers: stored.headers.clone(),
            checksums,
            kept_back: Vec::new(),
        }
    }

    /// Headers as the type gives them back that it is like, and notes on what it does not carry.
    fn as_kept(&self, op: Op, key: &ObjectKey, options: &PutOptions) -> Result<(Headers, Vec<String>)> {
        let Some(like) = self.like.map(fidelity::of) else {
            return Ok((options.headers.clone(), Vec::new()));
        };
        let encoded = like.encode(&options.headers);
        let (pairs, mut notes) = encoded.map_err(|why| Error::new(ErrorKind::Refused, op, why).on(key))?;
        notes.extend(like.encode_tags(&options.tags).1);
        let find = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let user = like.metadata.iter().flat_map(|rule| {
            let pair = |(name, value): &(String, String)| {
                Some((name.strip_prefix(rule.prefix)?.to_owned(), rule.decode(value)))
            };
            pairs.iter().filter_map(pair).collect::<Vec<_>>()
        });
        let headers = Headers {
            content_type: find("content-type"),
            content_encoding: find("content-encoding"),
            content_language: find("content-language"),
            content_disposition: find("content-disposition"),
            cache_control: find("cache-control"),
            expires: find("expires"),
            user: user.collect(),
        };
        Ok((headers, notes))
    }

    fn keep(&self, op: Op, key: &ObjectKey, options: &PutOptions, data: Bytes) -> Result<Written> {
        let (headers, not_carried) = self.as_kept(op, key, options)?;
        let data = self.pass(op, key, data);
        let stated = if self.states_checksums { stated(&data) } else { Checksums::default() };
        let written = Written { etag: Some(etag(&data)), stated, not_carried };
        let mut inner = self.inner();
        inner.clock_ms += 1000;
        let modified_ms = inner.clock_ms;
        let class = options.class.clone();
        inner.objects.insert(key.clone(), Stored { data, headers, modified_ms, class });
        inner.links.remove(key);
        inner.tags.insert(key.clone(), options.tags.clone());
        if let Some(acl) = &options.acl {
            inner.acls.insert(key.clone(), acl.clone());
        }
        Ok(written)
    }
}

/// As OSS: 1 to 1023 bytes of UTF-8 that do not begin with `/`.
fn name(key: &ObjectKey) -> std::result::Result<(), String> {
    match key.as_bytes() {
        b"" => Err("is empty".into()),
        [b'/', ..] => Err("begins with /".into()),
        bytes if bytes.len() > 1023 => Err("has more than 1023 bytes".into()),
        _ if key.to_str().is_none() => Err("is not UTF-8".into()),
        _ => Ok(()),
    }
}

/// By ETag where one is given, else by size and time.
fn is_version(stored: &Stored, version: &Version) -> bool {
    match &version.etag {
        Some(wanted) => *wanted == etag(&stored.data),
        None => {
            let same_second = |ms: i64| ms.div_euclid(1000) == stored.modified_ms.div_euclid(1000);
            stored.data.len() as u64 == version.size && version.modified_ms.is_none_or(same_second)
        }
    }
}

fn etag(data: &[u8]) -> String {
    hex::encode(Md5::digest(data))
}

fn stated(data: &[u8]) -> Checksums {
    Checksums {
        crc64nvme: Some(checksum(CrcAlgorithm::Crc64Nvme, data)),
        crc64ecma: Some(checksum(CrcAlgorithm::Crc64Xz, data)),
        ..Checksums::default()
    }
}

fn entry(key: &ObjectKey, stored: &Stored) -> Entry {
    Entry {
        key: key.clone(),
        size: stored.data.len() as u64,
        modified_ms: Some(stored.modified_ms),
        etag: Some(etag(&stored.data)),
        class: stored.class.clone(),
        ..Entry::default()
    }
}

fn concat(payload: &Payload) -> Bytes {
    payload.chunks().concat().into()
}

#[async_trait]
impl Source for MemoryStore {
    async fn check(&self) -> Result<()> {
        self.call(Op::Open, RequestKind::List, None).await
    }

    fn list(&self, request: ListRequest) -> Pages {
        let store = self.clone();
        let first = Some(request.after.clone());
        stream::unfold(first, move |after| {
            let (store, request) = (store.clone(), request.clone());
            async move {
                let after = after?;
                if let Err(error) = store.call(Op::List, RequestKind::List, None).await {
                    return Some((Err(error), None));
                }
                let (page, next) = store.page_after(&request, after.as_ref());
                Some((Ok(page), next.map(Some)))
            }
        })
        .boxed()
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        self.call(Op::Head, RequestKind::Head, Some(key)).await?;
        let stored = self
            .get(key.clone())
            .ok_or_else(|| Error::new(ErrorKind::NotFound, Op::Head, "no such object").on(key))?;
        Ok(self.meta(&stored))
    }

    async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>, version: &Version) -> Result<Read> {
        self.call(Op::Get, RequestKind::Get, Some(key)).await?;
        let missing = || Error::new(ErrorKind::NotFound, Op::Get, "no such object").on(key);
        let stored = self.get(key.clone()).ok_or_else(missing)?;
        if stored.class.as_deref().is_some_and(|class| class == "GLACIER") {
            return Err(Error::new(ErrorKind::Archived, Op::Get, "it is archived").on(key));
        }
        if !self.inner().ignores_versions && !is_version(&stored, version) {
            return Err(
                Error::new(ErrorKind::PreconditionFailed, Op::Get, "another version is there").on(key)
            );
        }
        let meta = self.meta(&stored);
        let end = stored.data.len() as u64;
        if range.as_ref().is_some_and(|range| range.start >= end) {
            return Err(Error::new(ErrorKind::Refused, Op::Get, "no such range").on(key));
        }
        let range = range.unwrap_or(0..end);
        let data = stored.data.slice(range.start.min(end) as usize..range.end.min(end) as usize);
        let data = self.pass(Op::Get, key, data);
        self.meter.bytes_read(data.len()).await;
        let pieces: Vec<Result<Bytes>> =
            data.chunks(64 << 10).map(|piece| Ok(data.slice_ref(piece))).collect();
        Ok(Read { meta, body: stream::iter(pieces).boxed() })
    }

    async fn tags(&self, key: &ObjectKey) -> Result<Vec<(String, String)>> {
        let look = |inner: &Inner| inner.tags.get(key).cloned().unwrap_or_default();
        self.look_beside(Op::Tags, RequestKind::Tags, key, look).await
    }

    async fn acl(&self, key: &ObjectKey) -> Result<Option<String>> {
        self.look_beside(Op::Acl, RequestKind::Acl, key, |inner| inner.acls.get(key).cloned()).await
    }

    async fn link(&self, key: &ObjectKey) -> Result<Option<Link>> {
        let look = |inner: &Inner| {
            let target = inner.links.get(key).cloned();
            target.map(|target| Link { target, user: Vec::new() })
        };
        self.look_beside(Op::Link, RequestKind::Link, key, look).await
    }
}

impl MemoryStore {
    async fn look_beside<T>(
        &self,
        op: Op,
        kind: RequestKind,
        key: &ObjectKey,
        look: impl FnOnce(&Inner) -> T,
    ) -> Result<T> {
        self.call(op, kind, Some(key)).await?;
        let inner = self.inner();
        if !inner.objects.contains_key(key) {
            return Err(Error::new(ErrorKind::NotFound, op, "no such object").on(key));
        }
        Ok(look(&inner))
    }
}
