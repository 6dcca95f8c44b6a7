//! The client of the S3 family: source and destination for every dialect.

mod beside;
pub(crate) mod failure;
pub(crate) mod headers;
pub(crate) mod hidden;
mod list;
mod multipart;
pub(crate) mod object;
pub(crate) mod request;
mod restore;
mod upkeep;
mod xml;

pub(crate) use failure::{of_status, plain, retry_after};
pub(crate) use headers::{bare_etag, etag, http_time};
pub(crate) use object::{extent, same_version};
pub(crate) use request::{Call, encode};

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use async_trait::async_trait;
use conf::Endpoint;
use http::Uri;
use proto::ObjectKey;

use crate::destination::{Destination, Limits, PartDone, PutOptions, Unwanted, UploadRef, Whole, Written};
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind, Op, Result};
use crate::fidelity;
use crate::http::Http;
use crate::md5_queue::Md5Queue;
use crate::meta::{ObjectMeta, Version};
use crate::meter::Meter;
use crate::open::Context;
use crate::payload::Payload;
use crate::sign::Signing;
use crate::source::{Link, ListRequest, Pages, Read, Source, Stated};

/// A bucket, or what lies under a prefix of it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct S3Store(Arc<Client>);

/// One endpoint and bucket in one dialect.
#[derive(Debug)]
pub(crate) struct Client {
    dialect: &'static Dialect,
    /// What it holds beside the bytes.
    carries: &'static fidelity::Service,
    endpoint: Arc<Endpoint>,
    /// `http` or `https`.
    scheme: String,
    /// Host and port of the endpoint.
    authority: String,
    /// The bucket stands in the path.
    path_style: bool,
    http: Http,
    signing: Signing,
    meter: Meter,
    /// The service takes no checksum headers with a whole object, or does not give them back.
    sums_off: AtomicBool,
    /// The same for the parts of an upload: s3s-fs has one and not the other.
    part_sums_off: AtomicBool,
    /// The bucket's own encryption makes ETags of parts that are no MD5s.
    part_etags_off: AtomicBool,
    /// It takes no access lists of objects.
    acls_off: AtomicBool,
    /// Whether the service encodes the keys of a listing as it says: 0 nobody asked, else what `list` found.
    encoding: AtomicU8,
    /// A checksum was given back: answers without one are exceptions (directory markers of SeaweedFS).
    sums_seen: AtomicBool,
    part_sums_seen: AtomicBool,
    /// The service does not have list version 2.
    list_v1: AtomicBool,
    with_sums: Limits,
    without_sums: Limits,
    /// Of parts whose service states no CRC.
    md5s: Md5Queue,
}

impl S3Store {
    /// Sends nothing.
    pub(crate) fn open(endpoint: &Endpoint, dialect: &'static Dialect, context: &Context) -> Result<Self> {
        let bad = |why: String| Error::new(ErrorKind::Refused, Op::Open, why);
        let uri: Uri = endpoint
            .endpoint
            .parse()
            .map_err(|_| bad(format!("endpoint {:?} is not a URL", endpoint.endpoint)))?;
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let scheme = uri.scheme_str().unwrap_or("https").to_owned();
        if authority.is_empty() || endpoint.bucket.is_empty() {
            return Err(bad("endpoint and bucket are needed".into()));
        }
        let path_style = path_style(endpoint, dialect, uri.host().unwrap_or_default(), &scheme);
        let http = Http::new(
            &uri,
            endpoint.ca_file.as_deref(),
            &endpoint.proxy,
            context.timeout,
            context.meter.clone(),
        )
        .map_err(bad)?;
        // With keys of a key service the ETag is no MD5 (S3 API reference, "Object").
        let plain = !endpoint.server_side_encryption.to_ascii_lowercase().contains("kms");
        let below = !endpoint.prefix.is_empty();
        Ok(S3Store(Arc::new(Client {
            dialect,
            carries: fidelity::at(endpoint),
            signing: Signing::new(endpoint, dialect),
            endpoint: Arc::new(endpoint.clone()),
            scheme,
            authority,
            path_style,
            http,
            meter: context.meter.clone(),
            sums_off: AtomicBool::new(false),
            part_sums_off: AtomicBool::new(false),
            part_etags_off: AtomicBool::new(false),
            acls_off: AtomicBool::new(false),
            sums_seen: AtomicBool::new(false),
            part_sums_seen: AtomicBool::new(false),
            encoding: AtomicU8::new(list::known_encoding(dialect, uri.host().unwrap_or_default())),
            list_v1: AtomicBool::new(dialect.listing.v1),
            with_sums: dialect.limits(true, plain, below),
            without_sums: dialect.limits(false, plain, below),
            md5s: Md5Queue::default(),
        })))
    }

    /// The client itself, for what is beside the two traits.
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.0
    }
}

/// Path style where it was asked for; with `auto` for addresses, localhost, and buckets whose dots no TLS
/// wildcard covers.
fn path_style(endpoint: &Endpoint, dialect: &Dialect, host: &str, scheme: &str) -> bool {
    use conf::job::Addressing;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match endpoint.addressing {
        Addressing::Path => true,
        Addressing::Virtual => false,
        Addressing::Auto => {
            dialect.path_style
                || bare.parse::<std::net::IpAddr>().is_ok()
                || bare == "localhost"
                || (scheme == "https" && endpoint.bucket.contains('.'))
        }
    }
}

impl Client {
    /// Checksum headers are sent and expected.
    fn sums(&self) -> bool {
        self.expects(&self.sums_off)
    }

    fn part_sums(&self) -> bool {
        self.expects(&self.part_sums_off)
    }

    fn expects(&self, off: &AtomicBool) -> bool {
        self.dialect.sum().is_some() && (self.dialect.always_states() || !off.load(Ordering::Relaxed))
    }

    /// What a service did with the checksum of a whole object. Without a single one that was given back, the
    /// next ones are not sent any more: ETags have to prove.
    fn learn_sums(&self, given_back: bool) {
        self.learn(&self.sums_seen, &self.sums_off, given_back, "objects");
    }

    fn learn_part_sums(&self, given_back: bool) {
        self.learn(&self.part_sums_seen, &self.part_sums_off, given_back, "parts");
    }

    fn learn(&self, seen: &AtomicBool, off: &AtomicBool, given_back: bool, of: &str) {
        if self.dialect.always_states() {
            return;
        }
        if given_back {
            if !seen.load(Ordering::Relaxed) {
                seen.store(true, Ordering::Relaxed);
            }
        } else if !seen.load(Ordering::Relaxed) && !off.swap(true, Ordering::Relaxed) {
            let (endpoint, dialect) = (&self.endpoint.endpoint, self.dialect.name);
            tracing::info!(
                endpoint,
                dialect,
                "the service states no CRC of {of}: ETags are compared instead"
            );
        }
    }

    /// The key on the wire: below the endpoint's prefix.
    fn full_key(&self, key: &ObjectKey) -> Vec<u8> {
        [self.endpoint.prefix.as_bytes(), key.as_bytes()].concat()
    }

    /// Is the bucket there, and may these keys list it?
    async fn look(&self) -> Result<()> {
        let request = ListRequest::default();
        self.page(&request, None, None, 1).await.map(|_| ()).map_err(|error| {
            // A missing bucket is all that a listing can miss; some services say it with another code.
            if error.kind() == ErrorKind::NotFound {
                error.into_kind(ErrorKind::BucketNotFound)
            } else {
                error
            }
        })
    }
}

#[async_trait]
impl Source for S3Store {
    async fn check(&self) -> Result<()> {
        match self.0.look().await {
            // Where the keys are given nothing is listed, and the right to read them is enough.
            Err(error) if error.kind() == ErrorKind::AccessDenied && self.0.endpoint.key_list.is_some() => {
                Ok(())
            }
            other => other,
        }
    }

    fn list(&self, request: ListRequest) -> Pages {
        list::pages(self.0.clone(), request)
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        self.0.head(key).await
    }

    async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>, version: &Version) -> Result<Read> {
        self.0.read(key, range, version).await
    }

    async fn stated(&self, key: &ObjectKey, version: &Version) -> Result<Stated> {
        self.0.stated(key, version).await
    }

    async fn tags(&self, key: &ObjectKey) -> Result<Vec<(String, String)>> {
        self.0.tags(key).await
    }

    async fn acl(&self, key: &ObjectKey) -> Result<Option<String>> {
        self.0.acl(key).await
    }

    async fn link(&self, key: &ObjectKey) -> Result<Option<Link>> {
        self.0.link(key).await
    }
}

#[async_trait]
impl Destination for S3Store {
    async fn check(&self) -> Result<()> {
        match self.0.look().await {
            // Keys that may write and not list are good enough.
            Err(error) if error.kind() == ErrorKind::AccessDenied => Ok(()),
            other => other,
        }
    }

    fn limits(&self) -> &Limits {
        // Parts are recorded with this CRC: where the other choice would be another algorithm, it stays the same also
        // when the service turns out not to state it.
        let dialect = self.0.dialect;
        let stays = dialect.sum().is_some() && dialect.sent_sum().is_none();
        if stays || self.0.sums() { &self.0.with_sums } else { &self.0.without_sums }
    }

    async fn put(&self, key: &ObjectKey, options: &PutOptions, payload: &Payload) -> Result<Written> {
        self.0.put(key, options, payload).await
    }

    async fn begin(&self, key: &ObjectKey, options: &PutOptions) -> Result<UploadRef> {
        self.0.begin(key, options).await
    }

    async fn part(
        &self,
        upload: &UploadRef,
        number: u32,
        offset: u64,
        payload: &Payload,
    ) -> Result<PartDone> {
        self.0.part(upload, number, offset, payload).await
    }

    async fn parts(&self, upload: &UploadRef, recorded: &[PartDone]) -> Result<Vec<PartDone>> {
        self.0.parts(upload, recorded).await
    }

    async fn complete(
        &self,
        upload: &UploadRef,
        options: &PutOptions,
        parts: &[PartDone],
        whole: &Whole,
    ) -> Result<Written> {
        self.0.complete(upload, options, parts, whole).await
    }

    async fn abort(&self, unwanted: &Unwanted) -> Result<u64> {
        match unwanted {
            Unwanted::Known(upload) => self.0.abort(upload).await.map(|()| 1),
            Unwanted::Unknown { key, since_ms, wanted } => self.abort_unknown(key, *since_ms, wanted).await,
        }
    }

    async fn put_link(&self, key: &ObjectKey, target: &ObjectKey, options: &PutOptions) -> Result<Written> {
        self.0.put_link(key, target, options).await
    }
}

#[cfg(test)]
mod tests;
