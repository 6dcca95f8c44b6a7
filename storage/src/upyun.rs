//! UPYUN (type `youpai`) as source and as destination: its REST API on files in folders, and its CDN for reading.
//!
//! A key is a path: folders and a name. What is none is `InvalidName` ([`names`]). A folder that holds nothing is
//! listed as a key that ends in `/`, and such a key is written as a folder. Listings come in the order in which
//! an object store would give them ([`walk`]), although the service lists one folder at a time, by time.
//!
//! The service has no conditional reads: what comes is compared with the version that is meant. It checks the MD5
//! that comes with a write before anybody sees the file, and states it again in the answer to HEAD.
//!
//! Sources: the vendor's documentation ("REST API", "Authorization", "API error codes") and its SDKs for Go and
//! Python. What neither says is named where it matters.

mod failure;
mod folder;
mod headers;
mod list;
mod multipart;
mod names;
mod read;
mod request;
mod sign;
mod uploads;
mod walk;
mod write;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use conf::Endpoint;
use http::Uri;
use proto::ObjectKey;

use crate::destination::{Destination, Limits, PartDone, PutOptions, Unwanted, UploadRef, Whole, Written};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::http::Http;
use crate::meta::{ObjectMeta, Version};
use crate::meter::Meter;
use crate::open::Context;
use crate::payload::Payload;
use crate::source::{ListRequest, Pages, Read, Source};

/// A service ("bucket") of UPYUN, or what lies under a prefix of it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct UpyunStore(Arc<Client>);

/// One endpoint and service.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Arc<Endpoint>,
    api: Host,
    /// Where the bytes of files are read, if not from the API.
    cdn: Option<Host>,
    keys: sign::Keys,
    meter: Meter,
    limits: Limits,
    /// Large folders that are being listed.
    folders: folder::Folders,
    /// Bytes of listings that one walk holds at most.
    held_most: usize,
}

/// Where requests go.
#[derive(Debug)]
struct Host {
    scheme: String,
    /// Host and port.
    authority: String,
    http: Http,
}

impl UpyunStore {
    /// Sends nothing.
    pub(crate) fn open(endpoint: &Endpoint, context: &Context) -> Result<Self> {
        if endpoint.bucket.is_empty() {
            return Err(Error::new(
                ErrorKind::Refused,
                Op::Open,
                "the name of the service (bucket) is needed",
            ));
        }
        let cdn = match endpoint.cdn_domain.as_str() {
            "" => None,
            address => Some(Host::new(address, endpoint, context)?),
        };
        let endpoint = Arc::new(endpoint.clone());
        Ok(UpyunStore(Arc::new(Client {
            api: Host::new(&endpoint.endpoint, &endpoint, context)?,
            cdn,
            keys: sign::Keys::new(endpoint.clone()),
            meter: context.meter.clone(),
            limits: limits(&endpoint.prefix),
            folders: folder::Folders::default(),
            held_most: folder::MOST,
            endpoint,
        })))
    }
}

impl Host {
    fn new(address: &str, endpoint: &Endpoint, context: &Context) -> Result<Self> {
        let bad = |why: String| Error::new(ErrorKind::Refused, Op::Open, why);
        let uri: Uri = address.parse().map_err(|_| bad(format!("{address:?} is not a URL")))?;
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        if authority.is_empty() {
            return Err(bad(format!("{address:?} names no host")));
        }
        let http = Http::new(
            &uri,
            endpoint.ca_file.as_deref(),
            &endpoint.proxy,
            context.timeout,
            context.meter.clone(),
        );
        let scheme = uri.scheme_str().unwrap_or("https").to_owned();
        Ok(Host { scheme, authority, http: http.map_err(bad)? })
    }
}

/// "Parts are whole MiB of at most 50 MiB" (parallel resumable upload); 10,000 of them.
fn limits(prefix: &str) -> Limits {
    Limits {
        crc: None,
        etag_is_md5: true,
        etag_is_md5_of_parts: false,
        // "request body too big" comes earlier for some services; it is said by the service then.
        single_put: 1 << 30,
        part_min: multipart::PART_STEP,
        part_max: multipart::PART_MOST,
        parts: multipart::PARTS,
        needs_length: true,
        name: if prefix.is_empty() || prefix.ends_with('/') { names::rule } else { names::rule_behind },
    }
}

impl Client {
    /// The path on the wire: below the endpoint's prefix.
    fn full(&self, key: &ObjectKey) -> Vec<u8> {
        [self.endpoint.prefix.as_bytes(), key.as_bytes()].concat()
    }

    /// Is the service there, and may this operator list it?
    async fn look(&self) -> Result<()> {
        self.list_page(b"", None, 1).await.map(drop)
    }
}

#[async_trait]
impl Source for UpyunStore {
    async fn check(&self) -> Result<()> {
        self.0.look().await
    }

    fn list(&self, request: ListRequest) -> Pages {
        walk::pages(self.0.clone(), &request)
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        self.0.head(key).await
    }

    async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>, version: &Version) -> Result<Read> {
        self.0.read(key, range, version).await
    }
}

#[async_trait]
impl Destination for UpyunStore {
    async fn check(&self) -> Result<()> {
        match self.0.look().await {
            // An operator that may write and not list is good enough.
            Err(error) if error.kind() == ErrorKind::AccessDenied => Ok(()),
            other => other,
        }
    }

    fn limits(&self) -> &Limits {
        &self.0.limits
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
        _: &[PartDone],
        whole: &Whole,
    ) -> Result<Written> {
        self.0.complete(upload, options, whole).await
    }

    async fn abort(&self, unwanted: &Unwanted) -> Result<u64> {
        match unwanted {
            Unwanted::Known(upload) => self.0.abort(upload).await.map(u64::from),
            Unwanted::Unknown { key, since_ms, wanted } => self.0.abort_unknown(key, *since_ms, wanted).await,
        }
    }
}

pub(crate) use headers::{COMMANDS, META, commands};

#[cfg(test)]
mod tests;
