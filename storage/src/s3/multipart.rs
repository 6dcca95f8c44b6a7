//! Multipart uploads. The whole object's CRC is checked by the service where it keeps one; else parts carry
//! their MD5s, from which the ETag's rule proves the whole.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use http::Method;

use super::failure;
use super::object::refuses_sums;
use super::request::Call;
use super::{Client, headers, xml};
use crate::checksum::md5_of_etag;
use crate::destination::{PartDone, PutOptions, UploadRef, Whole, Written};
use crate::dialect::{Scheme, Sum};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::md5_queue::Promise;
use crate::meta::Checksums;
use crate::meter::RequestKind;
use crate::payload::Payload;

/// How often an abort is repeated at most.
const ABORTS: u32 = 2;

impl Client {
    pub(super) async fn begin(&self, key: &proto::ObjectKey, options: &PutOptions) -> Result<UploadRef> {
        let sums = self.part_sums();
        match self.begin_with(key, options, sums).await {
            Err(error) if sums && refuses_sums(self, &error) => {
                let begun = self.begin_with(key, options, false).await?;
                self.learn_part_sums(false);
                Ok(begun)
            }
            Err(error) if self.learn_acls(&error, options) => self.begin_with(key, options, sums).await,
            other => other,
        }
    }

    async fn begin_with(
        &self,
        key: &proto::ObjectKey,
        options: &PutOptions,
        sums: bool,
    ) -> Result<UploadRef> {
        let call = Call::new(Op::Begin, RequestKind::Multipart, Method::POST, Some(key)).query("uploads", "");
        // What cannot be carried is noted once, at the end.
        let (mut call, _) = self.write_headers(call, options, self.dialect.scheme != Scheme::Oss)?;
        if let Some(sum) = self.dialect.sent_sum().filter(|_| sums) {
            call = call
                .header("x-amz-checksum-algorithm", sum.name())
                .header("x-amz-checksum-type", "FULL_OBJECT");
        }
        let (_, body) = self.send_for_xml(&call).await?;
        let begun: xml::Begun = xml::parse(&body).map_err(|why| call.error(ErrorKind::Protocol, why))?;
        if begun.upload_id.is_empty() {
            return Err(call.error(ErrorKind::Protocol, "the answer has no upload id"));
        }
        Ok(UploadRef { key: key.clone(), id: begun.upload_id })
    }

    pub(super) async fn part(
        &self,
        upload: &UploadRef,
        number: u32,
        offset: u64,
        payload: &Payload,
    ) -> Result<PartDone> {
        let sums = self.part_sums();
        match self.part_with(upload, number, offset, payload, sums).await {
            // Or the upload was begun without checksums, by somebody else.
            Err(error) if sums && refuses_sums(self, &error) => {
                self.part_with(upload, number, offset, payload, false).await
            }
            other => other,
        }
    }

    async fn part_with(
        &self,
        upload: &UploadRef,
        number: u32,
        offset: u64,
        payload: &Payload,
        sums: bool,
    ) -> Result<PartDone> {
        let call = Call::new(Op::Part, RequestKind::Part, Method::PUT, Some(&upload.key))
            .query("partNumber", number.to_string())
            .query("uploadId", upload.id.clone())
            .body(payload.clone());
        // Where the ETag tells, the MD5 is taken while the part is sent, and four at once.
        let tells = self.without_sums.etag_is_md5 && !self.part_etags_off.load(Ordering::Relaxed);
        let promise = (!sums && tells).then(|| self.md5s.promise(payload));
        let mut call = if promise.is_some() { call } else { self.checked(call, sums, None).await };
        let mut answer = self.send_for_headers(&call).await?;
        if promise.is_some() && !headers::etag_is_md5(self.dialect, &answer) {
            // The bucket encrypts by itself, with keys of a key service: nothing has checked this part. It goes once
            // more, with its MD5, and so do the next ones from the start.
            self.part_etags_off.store(true, Ordering::Relaxed);
            call = self.checked(call, false, None).await;
            answer = self.send_for_headers(&call).await?;
        }
        self.meter.bytes_written(payload.len());
        let etag = headers::etag(&answer)
            .ok_or_else(|| call.error(ErrorKind::Protocol, "the answer has no ETag"))?;
        let sum = self.dialect.sum();
        let crc = sum.and_then(|sum| sum.of(&answer));
        if sums {
            self.learn_part_sums(crc.is_some());
        }
        if let (Some(sum), Some(stated)) = (sum, crc) {
            same_crc(&call, sum, stated)?;
        }
        let tells = crc.is_none() && headers::etag_is_md5(self.dialect, &answer);
        let md5 = if tells { self.part_md5(&call, &etag, promise).await? } else { None };
        Ok(PartDone { number, offset, size: payload.len(), etag, crc, md5 })
    }

    /// The MD5 of a part whose service states no CRC; its ETag has to be that MD5.
    async fn part_md5(
        &self,
        call: &Call<'_>,
        etag: &str,
        promise: Option<Promise>,
    ) -> Result<Option<[u8; 16]>> {
        let Some(stated) = md5_of_etag(etag).filter(|_| self.without_sums.etag_is_md5) else {
            return Ok(None);
        };
        let md5 = promise.unwrap_or_else(|| self.md5s.promise(&call.payload)).kept().await;
        if md5 == stated {
            return Ok(Some(md5));
        }
        Err(call.error(
            ErrorKind::Corrupted,
            format!("the part's MD5 is {}, and its ETag {etag}", hex::encode(md5)),
        ))
    }

    /// All parts that the service has of an upload.
    async fn kept(&self, upload: &UploadRef) -> Result<Vec<xml::Part>> {
        let mut kept: Vec<xml::Part> = Vec::new();
        let mut marker = String::new();
        loop {
            let mut call = Call::new(Op::ListParts, RequestKind::List, Method::GET, Some(&upload.key))
                .query("max-parts", "1000")
                .query("uploadId", upload.id.clone());
            if !marker.is_empty() {
                call = call.query("part-number-marker", marker.clone());
            }
            let (_, body) = self.send_for_xml(&call).await?;
            let page: xml::Parts = xml::parse(&body).map_err(|why| call.error(ErrorKind::Protocol, why))?;
            kept.extend(page.part);
            if !page.is_truncated {
                return Ok(kept);
            }
            if page.next_part_number_marker == marker || page.next_part_number_marker.is_empty() {
                return Err(call.error(ErrorKind::Protocol, "the list of parts stands still"));
            }
            marker = page.next_part_number_marker;
        }
    }

    pub(super) async fn parts(&self, upload: &UploadRef, recorded: &[PartDone]) -> Result<Vec<PartDone>> {
        let kept = self.kept(upload).await?;
        let kept: HashMap<u32, xml::Part> = kept.into_iter().map(|part| (part.part_number, part)).collect();
        let there = |part: &&PartDone| {
            kept.get(&part.number).is_some_and(|kept| {
                let crc = self.dialect.sum().and_then(|sum| kept.crc(sum));
                // Without sums the recorded CRC is our own, of the same kind.
                let differs = matches!((crc, part.crc), (Some(a), Some(b)) if a != b);
                let etag = headers::bare_etag(&kept.etag);
                // A list without ETags (s3s-fs) leaves the proof to the whole object's.
                let same = etag.is_empty() || etag.eq_ignore_ascii_case(&part.etag);
                kept.size == part.size && !differs && same
            })
        };
        Ok(recorded.iter().filter(there).cloned().collect())
    }

    pub(super) async fn complete(
        &self,
        upload: &UploadRef,
        options: &PutOptions,
        parts: &[PartDone],
        whole: &Whole,
    ) -> Result<Written> {
        let crc = whole.crc.filter(|_| self.part_sums() && self.dialect.sent_sum().is_some());
        match self.complete_with(upload, options, parts, crc).await {
            // Or the upload was begun without checksums, by somebody else.
            Err(error) if crc.is_some() && refuses_sums(self, &error) => {
                self.complete_with(upload, options, parts, None).await
            }
            other => other,
        }
    }

    async fn complete_with(
        &self,
        upload: &UploadRef,
        options: &PutOptions,
        parts: &[PartDone],
        crc: Option<u64>,
    ) -> Result<Written> {
        let body = xml::completion(parts.iter().map(|part| (part.number, part.etag.as_str())));
        let mut call = Call::new(Op::Complete, RequestKind::Multipart, Method::POST, Some(&upload.key))
            .query("uploadId", upload.id.clone())
            .header("content-type", "application/xml")
            .body(Payload::new(vec![body.into()]));
        // The service puts the object together first.
        call.patience = 10;
        // InitiateMultipartUpload of OSS has no such header, its CompleteMultipartUpload has.
        let acl = options.acl.as_deref().unwrap_or(&self.endpoint.acl);
        if self.dialect.scheme == Scheme::Oss && !acl.is_empty() {
            call = call.header("x-oss-object-acl", acl);
        }
        if let (Some(sum), Some(crc)) = (self.dialect.sent_sum(), crc) {
            call = call.header(sum.header, &sum.text(crc)).header("x-amz-checksum-type", "FULL_OBJECT");
        }
        call = self.no_overwrite(call, options.keep_standing)?;
        let (answer, body) = self.send_for_xml(&call).await?;
        if let Some(error) = failure::in_success(self, &call, &answer, &body) {
            return Err(error);
        }
        let done: xml::Completed = xml::parse(&body).map_err(|why| call.error(ErrorKind::Protocol, why))?;
        let etag = Some(headers::bare_etag(&done.etag)).filter(|etag| !etag.is_empty()).map(str::to_owned);
        let etag = etag.ok_or_else(|| call.error(ErrorKind::Protocol, "the answer has no ETag"))?;
        let mut stated = headers::stated(self.dialect, &answer, None);
        if stated == Checksums::default()
            && let Some(sum) = self.dialect.sum()
            && let Some(crc) = done.crc(sum)
        {
            sum.put(crc, &mut stated);
        }
        let mut not_carried = self.carries.notes(&options.headers, &options.tags);
        not_carried.extend(self.left_out(options));
        Ok(Written { etag: Some(etag), stated, not_carried })
    }

    pub(super) async fn abort(&self, upload: &UploadRef) -> Result<()> {
        let call = Call::new(Op::Abort, RequestKind::Multipart, Method::DELETE, Some(&upload.key))
            .query("uploadId", upload.id.clone());
        match self.send_for_headers(&call).await {
            Err(error) if is_gone(&error) => return Ok(()),
            answered => answered.map(|_| ())?,
        }
        // A part that was in flight can survive one abort (S3 API reference, AbortMultipartUpload).
        for _ in 0..ABORTS {
            match self.kept(upload).await {
                Ok(kept) if !kept.is_empty() => {}
                // Gone; or there is no right to list parts, and the abort was answered.
                _ => return Ok(()),
            }
            self.send_for_headers(&call)
                .await
                .map(|_| ())
                .or_else(|error| if is_gone(&error) { Ok(()) } else { Err(error) })?;
        }
        Ok(())
    }
}

/// A part that was damaged on the way is written again, not completed.
fn same_crc(call: &Call<'_>, sum: &Sum, stated: u64) -> Result<()> {
    let own = call.payload.crc(sum.algorithm);
    if own == stated {
        return Ok(());
    }
    let (name, own, stated) = (sum.name(), sum.text(own), sum.text(stated));
    Err(call
        .error(ErrorKind::Corrupted, format!("the part's {name} is {own}, and the service states {stated}")))
}

fn is_gone(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::UploadNotFound | ErrorKind::NotFound)
}
