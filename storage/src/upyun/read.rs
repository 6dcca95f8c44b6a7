//! Looking at a file and reading it, from the API or from the CDN.
//!
//! The service has no conditional reads: every answer is compared with the version that is meant. What a CDN gives
//! is an old copy at times, so that the API is asked first, and its word counts for all but the bytes.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, Method, StatusCode};
use md5::{Digest, Md5};
use proto::ObjectKey;

use super::request::Call;
use super::{Client, Host, headers};
use crate::answered::header;
use crate::error::{Error, ErrorKind, Op, Result};
use crate::meta::{Checksums, ObjectMeta, Version};
use crate::meter::RequestKind;
use crate::source::{Read, slice};

impl Client {
    pub(super) async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        let call = self.call(Op::Head, RequestKind::Head, Method::HEAD, key)?;
        let answer = self.send(&call).await?;
        let is_folder = headers::is_folder(answer.headers());
        if is_folder != key.is_marker() {
            let what = if is_folder { "a folder" } else { "a file" };
            return Err(call.error(ErrorKind::NotFound, format!("{what} has this name")));
        }
        if is_folder {
            let meta = headers::meta(answer.headers(), 0);
            return Ok(ObjectMeta { checksums: of_nothing(), etag: None, ..meta });
        }
        let size = header(answer.headers(), "x-upyun-file-size").parse().ok();
        let size = size.ok_or_else(|| call.error(ErrorKind::Protocol, "the answer has no size"))?;
        Ok(headers::meta(answer.headers(), size))
    }

    pub(super) async fn read(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        version: &Version,
    ) -> Result<Read> {
        if key.is_marker() {
            let meta = self.head(key).await?;
            return Ok(Read { meta, body: stream::empty().boxed() });
        }
        match &self.cdn {
            None => self.fetch(key, range, version, &self.api).await,
            Some(cdn) => {
                let truth = self.head(key).await?;
                let call = self.call(Op::Get, RequestKind::Get, Method::GET, key)?;
                same_version(&call, version, &truth)?;
                let wanted =
                    Version { size: truth.size, modified_ms: truth.modified_ms, etag: truth.etag.clone() };
                let read = self.fetch(key, range, &wanted, cdn).await.map_err(|error| match error.kind() {
                    ErrorKind::PreconditionFailed => call.error(
                        ErrorKind::PreconditionFailed,
                        "the CDN gives another version than the service has: purge it there, or leave cdn_domain out",
                    ),
                    _ => error,
                })?;
                Ok(Read { meta: truth, body: read.body })
            }
        }
    }

    /// Bytes of this version.
    async fn fetch(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        version: &Version,
        host: &Host,
    ) -> Result<Read> {
        let mut call = self.call(Op::Get, RequestKind::Get, Method::GET, key)?;
        if let Some(range) = &range {
            call = call.header("range", &format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        }
        let expected = range.as_ref().map_or(version.size, |range| range.end - range.start);
        let arriving = self.meter.arriving(expected).await;
        let is_api = std::ptr::eq(host, &self.api);
        let answer = if is_api { self.send(&call).await? } else { self.send_to_cdn(&call, host).await? };
        let (head, body) = answer.into_parts();
        if headers::is_folder(&head.headers) {
            return Err(call.error(ErrorKind::NotFound, "a folder has this name"));
        }
        let (size, skip) = extent(&call, head.status, &head.headers, range.as_ref())?;
        let meta = headers::meta(&head.headers, size);
        same_version(&call, version, &meta)?;
        let on = key.clone();
        let fail =
            move |failure: crate::http::Failure| Error::new(failure.kind, Op::Get, failure.text).on(&on);
        let body = host.http.stream(body, arriving, fail);
        let body = match (skip, range) {
            (Some(skip), Some(range)) => slice(body, skip, range.end - range.start),
            _ => body,
        };
        Ok(Read { meta, body })
    }
}

/// What a folder holds.
pub(super) fn of_nothing() -> Checksums {
    Checksums { md5: Some(Md5::digest(Bytes::new()).into()), ..Checksums::default() }
}

/// The whole file's size, and where a body that came whole has to be cut.
fn extent(
    call: &Call<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    range: Option<&Range<u64>>,
) -> Result<(u64, Option<u64>)> {
    let wrong = |text: String| call.error(ErrorKind::Protocol, text);
    if status == StatusCode::OK {
        let length = header(headers, "content-length").parse::<u64>();
        let length = length.map_err(|_| wrong("the answer has no length".into()))?;
        return Ok((length, range.map(|range| range.start)));
    }
    let Some(range) = range.filter(|_| status == StatusCode::PARTIAL_CONTENT) else {
        return Err(wrong(format!("HTTP {status} is no answer to this request")));
    };
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

/// Size, ETag where both are known, else the time in seconds.
fn same_version(call: &Call<'_>, version: &Version, meta: &ObjectMeta) -> Result<()> {
    let second = |ms: i64| ms.div_euclid(1000);
    let same = match (&version.etag, &meta.etag) {
        (Some(wanted), Some(got)) => wanted.eq_ignore_ascii_case(got),
        _ => match (version.modified_ms, meta.modified_ms) {
            (Some(wanted), Some(got)) => second(wanted) == second(got),
            _ => true,
        },
    };
    if same && version.size == meta.size {
        return Ok(());
    }
    Err(call.error(ErrorKind::PreconditionFailed, "another version than the listed one is there"))
}
