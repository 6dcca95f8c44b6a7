//! One blob: look, read, write.

use std::ops::Range;
use std::sync::atomic::Ordering;

use crc_fast::CrcAlgorithm;
use http::{Method, StatusCode};
use proto::ObjectKey;

use super::{Client, headers};
use crate::answered::header;
use crate::destination::{PutOptions, Written};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::meta::{ObjectMeta, Version};
use crate::meter::RequestKind;
use crate::payload::Payload;
use crate::s3::{Call, etag, extent, same_version};
use crate::source::Read;

impl Client {
    pub(super) async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        match self.head_of(key).await {
            Ok((meta, _)) => Ok(meta),
            Err(error) => match without_slash(key).filter(|_| may_be_directory(&error)) {
                Some(directory) => match self.head_of(&directory).await {
                    Ok((meta, true)) => Ok(meta),
                    _ => Err(error),
                },
                None => Err(error),
            },
        }
    }

    /// And whether it is a directory.
    async fn head_of(&self, key: &ObjectKey) -> Result<(ObjectMeta, bool)> {
        let call = Call::new(Op::Head, RequestKind::Head, Method::HEAD, Some(key));
        let answer = self.send(&call).await?;
        let size = header(answer.headers(), "content-length").parse().ok();
        let size = size.ok_or_else(|| call.error(ErrorKind::Protocol, "the answer has no length"))?;
        let meta = headers::meta(answer.headers(), answer.status(), size);
        Ok((meta, headers::is_directory(answer.headers())))
    }

    pub(super) async fn read(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        version: &Version,
    ) -> Result<Read> {
        let error = match self.read_of(key, range.as_ref(), version).await {
            Ok(read) => return Ok(read),
            // Some servers look at the condition first, also where there is nothing.
            Err(error) if error.kind() == ErrorKind::PreconditionFailed => match self.head_of(key).await {
                Err(gone) if gone.kind() == ErrorKind::NotFound => gone,
                _ => return Err(error),
            },
            Err(error) => error,
        };
        match without_slash(key).filter(|_| may_be_directory(&error)) {
            // The condition on its version keeps apart what has the same name.
            Some(directory) if self.head_of(&directory).await.is_ok_and(|(_, is)| is) => {
                self.read_of(&directory, range.as_ref(), version).await
            }
            _ => Err(error),
        }
    }

    async fn read_of(&self, key: &ObjectKey, range: Option<&Range<u64>>, version: &Version) -> Result<Read> {
        let mut call = Call::new(Op::Get, RequestKind::Get, Method::GET, Some(key));
        if let Some(etag) = &version.etag {
            call = call.header("if-match", &format!("\"{etag}\""));
        }
        if let Some(range) = range {
            call = call.header("range", &format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        }
        let expected = range.map_or(version.size, |range| range.end - range.start);
        let arriving = self.meter.arriving(expected).await;
        let (head, body) = self.send(&call).await?.into_parts();
        let (size, cut) = extent(&call, head.status, &head.headers, range, version)?;
        if cut.is_some() {
            let text = "a range was asked for, and the whole blob came";
            return Err(call.error(ErrorKind::Protocol, text));
        }
        if range.is_some_and(|range| range.start >= size) {
            return Err(call.error(ErrorKind::PreconditionFailed, format!("it has {size} bytes by now")));
        }
        let meta = headers::meta(&head.headers, head.status, size);
        same_version(&call, version, &meta)?;
        let on = key.clone();
        let fail =
            move |failure: crate::http::Failure| Error::new(failure.kind, Op::Get, failure.text).on(&on);
        Ok(Read { meta, body: self.http.stream(body, arriving, fail) })
    }

    /// Put Blob. The service compares the bytes with the CRC before anybody sees them.
    pub(super) async fn put(
        &self,
        key: &ObjectKey,
        options: &PutOptions,
        payload: &Payload,
    ) -> Result<Written> {
        self.with_crc.check_name(key)?;
        let call = Call::new(Op::Put, RequestKind::Put, Method::PUT, Some(key)).body(payload.clone());
        let (call, not_carried) = self.write_headers(call, options)?;
        let crc = headers::crc_text(payload.crc(CrcAlgorithm::Crc64Nvme));
        let call = call.header("x-ms-blob-type", "BlockBlob").header("x-ms-content-crc64", &crc);
        let (answer, _) = self.send_for_body(&call).await?;
        self.meter.bytes_written(payload.len());
        let stated = headers::computed(&answer);
        self.crc_off.store(stated.crc64nvme.is_none(), Ordering::Relaxed);
        Ok(Written { etag: etag(&answer), stated, not_carried })
    }

    /// Headers of Put Blob and Put Block List: content, metadata, tier, no-overwrite.
    pub(super) fn write_headers<'a>(
        &self,
        mut call: Call<'a>,
        options: &PutOptions,
    ) -> Result<(Call<'a>, Vec<String>)> {
        let (pairs, notes) = headers::for_write(&options.headers)
            .map_err(|why| call.error(ErrorKind::MetadataTooLarge, why))?;
        for (name, value) in &pairs {
            call = call.header(name, value);
        }
        let class = options.class.as_deref().unwrap_or(&self.endpoint.storage_class);
        if !class.is_empty() {
            call = call.header("x-ms-access-tier", class);
        }
        if self.endpoint.forbid_overwrite {
            call = call.header("if-none-match", "*");
        }
        Ok((call, notes))
    }
}

/// Directories of a hierarchical namespace are listed as markers, with a slash that their names do not have.
fn without_slash(key: &ObjectKey) -> Option<ObjectKey> {
    let bare = key.as_bytes().strip_suffix(b"/")?;
    (!bare.is_empty()).then(|| ObjectKey::new(bare.to_vec()))
}

fn may_be_directory(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidName)
        || error.status() == Some(StatusCode::BAD_REQUEST.as_u16())
}
