//! The store in memory as a destination.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use crc_fast::checksum;
use md5::{Digest, Md5};
use proto::ObjectKey;

use super::{MemoryStore, concat, etag};
use crate::destination::{Destination, Limits, PartDone, PutOptions, Unwanted, UploadRef, Whole, Written};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::meter::RequestKind;
use crate::payload::Payload;

#[async_trait]
impl Destination for MemoryStore {
    async fn check(&self) -> Result<()> {
        self.call(Op::Open, RequestKind::Head, None).await
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    async fn put(&self, key: &ObjectKey, options: &PutOptions, payload: &Payload) -> Result<Written> {
        self.call(Op::Put, RequestKind::Put, Some(key)).await?;
        self.limits.check_name(key)?;
        self.meter.bytes_written(payload.len());
        if options.keep_standing && self.get(key.clone()).is_some() {
            return Err(Error::new(ErrorKind::PreconditionFailed, Op::Put, "it stands there").on(key));
        }
        if options.md5.is_some_and(|md5| md5 != payload.md5()) {
            return Err(Error::new(ErrorKind::Corrupted, Op::Put, "the bytes have another MD5").on(key));
        }
        self.keep(Op::Put, key, options, concat(payload))
    }

    async fn begin(&self, key: &ObjectKey, options: &PutOptions) -> Result<UploadRef> {
        self.call(Op::Begin, RequestKind::Multipart, Some(key)).await?;
        self.as_kept(Op::Begin, key, options)?;
        self.limits.check_name(key)?;
        let mut inner = self.inner();
        inner.next_upload += 1;
        let id = format!("upload-{}", inner.next_upload);
        inner.uploads.insert(id.clone(), (key.clone(), BTreeMap::new()));
        Ok(UploadRef { key: key.clone(), id })
    }

    async fn part(
        &self,
        upload: &UploadRef,
        number: u32,
        offset: u64,
        payload: &Payload,
    ) -> Result<PartDone> {
        self.call(Op::Part, RequestKind::Part, Some(&upload.key)).await?;
        let data = self.pass(Op::Part, &upload.key, concat(payload));
        let gone = || Error::new(ErrorKind::UploadNotFound, Op::Part, "no such upload").on(&upload.key);
        let done = PartDone {
            number,
            offset,
            size: data.len() as u64,
            etag: etag(&data),
            crc: self
                .states_checksums
                .then(|| self.limits.crc.map(|algorithm| checksum(algorithm, &data)))
                .flatten(),
            md5: self.limits.crc.is_none().then(|| payload.md5()),
        };
        self.inner().uploads.get_mut(&upload.id).ok_or_else(gone)?.1.insert(number, data);
        self.meter.bytes_written(done.size);
        Ok(done)
    }

    async fn parts(&self, upload: &UploadRef, recorded: &[PartDone]) -> Result<Vec<PartDone>> {
        self.call(Op::ListParts, RequestKind::List, Some(&upload.key)).await?;
        let inner = self.inner();
        let gone = || Error::new(ErrorKind::UploadNotFound, Op::ListParts, "no such upload").on(&upload.key);
        let (_, kept) = inner.uploads.get(&upload.id).ok_or_else(gone)?;
        let there = |part: &&PartDone| kept.get(&part.number).is_some_and(|data| etag(data) == part.etag);
        Ok(recorded.iter().filter(there).cloned().collect())
    }

    async fn complete(
        &self,
        upload: &UploadRef,
        options: &PutOptions,
        parts: &[PartDone],
        whole: &Whole,
    ) -> Result<Written> {
        self.call(Op::Complete, RequestKind::Multipart, Some(&upload.key)).await?;
        let gone = || Error::new(ErrorKind::UploadNotFound, Op::Complete, "no such upload").on(&upload.key);
        let (_, kept) = self.inner().uploads.get(&upload.id).cloned().ok_or_else(gone)?;
        let mut data = Vec::new();
        for part in parts {
            let refused = || Error::new(ErrorKind::Refused, Op::Complete, "no such part").on(&upload.key);
            data.extend_from_slice(kept.get(&part.number).ok_or_else(refused)?);
        }
        let wrong =
            self.limits.crc.zip(whole.crc).is_some_and(|(algorithm, crc)| checksum(algorithm, &data) != crc);
        if self.states_checksums && (wrong || data.len() as u64 != whole.size) {
            return Err(Error::new(ErrorKind::Corrupted, Op::Complete, "the whole differs from its hash")
                .on(&upload.key));
        }
        self.inner().uploads.remove(&upload.id);
        let mut written = self.keep(Op::Complete, &upload.key, options, data.into())?;
        let sums =
            parts.iter().filter_map(|part| kept.get(&part.number)).map(|data| Md5::digest(data).into());
        written.etag = Some(crate::checksum::multipart_etag(sums));
        Ok(written)
    }

    async fn abort(&self, unwanted: &Unwanted) -> Result<u64> {
        self.call(Op::Abort, RequestKind::Multipart, Some(unwanted.key())).await?;
        let mut inner = self.inner();
        let before = inner.uploads.len();
        match unwanted {
            Unwanted::Known(upload) => drop(inner.uploads.remove(&upload.id)),
            Unwanted::Unknown { key, wanted, .. } => {
                inner.uploads.retain(|id, (of, _)| of != key || id == wanted)
            }
        }
        Ok((before - inner.uploads.len()) as u64)
    }

    async fn put_link(&self, key: &ObjectKey, target: &ObjectKey, options: &PutOptions) -> Result<Written> {
        self.call(Op::PutLink, RequestKind::Link, Some(key)).await?;
        let written = self.keep(Op::PutLink, key, options, Bytes::new())?;
        self.inner().links.insert(key.clone(), target.clone());
        Ok(written)
    }
}
