//! One object: look, read, write.

use std::ops::Range;
use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, StatusCode};
use proto::ObjectKey;

use super::request::Call;
use super::{Client, headers};
use crate::answered::header;
use crate::checksum::md5_of_etag;
use crate::destination::{PutOptions, Written};
use crate::dialect::Scheme;
use crate::error::{Error, ErrorKind, Op, Result};
use crate::meta::{Checksums, ObjectMeta, Version};
use crate::meter::RequestKind;
use crate::payload::Payload;
use crate::retry::is_systemic;
use crate::source::{Read, Stated, slice};

impl Client {
    pub(super) async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        let (answer, size) =
            self.look_at(Call::new(Op::Head, RequestKind::Head, Method::HEAD, Some(key))).await?;
        Ok(headers::meta(self.dialect, self.carries, &answer, size))
    }

    /// The headers of an answer to HEAD, and its length.
    async fn look_at(&self, mut call: Call<'_>) -> Result<(HeaderMap, u64)> {
        for (name, value) in self.dialect.read_headers {
            call = call.header(name, value);
        }
        let answer = self.send(&call).await?.into_parts().0.headers;
        let size = header(&answer, "content-length").parse().ok();
        let size = size.ok_or_else(|| call.error(ErrorKind::Protocol, "the answer has no length"))?;
        Ok((answer, size))
    }

    /// By a HEAD; and where no CRC is stated, and the ETag is one of parts, by one of the first part.
    pub(super) async fn stated(&self, key: &ObjectKey, version: &Version) -> Result<Stated> {
        if self.dialect.sums_with_ranges {
            return Ok(Stated::default());
        }
        let call = Call::new(Op::Head, RequestKind::Head, Method::HEAD, Some(key));
        let (answer, size) = self.look_at(call).await?;
        let meta = headers::meta(self.dialect, self.carries, &answer, size);
        let other =
            |there: &str| version.etag.as_deref().is_some_and(|etag| !etag.eq_ignore_ascii_case(there));
        // What is read tells that it is another one.
        if meta.size != version.size || meta.etag.as_deref().is_some_and(other) {
            return Ok(Stated::default());
        }
        let parts = meta.etag.as_deref().and_then(parts_of_etag);
        let plain = self.dialect.etag_is_md5_of_parts && headers::etag_is_md5(self.dialect, &answer);
        let part = match parts.filter(|_| meta.checksums == Checksums::default() && plain) {
            Some(parts) => self.first_part(key, parts, meta.size).await?,
            None => None,
        };
        Ok(Stated { checksums: meta.checksums, part })
    }

    /// Bytes of each part of a multipart upload, where the service tells it and the parts are of one size (S3 API
    /// reference, HeadObject, `partNumber`).
    async fn first_part(&self, key: &ObjectKey, parts: u64, size: u64) -> Result<Option<u64>> {
        let call = Call::new(Op::Head, RequestKind::Head, Method::HEAD, Some(key))
            .query("partNumber", "1".to_owned());
        let (answer, first) = match self.look_at(call).await {
            // Services that do not know of it say so in many ways.
            Err(error) if !is_systemic(error.kind()) => return Ok(None),
            other => other?,
        };
        let told = header(&answer, "x-amz-mp-parts-count") == parts.to_string();
        Ok((told && first > 0 && size.div_ceil(first) == parts).then_some(first))
    }

    pub(super) async fn read(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        version: &Version,
    ) -> Result<Read> {
        let mut call = Call::new(Op::Get, RequestKind::Get, Method::GET, Some(key));
        for (name, value) in self.dialect.read_headers {
            call = call.header(name, value);
        }
        if let Some(etag) = &version.etag {
            call = call.header("if-match", &format!("\"{etag}\""));
        }
        if let Some(range) = &range {
            call = call.header("range", &format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        }
        let expected = range.as_ref().map_or(version.size, |range| range.end - range.start);
        let arriving = self.meter.arriving(expected).await;
        let (head, body) = self.send(&call).await?.into_parts();
        let (size, skip) = extent(&call, head.status, &head.headers, range.as_ref(), version)?;
        let meta = headers::meta(self.dialect, self.carries, &head.headers, size);
        same_version(&call, version, &meta)?;
        let on = key.clone();
        let fail =
            move |failure: crate::http::Failure| Error::new(failure.kind, Op::Get, failure.text).on(&on);
        let body = self.http.stream(body, arriving, fail);
        let body = match (skip, range) {
            (Some(skip), Some(range)) => slice(body, skip, range.end - range.start),
            _ => body,
        };
        Ok(Read { meta, body })
    }

    pub(super) async fn put(
        &self,
        key: &ObjectKey,
        options: &PutOptions,
        payload: &Payload,
    ) -> Result<Written> {
        let sums = self.sums();
        match self.put_with(key, options, payload, sums).await {
            Err(error) if sums && refuses_sums(self, &error) => {
                let written = self.put_with(key, options, payload, false).await?;
                self.learn_sums(false);
                Ok(written)
            }
            Err(error) if self.learn_acls(&error, options) => {
                self.put_with(key, options, payload, sums).await
            }
            other => other,
        }
    }

    /// Buckets of S3 have no lists of objects unless their owner wants them (S3 user guide, "Controlling ownership of
    /// objects"): the list that came along with an object stays behind. One that the job names is refused.
    pub(super) fn learn_acls(&self, error: &Error, options: &PutOptions) -> bool {
        let refused = error.code() == "AccessControlListNotSupported" && options.acl.is_some();
        if refused {
            self.acls_off.store(true, Ordering::Relaxed);
        }
        refused
    }

    /// Notes on what a write leaves out of these.
    pub(super) fn left_out(&self, options: &PutOptions) -> Option<String> {
        let out = options.acl.is_some() && self.acls_off.load(Ordering::Relaxed);
        out.then(|| "acl: the bucket has none".to_owned())
    }

    async fn put_with(
        &self,
        key: &ObjectKey,
        options: &PutOptions,
        payload: &Payload,
        sums: bool,
    ) -> Result<Written> {
        let call = Call::new(Op::Put, RequestKind::Put, Method::PUT, Some(key)).body(payload.clone());
        let (mut call, not_carried) = self.write_headers(call, options, true)?;
        call = self.checked(call, sums, options.md5).await;
        let answer = self.send_for_headers(&call).await?;
        self.meter.bytes_written(payload.len());
        let etag = headers::etag(&answer);
        let stated = headers::stated(self.dialect, &answer, etag.as_deref());
        if let Some(sum) = self.dialect.sum().filter(|_| sums) {
            self.learn_sums(sum.of(&answer).is_some());
        }
        Ok(Written { etag, stated, not_carried })
    }

    /// With what the service checks the body against before anybody sees it: its CRC, and the MD5 that is known or,
    /// without a CRC, has to be taken.
    pub(super) async fn checked<'a>(
        &self,
        mut call: Call<'a>,
        sums: bool,
        known: Option<[u8; 16]>,
    ) -> Call<'a> {
        let md5 = match self.dialect.sum().filter(|_| sums) {
            Some(sum) if sum.sent => {
                let crc = sum.text(call.payload.crc(sum.algorithm));
                call = call.header(sum.header, &crc);
                known
            }
            // It answers with what it computed.
            Some(_) => known,
            None => match known {
                None => Some(call.payload.md5_aside().await),
                known => known,
            },
        };
        if let Some(md5) = md5 {
            call = call.header("content-md5", &STANDARD.encode(md5));
        }
        call
    }

    /// Headers that stand at the begin of a write: content, metadata, tags, class, access list, encryption,
    /// no-overwrite.
    pub(super) fn write_headers<'a>(
        &self,
        mut call: Call<'a>,
        options: &PutOptions,
        with_acl: bool,
    ) -> Result<(Call<'a>, Vec<String>)> {
        let (pairs, mut notes) = self
            .carries
            .encode(&options.headers)
            .map_err(|why| call.error(ErrorKind::MetadataTooLarge, why))?;
        for (name, value) in &pairs {
            call = call.header(name, value);
        }
        let (endpoint, prefix) = (&self.endpoint, self.dialect.prefix);
        if !options.tags.is_empty() {
            let (tags, lost) = self.carries.encode_tags(&options.tags);
            notes.extend(lost);
            if let Some(tags) = tags {
                call = call.header(&format!("{prefix}tagging"), &tags);
            }
        }
        call = self.class_and_acl(call, options, with_acl);
        if !endpoint.server_side_encryption.is_empty() {
            call = call.header(&format!("{prefix}server-side-encryption"), &endpoint.server_side_encryption);
        }
        if !endpoint.kms_key_id.is_empty() && !self.dialect.kms_key.is_empty() {
            call = call.header(self.dialect.kms_key, &endpoint.kms_key_id);
        }
        notes.extend(self.left_out(options));
        Ok((self.no_overwrite(call, options.keep_standing)?, notes))
    }

    /// With the header that forbids to write over an object, where the job or this write wants that.
    pub(super) fn no_overwrite<'a>(&self, call: Call<'a>, wanted: bool) -> Result<Call<'a>> {
        match self.dialect.no_overwrite {
            _ if !self.endpoint.forbid_overwrite && !wanted => Ok(call),
            // Not a header of CreateMultipartUpload: PutObject and CompleteMultipartUpload have it (S3 API reference).
            Some((name, _)) if call.op == Op::Begin && name == "if-none-match" => Ok(call),
            Some((name, value)) => Ok(call.header(name, value)),
            // The configuration was refused already; writing over is what must not happen.
            None => {
                let text = format!(
                    "this write must leave alone what stands there, and {} has no such promise",
                    self.dialect.name
                );
                Err(call.error(ErrorKind::Unsupported, text))
            }
        }
    }

    pub(super) fn class_and_acl<'a>(
        &self,
        mut call: Call<'a>,
        options: &PutOptions,
        with_acl: bool,
    ) -> Call<'a> {
        let class = options.class.as_deref().unwrap_or(&self.endpoint.storage_class);
        if !class.is_empty() {
            call = call.header(&format!("{}storage-class", self.dialect.prefix), class);
        }
        let acl = match &options.acl {
            Some(_) if self.acls_off.load(Ordering::Relaxed) => "",
            carried => carried.as_deref().unwrap_or(&self.endpoint.acl),
        };
        if with_acl && !acl.is_empty() {
            // OSS has lists of buckets under the shorter name (PutObjectACL).
            let object = if self.dialect.scheme == Scheme::Oss { "object-" } else { "" };
            call = call.header(&format!("{}{object}acl", self.dialect.prefix), acl);
        }
        call
    }
}

/// How many parts an ETag of a multipart upload is made of.
fn parts_of_etag(etag: &str) -> Option<u64> {
    let (md5, parts) = etag.split_once('-')?;
    md5_of_etag(md5).and_then(|_| parts.parse().ok())
}

/// A server that does not know checksum headers may refuse them.
pub(super) fn refuses_sums(client: &Client, error: &Error) -> bool {
    let refused = matches!(error.kind(), ErrorKind::Unsupported)
        || (error.kind() == ErrorKind::Refused
            && matches!(error.code(), "InvalidRequest" | "InvalidArgument"));
    client.dialect.sent_sum().is_some() && refused
}

/// The whole object's size, and where a body that came whole has to be cut.
pub(crate) fn extent(
    call: &Call<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    range: Option<&Range<u64>>,
    version: &Version,
) -> Result<(u64, Option<u64>)> {
    let length = header(headers, "content-length").parse::<u64>().ok();
    let wrong = |text: String| call.error(ErrorKind::Protocol, text);
    let Some(range) = range else {
        if status != StatusCode::OK {
            return Err(wrong(format!("the whole object was asked for, and HTTP {status} came")));
        }
        let length = length.ok_or_else(|| wrong("the answer has no length".into()))?;
        return Ok((length, None));
    };
    if status == StatusCode::OK {
        // The whole object instead of the range: its part is cut out of it.
        let length = length.ok_or_else(|| wrong("the answer has no length".into()))?;
        if length == range.end - range.start && length != version.size {
            // The range, under the wrong status (rclone serve s3).
            return Ok((version.size, None));
        }
        return Ok((length, Some(range.start)));
    }
    let given = header(headers, "content-range");
    let (span, total) =
        given.strip_prefix("bytes ").and_then(|text| text.split_once('/')).unwrap_or_default();
    let total = total.parse::<u64>().map_err(|_| wrong(format!("Content-Range is {given:?}")))?;
    let last = range.end.min(total).saturating_sub(1);
    if span != format!("{}-{last}", range.start) {
        return Err(wrong(format!("bytes {}-{last} were asked for, and {span} came", range.start)));
    }
    Ok((total, None))
}

/// For services that ignore conditions, and listings without ETags.
pub(crate) fn same_version(call: &Call<'_>, version: &Version, meta: &ObjectMeta) -> Result<()> {
    let same = match (&version.etag, &meta.etag) {
        (Some(wanted), Some(got)) if wanted.eq_ignore_ascii_case(got) && version.size != meta.size => {
            let text =
                format!("the listed version has {} bytes, and this answer {}", version.size, meta.size);
            return Err(call.error(ErrorKind::Protocol, text));
        }
        (Some(wanted), Some(got)) => wanted.eq_ignore_ascii_case(got),
        _ => {
            let second = |ms: Option<i64>| ms.map(|ms| ms.div_euclid(1000));
            let time = version.modified_ms.is_none()
                || meta.modified_ms.is_none()
                || second(version.modified_ms) == second(meta.modified_ms);
            time && version.size == meta.size
        }
    };
    if same {
        Ok(())
    } else {
        Err(call.error(ErrorKind::PreconditionFailed, "another version than the listed one is there"))
    }
}
