//! Uploads that are not wanted any more.
//!
//! The service forgets them after 24 hours by itself. They can be cancelled before (the vendor's Python SDK does:
//! DELETE on the file's path with the upload's id). Nothing says what such a request does when the upload is not there
//! any more; a DELETE alone would delete the file. So it is sent only where no file stands.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use proto::ObjectKey;
use serde::Deserialize;

use super::Client;
use super::request::Call;
use crate::destination::UploadRef;
use crate::error::{ErrorKind, Op, Result};
use crate::meter::RequestKind;

/// The service refuses requests whose time is further off than this: so far may its clock and ours differ.
const SKEW_MS: i64 = 30 * 60 * 1000;

#[derive(Debug, Deserialize)]
struct Uploads {
    files: Vec<Begun>,
}

#[derive(Debug, Deserialize)]
struct Begun {
    key: String,
    uuid: String,
    #[serde(default)]
    completed: bool,
    /// Unix seconds.
    created_at: i64,
}

impl Client {
    /// Whether it was told to go.
    pub(super) async fn abort(&self, upload: &UploadRef) -> Result<bool> {
        match self.head(&upload.key).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Ok(_) => {
                tracing::info!(
                    key = ?upload.key,
                    "a file stands where an upload is to be cancelled: the service forgets the upload within a day"
                );
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let call = self
            .call(Op::Abort, RequestKind::Multipart, Method::DELETE, &upload.key)?
            .header("x-upyun-multi-uuid", &upload.id);
        match self.send_for_headers(&call).await {
            Err(error) if matches!(error.kind(), ErrorKind::UploadNotFound | ErrorKind::NotFound) => Ok(true),
            answered => answered.map(|_| true),
        }
    }

    /// Cancels the uploads of this key that were begun since then.
    pub(super) async fn abort_unknown(&self, key: &ObjectKey, since_ms: i64, wanted: &str) -> Result<u64> {
        let path = self.full(key);
        let call = Call::new(Op::ListUploads, RequestKind::List, Method::GET, Some(key), Vec::new())
            .header("x-upyun-list-type", "multi")
            .header("x-upyun-list-limit", "1000")
            .header("x-upyun-list-prefix", &STANDARD.encode(&path));
        let (_, body) = self.send_for_body(&call).await?;
        let found: Uploads = serde_json::from_slice(&body)
            .map_err(|error| call.error(ErrorKind::Protocol, format!("no list of uploads: {error}")))?;
        let mut aborted = 0;
        for Begun { key: of, uuid, completed, created_at } in found.files {
            let ours = created_at.saturating_mul(1000).saturating_add(999) >= since_ms - SKEW_MS;
            let same = of.trim_start_matches('/').as_bytes() == path;
            if same && ours && !completed && uuid != wanted {
                let upload = UploadRef { key: key.clone(), id: uuid };
                aborted += u64::from(self.abort(&upload).await?);
            }
        }
        Ok(aborted)
    }
}
