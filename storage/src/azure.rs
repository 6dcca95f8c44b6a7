//! Azure Blob: block blobs as source and destination, append and page blobs as source.
//!
//! Facts: Microsoft's "Blob service REST API". An upload has no id and no abort here: its blocks carry names that
//! nobody else uses, wait uncommitted, and vanish after a week where nobody commits them.

mod address;
mod archive;
mod auth;
mod blob;
mod blocks;
mod failure;
mod headers;
mod identity;
mod list;
mod names;
mod request;
mod xml;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use conf::Endpoint;
use crc_fast::CrcAlgorithm;
use proto::ObjectKey;

use crate::destination::{Destination, Limits, PartDone, PutOptions, Unwanted, UploadRef, Whole, Written};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::http::Http;
use crate::meta::{ObjectMeta, Version};
use crate::meter::Meter;
use crate::open::Context;
use crate::payload::Payload;
use crate::source::{ListRequest, Pages, Read, Source};

use address::Address;
use auth::Auth;
use list::Starts;

/// A container, or what lies under a prefix of it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct AzureStore(Arc<Client>);

/// One container of one account.
#[derive(Debug)]
struct Client {
    endpoint: Arc<Endpoint>,
    address: Address,
    http: Http,
    auth: Auth,
    meter: Meter,
    starts: Starts,
    /// The last whole blob was answered without a CRC-64: some servers state an MD5 instead.
    crc_off: AtomicBool,
    /// Blocks are answered without a CRC-64: they are sent with their MD5.
    block_crc_off: AtomicBool,
    with_crc: Limits,
    without_crc: Limits,
}

impl AzureStore {
    /// Sends nothing.
    pub(crate) fn open(endpoint: &Endpoint, context: &Context) -> Result<Self> {
        let bad = |why: String| Error::new(ErrorKind::Refused, Op::Open, why);
        let address = Address::of(endpoint).map_err(bad)?;
        if endpoint.bucket.is_empty() {
            return Err(bad("the container is needed: bucket says it".into()));
        }
        let (ca_file, meter) = (endpoint.ca_file.as_deref(), context.meter.clone());
        let http = Http::new(&address.uri, ca_file, &endpoint.proxy, context.timeout, meter).map_err(bad)?;
        Ok(AzureStore(Arc::new(Client {
            auth: Auth::new(endpoint, &address.account),
            endpoint: Arc::new(endpoint.clone()),
            address,
            http,
            meter: context.meter.clone(),
            starts: Starts::default(),
            crc_off: AtomicBool::new(false),
            block_crc_off: AtomicBool::new(false),
            with_crc: limits(Some(CrcAlgorithm::Crc64Nvme)),
            without_crc: limits(None),
        })))
    }
}

/// Since version 2019-12-12 ("Scalability and performance targets for Blob storage").
fn limits(crc: Option<CrcAlgorithm>) -> Limits {
    Limits {
        crc,
        etag_is_md5: false,
        etag_is_md5_of_parts: false,
        single_put: 5000 << 20,
        part_min: 1,
        part_max: 4000 << 20,
        parts: 50_000,
        needs_length: false,
        name: names::check,
    }
}

#[async_trait]
impl Source for AzureStore {
    async fn check(&self) -> Result<()> {
        match list::look(&self.0).await {
            // Where the names are given nothing is listed, and the right to read them is enough.
            Err(error) if error.kind() == ErrorKind::AccessDenied && self.0.endpoint.key_list.is_some() => {
                Ok(())
            }
            other => other,
        }
    }

    fn list(&self, request: ListRequest) -> Pages {
        list::pages(self.0.clone(), request)
    }

    fn starts_anywhere(&self) -> bool {
        self.0.starts.anywhere()
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        self.0.head(key).await
    }

    async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>, version: &Version) -> Result<Read> {
        self.0.read(key, range, version).await
    }
}

#[async_trait]
impl Destination for AzureStore {
    async fn check(&self) -> Result<()> {
        match list::look(&self.0).await {
            // A signature that may write and not list is good enough.
            Err(error) if error.kind() == ErrorKind::AccessDenied => Ok(()),
            other => other,
        }
    }

    fn limits(&self) -> &Limits {
        if self.0.crc_off.load(Ordering::Relaxed) { &self.0.without_crc } else { &self.0.with_crc }
    }

    async fn put(&self, key: &ObjectKey, options: &PutOptions, payload: &Payload) -> Result<Written> {
        self.0.put(key, options, payload).await
    }

    async fn begin(&self, key: &ObjectKey, options: &PutOptions) -> Result<UploadRef> {
        self.0.begin(key, options)
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

    /// There is nothing that could be told to go: uncommitted blocks vanish by themselves after a week, and every
    /// request that throws them away earlier writes or deletes the blob of that name.
    async fn abort(&self, _: &Unwanted) -> Result<u64> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests;
