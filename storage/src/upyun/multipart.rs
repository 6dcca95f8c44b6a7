//! Uploads in parts, in any order (UPYUN, "parallel resumable upload"). Part ids count from 0, every part has the size
//! that was said at the begin, and what is not completed goes after 24 hours.
//!
//! Each part comes with its MD5, which the service checks. It checks the MD5 of the whole as well, where the source
//! states one: nobody here hashes bytes whose parts travel side by side.

use std::collections::HashMap;

use http::Method;
use serde::Deserialize;

use super::Client;
use super::headers::{for_write, stated};
use super::request::Call;
use crate::answered::header;
use crate::destination::{PartDone, PutOptions, UploadRef, Whole, Written};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::meter::RequestKind;
use crate::payload::Payload;
use crate::s3::headers::{bare_etag, etag};

/// "Parts are multiples of 1 MiB, 1 MiB when nothing is said, 50 MiB at most."
pub(super) const PART_STEP: u64 = 1 << 20;
/// See [`PART_STEP`].
pub(super) const PART_MOST: u64 = 50 << 20;
/// Parts of one upload at most.
pub(super) const PARTS: u32 = 10_000;

const STAGE: &str = "x-upyun-multi-stage";
const UUID: &str = "x-upyun-multi-uuid";
const PART_ID: &str = "x-upyun-part-id";

/// "part already complete": it was sent before.
const PART_IS_THERE: &str = "40011062";

#[derive(Debug, Deserialize)]
struct Parts {
    parts: Vec<Part>,
}

#[derive(Debug, Deserialize)]
struct Part {
    id: u32,
    size: u64,
    #[serde(default)]
    etag: String,
}

/// The smallest part size that does for a file of so many bytes.
pub(super) fn part_size_for(size: u64) -> u64 {
    size.div_ceil(u64::from(PARTS)).div_ceil(PART_STEP).max(1) * PART_STEP
}

impl Client {
    pub(super) async fn begin(&self, key: &proto::ObjectKey, options: &PutOptions) -> Result<UploadRef> {
        let call = self.call(Op::Begin, RequestKind::Multipart, Method::PUT, key)?;
        let part_size = if options.part_size == 0 { part_size_for(options.size) } else { options.part_size };
        if !part_size.is_multiple_of(PART_STEP)
            || part_size > PART_MOST
            || options.size.div_ceil(part_size) > u64::from(PARTS)
        {
            let text = format!(
                "{} bytes in parts of {part_size}: UPYUN takes {PARTS} parts of whole MiB, each up to {PART_MOST} bytes",
                options.size
            );
            return Err(call.error(ErrorKind::Refused, text));
        }
        // What cannot be carried is noted once, at the end.
        let carried = self.carried(&call, options)?;
        let call = call
            .headers(&carried.meta)
            .header(STAGE, "initiate")
            .header("x-upyun-multi-disorder", "true")
            .header("x-upyun-multi-length", &options.size.to_string())
            .header("x-upyun-multi-part-size", &part_size.to_string())
            .header("x-upyun-multi-type", &carried.content_type);
        let answer = self.send_for_headers(&call).await?;
        let id = header(&answer, UUID);
        if id.is_empty() {
            return Err(call.error(ErrorKind::Protocol, "the answer has no upload id"));
        }
        Ok(UploadRef { key: key.clone(), id })
    }

    pub(super) async fn part(
        &self,
        upload: &UploadRef,
        number: u32,
        offset: u64,
        payload: &Payload,
    ) -> Result<PartDone> {
        let md5 = payload.md5_aside().await;
        let call = self
            .call(Op::Part, RequestKind::Part, Method::PUT, &upload.key)?
            .header(STAGE, "upload")
            .header(UUID, &upload.id)
            .header(PART_ID, &number.saturating_sub(1).to_string())
            .body(payload.clone(), md5);
        let text = hex::encode(md5);
        let done =
            |etag: String| PartDone { number, offset, size: payload.len(), etag, crc: None, md5: Some(md5) };
        match self.send_for_headers(&call).await {
            Ok(answer) => {
                self.meter.bytes_written(payload.len());
                Ok(done(etag(&answer).unwrap_or(text)))
            }
            // Its answer was lost; or these are other bytes than the first ones, and only a new upload takes them.
            Err(error) if error.code() == PART_IS_THERE => {
                let there = self.parts(upload, &[done(text)]).await?;
                there.into_iter().next().ok_or_else(|| error.into_kind(ErrorKind::UploadNotFound))
            }
            Err(error) => Err(error),
        }
    }

    /// All parts that the service has of an upload, as far as `last`.
    async fn kept(&self, upload: &UploadRef, last: u32) -> Result<HashMap<u32, Part>> {
        let mut kept: HashMap<u32, Part> = HashMap::new();
        let mut from = 0;
        loop {
            let call = self
                .call(Op::ListParts, RequestKind::List, Method::GET, &upload.key)?
                .header(UUID, &upload.id)
                .header(PART_ID, &from.to_string());
            let (_, body) = self.send_for_body(&call).await.map_err(|error| gone_if_odd(&call, error))?;
            let page: Parts = serde_json::from_slice(&body).map_err(|_| gone_if_odd(&call, odd(&call)))?;
            let Some(highest) = page.parts.iter().map(|part| part.id).max() else { return Ok(kept) };
            kept.extend(page.parts.into_iter().map(|part| (part.id, part)));
            if highest >= last || highest < from {
                return Ok(kept);
            }
            from = highest + 1;
        }
    }

    pub(super) async fn parts(&self, upload: &UploadRef, recorded: &[PartDone]) -> Result<Vec<PartDone>> {
        let last = recorded.iter().map(|part| part.number).max().unwrap_or(1).saturating_sub(1);
        let kept = self.kept(upload, last).await?;
        let there = |part: &&PartDone| {
            let kept = part.number.checked_sub(1).and_then(|id| kept.get(&id));
            kept.is_some_and(|kept| {
                kept.size == part.size && bare_etag(&kept.etag).eq_ignore_ascii_case(&part.etag)
            })
        };
        Ok(recorded.iter().filter(there).cloned().collect())
    }

    pub(super) async fn complete(
        &self,
        upload: &UploadRef,
        options: &PutOptions,
        whole: &Whole,
    ) -> Result<Written> {
        let mut call = self
            .call(Op::Complete, RequestKind::Multipart, Method::PUT, &upload.key)?
            .header(STAGE, "complete")
            .header(UUID, &upload.id);
        if let Some(md5) = options.md5 {
            call = call.header("x-upyun-multi-md5", &hex::encode(md5));
        }
        // The service puts the file together first.
        call.patience = 10;
        let answer = self.send_for_headers(&call).await?;
        let length = header(&answer, "x-upyun-multi-length");
        if length.parse::<u64>().is_ok_and(|length| length != whole.size) {
            let text = format!("{} bytes were written, and the service has {length}", whole.size);
            return Err(call.error(ErrorKind::Corrupted, text));
        }
        let not_carried = for_write(&options.headers).unwrap_or_default().notes;
        Ok(Written { etag: etag(&answer), stated: stated(&answer), not_carried })
    }
}

fn odd(call: &Call<'_>) -> Error {
    call.error(ErrorKind::Protocol, "the answer is no list of parts")
}

/// A service that has forgotten an upload may give the file instead of its parts.
fn gone_if_odd(call: &Call<'_>, error: Error) -> Error {
    if error.kind() == ErrorKind::Protocol {
        return call.error(ErrorKind::UploadNotFound, "the service gives no parts of this upload");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_mib_and_few_enough() {
        assert_eq!(part_size_for(0), 1 << 20);
        assert_eq!(part_size_for(10_000 << 20), 1 << 20);
        assert_eq!(part_size_for((10_000 << 20) + 1), 2 << 20);
        assert_eq!(part_size_for(500_000 << 20), PART_MOST);
    }
}
