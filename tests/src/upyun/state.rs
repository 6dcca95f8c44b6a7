//! What the server holds: buckets of files and folders, uploads, planned faults, and the log of requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use jiff::Timestamp;

use super::reply::Failure;
use super::{Target, header, md5_of};
use crate::family::{Action, Fault, Logged};

/// "Uploads that are not completed are kept for 24 hours."
const UPLOAD_LIFE: i64 = 24 * 3600;

/// A file as it is kept.
#[derive(Debug, Clone, Default)]
pub struct File {
    /// Its bytes.
    pub data: Bytes,
    /// `Content-Type`.
    pub content_type: String,
    /// Metadata without `x-upyun-meta-`, names in lower case.
    pub meta: Vec<(String, String)>,
    /// When it was written.
    pub modified: Timestamp,
    /// It was uploaded in parts: its ETag is no MD5, and it can only be written over in parts.
    pub in_parts: bool,
    /// Without quotes.
    pub etag: String,
    /// Folders are listed in the order in which their items were written.
    pub(crate) order: u64,
}

pub(crate) struct Upload {
    pub(crate) path: Vec<u8>,
    pub(crate) length: u64,
    pub(crate) part_size: u64,
    pub(crate) content_type: String,
    pub(crate) meta: Vec<(String, String)>,
    pub(crate) disorder: bool,
    pub(crate) parts: BTreeMap<u64, Bytes>,
    pub(crate) begun: Timestamp,
}

#[derive(Default)]
pub(crate) struct Bucket {
    pub(crate) files: BTreeMap<Vec<u8>, File>,
    /// With the order of their making.
    pub(crate) folders: BTreeMap<Vec<u8>, (u64, Timestamp)>,
    pub(crate) uploads: BTreeMap<String, Upload>,
}

pub(crate) struct State {
    keys: Mutex<(String, String)>,
    /// Seconds by which the service's clock is off.
    clock_off: AtomicI64,
    buckets: Mutex<BTreeMap<String, Bucket>>,
    copies: Mutex<BTreeMap<Vec<u8>, File>>,
    faults: Mutex<Vec<Fault>>,
    log: Mutex<Vec<Logged>>,
    arrived: Condvar,
    requests: AtomicU64,
    order: AtomicU64,
    etags: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl File {
    /// A plain file, written now.
    pub fn new(data: impl Into<Bytes>) -> Self {
        let data = data.into();
        let content_type = "application/octet-stream".to_owned();
        File { etag: md5_of(&data), data, content_type, modified: Timestamp::now(), ..File::default() }
    }
}

impl Bucket {
    /// The folders that a path lies in, from the root on. A file in the place of one of them is refused.
    pub(crate) fn make_way(&mut self, path: &[u8], order: u64, now: Timestamp) -> Result<(), Failure> {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let folders: BTreeSet<Vec<u8>> = slashes.map(|at| path[..at].to_vec()).collect();
        if folders.iter().any(|folder| self.files.contains_key(folder)) {
            return Err(Failure::new(40600001, "dir not acceptable"));
        }
        for folder in folders {
            self.folders.entry(folder).or_insert((order, now));
        }
        Ok(())
    }

    /// Writes a file. A folder in its place is refused, and so is a plain write over a file in parts.
    pub(crate) fn write(&mut self, path: &[u8], file: File) -> Result<bool, Failure> {
        if self.folders.contains_key(path) {
            return Err(Failure::new(40600002, "folder already exists"));
        }
        self.make_way(path, file.order, file.modified)?;
        if !file.in_parts && self.files.get(path).is_some_and(|there| there.in_parts) {
            // The documentation says that it is refused, and not how: the code is of this server.
            return Err(Failure::new(40000099, "the file was uploaded in parts: delete it first"));
        }
        Ok(self.files.insert(path.to_vec(), file).is_some())
    }
}

impl State {
    pub(crate) fn new(operator: &str, password: &str) -> Self {
        State {
            keys: Mutex::new((operator.to_owned(), password.to_owned())),
            clock_off: AtomicI64::new(0),
            buckets: Mutex::default(),
            copies: Mutex::default(),
            faults: Mutex::default(),
            log: Mutex::default(),
            arrived: Condvar::new(),
            requests: AtomicU64::new(0),
            order: AtomicU64::new(1),
            etags: AtomicBool::new(false),
        }
    }

    pub(crate) fn secrets(&self) -> (String, String) {
        locked(&self.keys).clone()
    }

    pub(crate) fn rotate(&self, operator: &str, password: &str) {
        *locked(&self.keys) = (operator.to_owned(), password.to_owned());
    }

    pub(crate) fn set_clock_off(&self, seconds: i64) {
        self.clock_off.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn state_etags(&self) {
        self.etags.store(true, Ordering::Relaxed);
    }

    pub(crate) fn states_etags(&self) -> bool {
        self.etags.load(Ordering::Relaxed)
    }

    /// The service's time.
    pub(crate) fn now(&self) -> Timestamp {
        let off = jiff::SignedDuration::from_secs(self.clock_off.load(Ordering::Relaxed));
        Timestamp::now().checked_add(off).unwrap_or_default()
    }

    pub(crate) fn next_order(&self) -> u64 {
        self.order.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_request_id(&self) -> String {
        format!(
            "{:032x}",
            0x11e4_a729_0000_0000_u128 + u128::from(self.requests.fetch_add(1, Ordering::Relaxed))
        )
    }

    pub(crate) fn buckets(&self) -> MutexGuard<'_, BTreeMap<String, Bucket>> {
        locked(&self.buckets)
    }

    pub(crate) fn copies(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, File>> {
        locked(&self.copies)
    }

    /// Works on a bucket that is there; uploads that are too old are forgotten first.
    pub(crate) fn within<T>(&self, bucket: &str, work: impl FnOnce(&mut Bucket) -> T) -> T {
        let now = self.now().as_second();
        let mut buckets = self.buckets();
        let bucket = buckets.entry(bucket.to_owned()).or_default();
        bucket.uploads.retain(|_, upload| now - upload.begun.as_second() <= UPLOAD_LIFE);
        work(bucket)
    }

    pub(crate) fn has_bucket(&self, bucket: &str) -> bool {
        self.buckets().contains_key(bucket)
    }

    pub(crate) fn make_bucket(&self, bucket: &str) {
        self.buckets().entry(bucket.to_owned()).or_default();
    }

    pub(crate) fn insert(&self, bucket: &str, path: &[u8], file: File) {
        let order = self.next_order();
        self.within(bucket, |bucket| {
            bucket.files.remove(path);
            let _ = bucket.write(path, File { order, ..file });
        });
    }

    pub(crate) fn file(&self, bucket: &str, path: &[u8]) -> Option<File> {
        self.buckets().get(bucket)?.files.get(path).cloned()
    }

    pub(crate) fn files(&self, bucket: &str) -> Vec<String> {
        self.within(bucket, |bucket| bucket.files.keys().map(|path| text(path)).collect())
    }

    pub(crate) fn folders(&self, bucket: &str) -> Vec<String> {
        self.within(bucket, |bucket| bucket.folders.keys().map(|path| text(path)).collect())
    }

    pub(crate) fn uploads(&self, bucket: &str) -> Vec<(String, String)> {
        let one = |(id, upload): (&String, &Upload)| (text(&upload.path), id.clone());
        self.within(bucket, |bucket| bucket.uploads.iter().map(one).collect())
    }

    pub(crate) fn begin_upload(&self, bucket: &str, path: &[u8], ago: i64) -> String {
        let begun = self.now() - jiff::SignedDuration::from_secs(ago);
        let upload = Upload {
            path: path.to_vec(),
            length: 1 << 20,
            part_size: 1 << 20,
            content_type: String::new(),
            meta: Vec::new(),
            disorder: true,
            parts: BTreeMap::new(),
            begun,
        };
        self.add_upload(bucket, upload)
    }

    /// "36 characters".
    pub(crate) fn add_upload(&self, bucket: &str, upload: Upload) -> String {
        let order = self.next_order();
        let id = format!("{:08x}-0000-4000-8000-{:012x}", order.wrapping_mul(2_654_435_761) as u32, order);
        self.within(bucket, |bucket| bucket.uploads.insert(id.clone(), upload));
        id
    }

    /// Flips a bit of what was just stored.
    pub(crate) fn damage(&self, target: &Target, at: usize) {
        self.within(&target.bucket, |bucket| {
            let Some(file) = bucket.files.get_mut(&target.path) else { return };
            let mut bytes = file.data.to_vec();
            let at = at.min(bytes.len().saturating_sub(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1;
            }
            file.data = bytes.into();
            if !file.in_parts {
                file.etag = md5_of(&file.data);
            }
        });
    }

    /// Logs the request and takes the fault that fits it.
    pub(crate) fn log(&self, target: &Target, parts: &Parts) -> Option<Action> {
        let mut said = vec![target.query.clone()];
        for (name, of) in
            [("x-upyun-multi-stage", "stage"), ("x-upyun-part-id", "part"), ("x-list-iter", "iter")]
        {
            let value = header(parts, name);
            if !value.is_empty() {
                said.push(format!("{of}={value}"));
            }
        }
        let logged = Logged {
            method: target.method.to_string(),
            bucket: target.bucket.clone(),
            key: target.path.clone(),
            query: said.join(" ").trim().to_owned(),
            range: header(parts, "range").to_owned(),
            at: Instant::now(),
        };
        let action = self.take_fault(&logged);
        locked(&self.log).push(logged);
        self.arrived.notify_all();
        action
    }

    fn take_fault(&self, request: &Logged) -> Option<Action> {
        let mut faults = locked(&self.faults);
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
        locked(&self.log).clone()
    }

    pub(crate) fn forget_requests(&self) {
        locked(&self.log).clear();
    }

    pub(crate) fn wait_for(&self, fits: impl Fn(&Logged) -> bool, times: usize) -> Option<()> {
        let end = Instant::now() + Duration::from_secs(60);
        let mut log = locked(&self.log);
        while log.iter().filter(|logged| fits(logged)).count() < times {
            let left = end.checked_duration_since(Instant::now())?;
            log = self.arrived.wait_timeout(log, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(())
    }

    pub(crate) fn plan(&self, fault: Fault) {
        locked(&self.faults).push(fault);
    }

    pub(crate) fn heal(&self) {
        locked(&self.faults).clear();
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
