//! Unfinished uploads, copies inside the service, batch deletion.

use std::ops::Range;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use proto::ObjectKey;

use super::request::{Call, encode};
use super::{S3Store, failure, headers, list, xml};
use crate::destination::{PartDone, PutOptions, UploadRef, Written};
use crate::dialect::Scheme;
use crate::error::{Error, ErrorKind, Op, Result};
use crate::meter::RequestKind;
use crate::payload::Payload;
use crate::upkeep::{CopyFrom, Upkeep};

/// Keys in one batch deletion at most (S3 and OSS, DeleteObjects).
const BATCH: usize = 1000;
/// The services refuse requests whose time is further off than this: so far may their clock and ours differ.
const SKEW_MS: i64 = 15 * 60 * 1000;

/// An upload, and when the service says that it was begun (Unix ms).
type Begun = (UploadRef, Option<i64>);

#[async_trait]
impl Upkeep for S3Store {
    async fn uploads(&self) -> Result<Vec<UploadRef>> {
        let all = self.uploads_below(None).await?;
        Ok(all.into_iter().map(|(upload, _)| upload).collect())
    }

    async fn copy(&self, from: &CopyFrom, key: &ObjectKey) -> Result<Written> {
        let call = self.copy_call(Call::new(Op::Copy, RequestKind::Copy, Method::PUT, Some(key)), from);
        let (answer, done) = self.copied(&call).await?;
        let etag = Some(headers::bare_etag(&done.etag).to_owned());
        let stated = headers::stated(self.client().dialect, &answer, etag.as_deref());
        Ok(Written { etag, stated, not_carried: Vec::new() })
    }

    async fn copy_part(
        &self,
        from: &CopyFrom,
        upload: &UploadRef,
        number: u32,
        range: Range<u64>,
    ) -> Result<PartDone> {
        let call = Call::new(Op::Copy, RequestKind::Copy, Method::PUT, Some(&upload.key))
            .query("partNumber", number.to_string())
            .query("uploadId", upload.id.clone());
        let name = format!("{}copy-source-range", self.client().dialect.prefix);
        let last = range.end.saturating_sub(1);
        let call = self.copy_call(call, from).header(&name, &format!("bytes={}-{last}", range.start));
        let (_, done) = self.copied(&call).await?;
        let etag = headers::bare_etag(&done.etag).to_owned();
        Ok(PartDone {
            number,
            offset: range.start,
            size: range.end - range.start,
            etag,
            crc: None,
            md5: None,
        })
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Result<()> {
        // What XML cannot hold goes one by one.
        let in_xml = |key: &&ObjectKey| {
            let control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
            !key.to_str().unwrap_or_default().contains(control)
        };
        let (many, single): (Vec<&ObjectKey>, Vec<&ObjectKey>) = keys.iter().partition(in_xml);
        for batch in many.chunks(BATCH) {
            self.delete_batch(batch).await?;
        }
        for key in single {
            let call = Call::new(Op::Delete, RequestKind::Delete, Method::DELETE, Some(key));
            self.client().send_for_headers(&call).await?;
        }
        Ok(())
    }

    async fn begin_copy(&self, key: &ObjectKey, options: &PutOptions) -> Result<UploadRef> {
        self.client().begin(key, options).await
    }
}

impl S3Store {
    /// Aborts the uploads of this key that were begun since then. One without a readable time is left alone:
    /// it may be somebody else's.
    pub(super) async fn abort_unknown(&self, key: &ObjectKey, since_ms: i64, wanted: &str) -> Result<u64> {
        let mut aborted = 0;
        for (upload, begun_ms) in self.uploads_below(Some(key)).await? {
            let ours = begun_ms.is_some_and(|begun| begun >= since_ms - SKEW_MS);
            if upload.key == *key && upload.id != wanted && ours {
                self.client().abort(&upload).await?;
                aborted += 1;
            }
        }
        Ok(aborted)
    }

    /// Those whose keys begin with this one, and when they were begun.
    async fn uploads_below(&self, key: Option<&ObjectKey>) -> Result<Vec<Begun>> {
        // Plain first: SeaweedFS says of this list that it is encoded, and it is not.
        match self.uploads_as(key, false).await {
            Err(error) if error.kind() == ErrorKind::Protocol => self.uploads_as(key, true).await,
            other => other,
        }
    }

    async fn uploads_as(&self, below: Option<&ObjectKey>, encoded: bool) -> Result<Vec<Begun>> {
        let client = self.client();
        let prefix = match below {
            Some(key) => String::from_utf8_lossy(&client.full_key(key)).into_owned(),
            None => client.endpoint.prefix.clone(),
        };
        let mut found = Vec::new();
        let mut mark: Option<(String, String)> = None;
        loop {
            let mut call =
                Call::new(Op::ListUploads, RequestKind::List, Method::GET, None).query("uploads", "");
            if encoded {
                call = call.query("encoding-type", "url");
            }
            if !prefix.is_empty() {
                call = call.query("prefix", prefix.clone());
            }
            if let Some((key, id)) = &mark {
                call = call.query("key-marker", key.clone()).query("upload-id-marker", id.clone());
            }
            let (_, body) = client.send_for_xml(&call).await?;
            let page: xml::Uploads = xml::parse(&body).map_err(|why| call.error(ErrorKind::Protocol, why))?;
            for upload in &page.upload {
                let full = list::decode(&upload.key, &page.encoding_type);
                let Some(key) = full.strip_prefix(client.endpoint.prefix.as_bytes()) else { continue };
                let begun = upload.initiated.parse::<jiff::Timestamp>().ok();
                let upload = UploadRef { key: ObjectKey::new(key.to_vec()), id: upload.upload_id.clone() };
                found.push((upload, begun.map(|begun| begun.as_millisecond())));
            }
            let key = String::from_utf8_lossy(&list::decode(&page.next_key_marker, &page.encoding_type))
                .into_owned();
            let next = Some((key, page.next_upload_id_marker));
            if !page.is_truncated {
                return Ok(found);
            }
            if next == mark {
                return Err(call.error(ErrorKind::Protocol, "the list of uploads stands still"));
            }
            mark = next;
        }
    }

    fn copy_call<'a>(&self, mut call: Call<'a>, from: &CopyFrom) -> Call<'a> {
        let client = self.client();
        let mut source = match client.dialect.scheme {
            // It names the source's host (COS API reference, "PUT Object - Copy").
            Scheme::Cos => format!("{}.{}/", from.bucket, client.authority),
            _ => format!("/{}/", from.bucket),
        };
        encode(&mut source, from.key.as_bytes(), true);
        let prefix = client.dialect.prefix;
        call = call.header(&format!("{prefix}copy-source"), &source);
        if let Some(etag) = &from.etag {
            call = call.header(&format!("{prefix}copy-source-if-match"), &format!("\"{etag}\""));
        }
        call.patience = 10;
        call
    }

    /// The answer to a copy, which may be a refusal inside a 200.
    async fn copied(&self, call: &Call<'_>) -> Result<(http::HeaderMap, xml::Completed)> {
        let (answer, body) = self.client().send_for_xml(call).await?;
        if let Some(error) = failure::in_success(self.client(), call, &answer, &body) {
            return Err(error);
        }
        let done: xml::Completed = xml::parse(&body).map_err(|why| call.error(ErrorKind::Protocol, why))?;
        if done.etag.is_empty() {
            Err(call.error(ErrorKind::Protocol, "the answer has no ETag"))
        } else {
            Ok((answer, done))
        }
    }

    async fn delete_batch(&self, keys: &[&ObjectKey]) -> Result<()> {
        let client = self.client();
        let text = |key: &ObjectKey| {
            let why = "the key is not UTF-8";
            String::from_utf8(client.full_key(key))
                .map_err(|_| Error::new(ErrorKind::InvalidName, Op::Delete, why).on(key))
        };
        let full = keys.iter().copied().map(text).collect::<Result<Vec<String>>>()?;
        let payload = Payload::new(vec![xml::deletion(full.iter().map(String::as_str)).into()]);
        let call = Call::new(Op::Delete, RequestKind::Delete, Method::POST, None)
            .query("delete", "")
            .header("content-type", "application/xml")
            .header("content-md5", &STANDARD.encode(payload.md5()))
            .body(payload);
        let (_, body) = client.send_for_xml(&call).await?;
        // OSS says nothing at all where nothing was refused.
        if body.trim_ascii().is_empty() {
            return Ok(());
        }
        let done: xml::Deleted = xml::parse(&body).map_err(|why| call.error(ErrorKind::Protocol, why))?;
        let Some(refused) = done.error.first() else { return Ok(()) };
        let kind = client.dialect.kind_of(&refused.code).unwrap_or(ErrorKind::ServiceFailure);
        let key = ObjectKey::from(refused.key.as_str());
        let text = format!("{} ({} of {} keys were refused)", refused.message, done.error.len(), keys.len());
        Err(Error::new(kind, Op::Delete, text).on(&key).service(200, refused.code.clone(), ""))
    }
}
