//! Writing one file or folder.

use bytes::Bytes;
use http::Method;
use proto::ObjectKey;

use super::headers::{Carried, for_write, stated};
use super::read::of_nothing;
use super::request::Call;
use super::{Client, failure, multipart};
use crate::destination::{PutOptions, Whole, Written};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::meta::Headers;
use crate::meter::RequestKind;
use crate::payload::Payload;
use crate::retry;
use crate::s3::headers::etag;

impl Client {
    /// The service compares the MD5 that comes with the bytes before anybody sees the file.
    pub(super) async fn put(
        &self,
        key: &ObjectKey,
        options: &PutOptions,
        payload: &Payload,
    ) -> Result<Written> {
        if key.is_marker() {
            return self.put_folder(key, options, payload).await;
        }
        let md5 = match options.md5 {
            Some(md5) => md5,
            None => payload.md5_aside().await,
        };
        match self.put_once(key, options, payload, md5).await {
            Err(error) if may_stand_in_parts(&error) => {
                self.put_over_parts(key, options, payload, error).await
            }
            other => other,
        }
    }

    async fn put_once(
        &self,
        key: &ObjectKey,
        options: &PutOptions,
        payload: &Payload,
        md5: [u8; 16],
    ) -> Result<Written> {
        let call = self.call(Op::Put, RequestKind::Put, Method::PUT, key)?;
        let carried = self.carried(&call, options)?;
        let call = call
            .header("content-type", &carried.content_type)
            .headers(&carried.meta)
            .body(payload.clone(), md5);
        let answer = self.send_for_headers(&call).await?;
        self.meter.bytes_written(payload.len());
        Ok(Written { etag: etag(&answer), stated: stated(&answer), not_carried: carried.notes })
    }

    /// What goes beside the bytes.
    pub(super) fn carried(&self, call: &Call<'_>, options: &PutOptions) -> Result<Carried> {
        for_write(&options.headers).map_err(|why| call.error(ErrorKind::MetadataTooLarge, why))
    }

    /// "A file that was uploaded in parts cannot be overwritten in another way": where one stands, the bytes go in
    /// parts as well. Which code the service refuses with is documented nowhere, so it is looked at what stands there.
    async fn put_over_parts(
        &self,
        key: &ObjectKey,
        options: &PutOptions,
        payload: &Payload,
        refused: Error,
    ) -> Result<Written> {
        if self.head(key).await.is_err() {
            return Err(refused);
        }
        let again = if payload.is_empty() {
            self.put_empty_anew(key, options).await
        } else {
            self.put_in_parts(key, options, payload).await
        };
        again.map_err(|error| if retry::retryable(error.kind()) { error } else { refused })
    }

    async fn put_in_parts(
        &self,
        key: &ObjectKey,
        options: &PutOptions,
        payload: &Payload,
    ) -> Result<Written> {
        let part_size = multipart::part_size_for(payload.len()).max(multipart::PART_MOST);
        let options = PutOptions { part_size, size: payload.len(), ..options.clone() };
        let upload = self.begin(key, &options).await?;
        for (number, part) in (1..).zip(pieces(payload, part_size)) {
            let offset = u64::from(number - 1) * part_size;
            self.part(&upload, number, offset, &part).await?;
        }
        self.complete(&upload, &options, &Whole { size: payload.len(), ..Whole::default() }).await
    }

    /// An upload has bytes: a file without any can only be written after the old one was deleted. So that the old one
    /// is not lost to a refusal that has another reason, the same write has to succeed beside it first.
    async fn put_empty_anew(&self, key: &ObjectKey, options: &PutOptions) -> Result<Written> {
        let (nothing, beside) = (Payload::default(), beside(key));
        self.put_once(&beside, options, &nothing, nothing.md5()).await?;
        let written = self.put_empty_in_place(key, options, &nothing).await;
        if let Err(error) = self.delete(&beside).await {
            tracing::warn!(key = %beside, %error, "an empty file stays that was written as a trial: delete it");
        }
        written
    }

    async fn put_empty_in_place(
        &self,
        key: &ObjectKey,
        options: &PutOptions,
        nothing: &Payload,
    ) -> Result<Written> {
        self.delete(key).await?;
        self.put_once(key, options, nothing, nothing.md5()).await.map_err(|error| {
            tracing::warn!(%key, %error, "the file in parts that stood there is deleted, the empty one not yet written");
            error
        })
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        let call = self.call(Op::Delete, RequestKind::Delete, Method::DELETE, key)?;
        self.send_for_headers(&call).await.map(drop)
    }

    /// A key that ends in `/`. One that is there already stays as it is.
    async fn put_folder(&self, key: &ObjectKey, options: &PutOptions, payload: &Payload) -> Result<Written> {
        let mut call = self.call(Op::Put, RequestKind::Put, Method::POST, key)?;
        if !payload.is_empty() {
            return Err(
                call.error(ErrorKind::InvalidName, "it ends in / and has content: UPYUN's folders have none")
            );
        }
        call.path.pop();
        call = call.header("folder", "true").header("x-upyun-folder", "true");
        match self.send_for_headers(&call).await {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidName | ErrorKind::Conflict) => {
                // Is it a folder that has its place, or a file?
                self.head(key).await.map_err(|_| error)?;
            }
            other => drop(other?),
        }
        Ok(Written { etag: None, stated: of_nothing(), not_carried: lost_with_folder(&options.headers) })
    }
}

/// The time and the type of a folder are its own.
fn lost_with_folder(headers: &Headers) -> Vec<String> {
    let names: Vec<&str> =
        headers.user.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "mtime").collect();
    let lost =
        |names: Vec<&str>| format!("metadata {}: a folder of youpai has no place for it", names.join(", "));
    (!names.is_empty()).then(|| lost(names)).into_iter().collect()
}

/// A refusal that may be because of the file that is there. One whose code is documented to say something else (a type
/// or size that is not allowed, a missing right) is not.
fn may_stand_in_parts(error: &Error) -> bool {
    let kind = matches!(error.kind(), ErrorKind::Refused | ErrorKind::Conflict | ErrorKind::AccessDenied);
    let is_known = error.code().parse().is_ok_and(failure::is_known);
    kind && !is_known && error.status().is_some_and(|status| status != 401)
}

/// In the same folder and with the same ending, by which services allow and refuse. Always the same, so that at most
/// one is left where an operator may not delete.
fn beside(key: &ObjectKey) -> ObjectKey {
    let bytes = key.as_bytes();
    let name = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let ending = bytes[name..].iter().rposition(|byte| *byte == b'.').map_or(bytes.len(), |dot| name + dot);
    ObjectKey::new([&bytes[..name], b".brigade-trial", &bytes[ending..]].concat())
}

/// In parts of this size, nothing copied.
fn pieces(payload: &Payload, size: u64) -> Vec<Payload> {
    let mut pieces: Vec<Vec<Bytes>> = Vec::new();
    let mut room = 0;
    for chunk in payload.chunks() {
        let mut chunk = chunk.clone();
        while !chunk.is_empty() {
            if room == 0 {
                pieces.push(Vec::new());
                room = size;
            }
            let n = room.min(chunk.len() as u64);
            let piece = chunk.split_to(n as usize);
            room -= n;
            pieces.last_mut().into_iter().for_each(|last| last.push(piece.clone()));
        }
    }
    pieces.into_iter().map(Payload::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_stands_in_the_same_folder_with_the_same_ending() {
        for (key, trial) in [
            ("a.b/c.jpg", "a.b/.brigade-trial.jpg"),
            ("a.b/c", "a.b/.brigade-trial"),
            ("c.tar.gz", ".brigade-trial.gz"),
        ] {
            assert_eq!(beside(&key.into()), trial.into());
        }
    }

    #[test]
    fn pieces_have_the_size_and_the_bytes() {
        let payload = Payload::new(vec![Bytes::from_static(b"abc"), Bytes::from_static(b"defghij")]);
        let bytes = |payload: &Payload| payload.chunks().concat();
        let cut: Vec<_> = pieces(&payload, 4).iter().map(bytes).collect();
        assert_eq!(cut, [b"abcd".to_vec(), b"efgh".to_vec(), b"ij".to_vec()]);
        assert!(pieces(&Payload::default(), 4).is_empty());
    }
}
