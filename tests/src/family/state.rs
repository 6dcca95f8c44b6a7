//! What the server holds: buckets, objects, uploads, planned faults, and the log of requests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use http::HeaderMap;
use jiff::Timestamp;
use md5::{Digest, Md5};

use super::beside::Kept;
use super::fault::{Action, Fault};
use super::{Dialect, Target};

/// An object as it is kept.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its bytes.
    pub data: Bytes,
    /// Without quotes.
    pub etag: String,
    /// When it was written.
    pub modified: Timestamp,
    /// Content headers and `x-*-meta-*`, names in lower case.
    pub headers: Vec<(String, String)>,
    /// `Normal`, `Multipart` or `Symlink`.
    pub kind: &'static str,
    /// Storage class as sent, or the standard one.
    pub class: String,
    /// States no checksum: an object from before the service kept them.
    pub without_checksum: bool,
    /// Bytes of each part that it was uploaded in.
    pub parts: Vec<usize>,
}

/// One request that arrived.
#[derive(Debug, Clone)]
pub struct Logged {
    /// `GET`, `PUT`, …
    pub method: String,
    /// The bucket.
    pub bucket: String,
    /// The key; empty for requests on the bucket.
    pub key: Vec<u8>,
    /// `name=value` pairs in the order in which they came.
    pub query: String,
    /// The `Range` header, or nothing.
    pub range: String,
    /// When its head had arrived.
    pub at: Instant,
}

pub(crate) struct Upload {
    pub(crate) key: Vec<u8>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) class: String,
    pub(crate) parts: BTreeMap<u32, Part>,
    pub(crate) checksum: Option<String>,
    pub(crate) begun: Timestamp,
}

#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) data: Bytes,
    pub(crate) etag: String,
    pub(crate) modified: Timestamp,
}

/// Whose a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Access {
    /// Of the account whose keys the server knows.
    #[default]
    Private,
    /// The same, and everybody may read it.
    Public,
    /// Of another account.
    Foreign,
}

/// The token that a temporary key has to come with.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) over: bool,
}

#[derive(Default)]
pub(crate) struct Bucket {
    pub(crate) access: Access,
    pub(crate) objects: BTreeMap<Vec<u8>, Object>,
    pub(crate) uploads: BTreeMap<String, Upload>,
}

pub(crate) struct State {
    pub(crate) dialect: Dialect,
    keys: Mutex<(String, String)>,
    token: Mutex<Option<Token>>,
    /// Seconds by which the service's clock is off.
    clock_off: AtomicI64,
    buckets: Mutex<BTreeMap<String, Bucket>>,
    faults: Mutex<Vec<Fault>>,
    log: Mutex<Vec<Logged>>,
    arrived: Condvar,
    requests: AtomicU64,
    pub(crate) thaws: super::restore::Thaws,
    /// Tags and access lists.
    pub(crate) beside: Kept,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

impl Object {
    /// A plain object, written now.
    pub fn new(data: impl Into<Bytes>) -> Self {
        let data = data.into();
        Object {
            etag: hex::encode(Md5::digest(&data)),
            data,
            modified: Timestamp::now(),
            headers: Vec::new(),
            kind: "Normal",
            class: "Standard".to_owned(),
            without_checksum: false,
            parts: Vec::new(),
        }
    }

    /// One that was uploaded in parts of this size, without checksums, as Amazon S3 keeps it.
    pub fn in_parts(data: impl Into<Bytes>, part: usize) -> Self {
        let object = Object::new(data);
        let md5s: Vec<u8> = object.data.chunks(part).flat_map(Md5::digest).collect();
        let parts: Vec<usize> = object.data.chunks(part).map(<[u8]>::len).collect();
        let etag = format!("{}-{}", hex::encode(Md5::digest(md5s)), parts.len());
        Object { etag, kind: "Multipart", without_checksum: true, parts, ..object }
    }

    pub(crate) fn crc(&self, algorithm: CrcAlgorithm) -> u64 {
        checksum(algorithm, &self.data)
    }

    /// What the service states of it: its ETag and its checksum.
    pub(crate) fn stated(&self, dialect: Dialect) -> Vec<(&'static str, String)> {
        let sum = dialect.rules().sum.map(|sum| (sum.header, sum.of(&self.data)));
        [("etag", format!("\"{}\"", self.etag))].into_iter().chain(sum).collect()
    }
}

impl State {
    pub(crate) fn new(dialect: Dialect, access_key: &str, secret_key: &str) -> Self {
        State {
            dialect,
            keys: Mutex::new((access_key.to_owned(), secret_key.to_owned())),
            token: Mutex::default(),
            clock_off: AtomicI64::new(0),
            buckets: Mutex::default(),
            faults: Mutex::default(),
            log: Mutex::default(),
            arrived: Condvar::new(),
            requests: AtomicU64::new(0),
            thaws: super::restore::Thaws::default(),
            beside: Kept::default(),
        }
    }

    /// The access key and the secret key that are good now.
    pub(crate) fn secrets(&self) -> (String, String) {
        self.keys.lock().unwrap_or_else(|poison| poison.into_inner()).clone()
    }

    pub(crate) fn rotate(&self, access_key: &str, secret_key: &str) {
        let mut keys = self.keys.lock().unwrap_or_else(|poison| poison.into_inner());
        *keys = (access_key.to_owned(), secret_key.to_owned());
    }

    pub(crate) fn token(&self) -> Option<Token> {
        self.token.lock().unwrap_or_else(|poison| poison.into_inner()).clone()
    }

    pub(crate) fn set_token(&self, token: Option<Token>) {
        *self.token.lock().unwrap_or_else(|poison| poison.into_inner()) = token;
    }

    pub(crate) fn access(&self, bucket: &str) -> Access {
        self.buckets().get(bucket).map(|bucket| bucket.access).unwrap_or_default()
    }

    pub(crate) fn set_access(&self, bucket: &str, access: Access) {
        self.buckets().entry(bucket.to_owned()).or_default().access = access;
    }

    pub(crate) fn set_clock_off(&self, seconds: i64) {
        self.clock_off.store(seconds, Ordering::Relaxed);
    }

    /// The service's time.
    pub(crate) fn now(&self) -> Timestamp {
        let off = jiff::SignedDuration::from_secs(self.clock_off.load(Ordering::Relaxed));
        Timestamp::now().checked_add(off).unwrap_or_default()
    }

    /// Flips a bit of what was just stored: of the object, or of a part.
    pub(crate) fn damage(&self, target: &Target, at: usize) -> Option<Object> {
        let mut buckets = self.buckets();
        let bucket = buckets.get_mut(&target.bucket)?;
        let flip = |data: &Bytes| {
            let mut bytes = data.to_vec();
            let at = at.min(bytes.len().saturating_sub(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1;
            }
            Bytes::from(bytes)
        };
        if let Some(id) = target.query("uploadId") {
            let number = target.query("partNumber")?.parse().ok()?;
            let part = bucket.uploads.get_mut(id)?.parts.get_mut(&number)?;
            part.data = flip(&part.data);
            part.etag = super::sums::etag(self.dialect, &part.data);
            return Some(Object { etag: part.etag.clone(), ..Object::new(part.data.clone()) });
        }
        let object = bucket.objects.get_mut(&target.key)?;
        object.data = flip(&object.data);
        let etag = super::sums::etag(self.dialect, &object.data);
        Some(Object { etag, ..object.clone() })
    }

    pub(crate) fn buckets(&self) -> MutexGuard<'_, BTreeMap<String, Bucket>> {
        self.buckets.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    pub(crate) fn next_request_id(&self) -> String {
        format!("{:024X}", 0x5C3D_9175_0000_0000u64 + self.requests.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn make_bucket(&self, bucket: &str) {
        self.buckets().entry(bucket.to_owned()).or_default();
    }

    pub(crate) fn insert(&self, bucket: &str, key: &[u8], object: Object) {
        self.buckets().entry(bucket.to_owned()).or_default().objects.insert(key.to_vec(), object);
    }

    pub(crate) fn remove(&self, bucket: &str, key: &[u8]) {
        self.buckets().entry(bucket.to_owned()).or_default().objects.remove(key);
    }

    pub(crate) fn object(&self, bucket: &str, key: &[u8]) -> Option<Object> {
        self.buckets().get(bucket)?.objects.get(key).cloned()
    }

    pub(crate) fn keys(&self, bucket: &str) -> Vec<Vec<u8>> {
        self.buckets().get(bucket).map(|bucket| bucket.objects.keys().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn uploads(&self, bucket: &str) -> Vec<(Vec<u8>, String)> {
        let buckets = self.buckets();
        let Some(bucket) = buckets.get(bucket) else { return Vec::new() };
        bucket.uploads.iter().map(|(id, upload)| (upload.key.clone(), id.clone())).collect()
    }

    pub(crate) fn begin_upload(&self, bucket: &str, key: &[u8], ago: i64) -> String {
        let id = hex::encode_upper(Md5::digest(self.next_request_id()));
        let upload = Upload {
            key: key.to_vec(),
            headers: Vec::new(),
            class: "Standard".to_owned(),
            parts: BTreeMap::new(),
            checksum: None,
            begun: Timestamp::now() - jiff::SignedDuration::from_secs(ago),
        };
        self.buckets().entry(bucket.to_owned()).or_default().uploads.insert(id.clone(), upload);
        id
    }

    /// Logs the request and takes the fault that fits it.
    pub(crate) fn log(&self, target: &Target, headers: &HeaderMap) -> Option<Action> {
        let query: Vec<String> = target.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let range = headers.get("range").and_then(|range| range.to_str().ok()).unwrap_or_default();
        let logged = Logged {
            method: target.method.to_string(),
            bucket: target.bucket.clone(),
            key: target.key.clone(),
            query: query.join("&"),
            range: range.to_owned(),
            at: Instant::now(),
        };
        let action = self.take_fault(&logged);
        self.log.lock().unwrap_or_else(|poison| poison.into_inner()).push(logged);
        self.arrived.notify_all();
        action
    }

    fn take_fault(&self, request: &Logged) -> Option<Action> {
        let mut faults = self.faults.lock().unwrap_or_else(|poison| poison.into_inner());
        let key = String::from_utf8_lossy(&request.key);
        for fault in faults.iter_mut().filter(|fault| fault.times > 0) {
            let fits = (fault.method.is_empty() || fault.method == request.method)
                && (key.contains(&fault.contains) || request.query.contains(&fault.contains));
            if !fits {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.times -= 1;
            return Some(fault.action.clone());
        }
        None
    }

    pub(crate) fn requests(&self) -> Vec<Logged> {
        self.log.lock().unwrap_or_else(|poison| poison.into_inner()).clone()
    }

    pub(crate) fn forget_requests(&self) {
        self.log.lock().unwrap_or_else(|poison| poison.into_inner()).clear();
    }

    pub(crate) fn wait_for(&self, fits: impl Fn(&Logged) -> bool, times: usize) -> Option<()> {
        let end = Instant::now() + Duration::from_secs(60);
        let mut log = self.log.lock().unwrap_or_else(|poison| poison.into_inner());
        while log.iter().filter(|logged| fits(logged)).count() < times {
            let left = end.checked_duration_since(Instant::now())?;
            log = self.arrived.wait_timeout(log, left).unwrap_or_else(|poison| poison.into_inner()).0;
        }
        Some(())
    }

    pub(crate) fn plan(&self, fault: Fault) {
        self.faults.lock().unwrap_or_else(|poison| poison.into_inner()).push(fault);
    }

    pub(crate) fn heal(&self) {
        self.faults.lock().unwrap_or_else(|poison| poison.into_inner()).clear();
    }
}
