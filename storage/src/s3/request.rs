//! One request: built, signed, sent, and its answer told from a failure.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use hyper::body::Incoming;
use proto::ObjectKey;

use super::Client;
use super::failure;
use super::hidden::Hidden;
use crate::dialect::Scheme;
use crate::error::{Error, ErrorKind, Op, Result};
use crate::http::Failure;
use crate::meter::RequestKind;
use crate::payload::Payload;

/// XML answers are at most this long: 1,000 keys of 1,024 bytes, each three times as long when encoded.
const XML_MOST: usize = 16 << 20;

/// A request before it is signed.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) op: Op,
    pub(crate) kind: RequestKind,
    pub(crate) method: Method,
    /// The key below the endpoint's prefix; `None` for requests on the bucket.
    pub(crate) key: Option<&'a ObjectKey>,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) payload: Payload,
    /// Multiplies the time to the first byte, for calls that make the service work.
    pub(crate) patience: u32,
    /// Kept out of every error about it.
    pub(crate) hidden: Hidden,
}

impl<'a> Call<'a> {
    pub(crate) fn new(op: Op, kind: RequestKind, method: Method, key: Option<&'a ObjectKey>) -> Self {
        let (query, headers) = (Vec::new(), Vec::new());
        Call {
            op,
            kind,
            method,
            key,
            query,
            headers,
            payload: Payload::default(),
            patience: 1,
            hidden: Hidden::default(),
        }
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Adds a header; one that HTTP cannot carry is left out (names and values are checked before).
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            self.headers.push((name, value));
        }
        self
    }

    pub(crate) fn body(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    pub(crate) fn error(&self, kind: ErrorKind, text: impl Into<String>) -> Error {
        let error = Error::new(kind, self.op, self.hidden.out_of(text));
        match self.key {
            Some(key) => error.on(key),
            None => error,
        }
    }

    pub(crate) fn failed(&self, failure: Failure) -> Error {
        self.error(failure.kind, failure.text)
    }
}

impl Client {
    /// Sends; an answer that is no success becomes an error. Keys that ran out, or were replaced, are loaded
    /// anew once.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response<Incoming>> {
        match self.send_and_ask(call).await {
            Err(error) if self.signing.renewable() && may_be_stale(&error) => {
                self.signing.reload();
                self.send_and_ask(call).await
            }
            other => other,
        }
    }

    /// The answer to HEAD has no body (RFC 9110, 9.3.2), so that a refusal does not say whether it is of this object
    /// or of the keys: the same right reads its first byte, and that answer says it.
    async fn send_and_ask(&self, call: &Call<'_>) -> Result<Response<Incoming>> {
        match self.send_once(call).await {
            Err(error) if is_mute(call, &error) => Box::pin(self.ask_why(call)).await,
            other => other,
        }
    }

    async fn ask_why(&self, call: &Call<'_>) -> Result<Response<Incoming>> {
        let ask = Call::new(call.op, RequestKind::Get, Method::GET, call.key).header("range", "bytes=0-0");
        match self.send_once(&ask).await {
            Err(said) if !is_of_the_bytes(&said) => Err(said),
            // Keys that may read it: others were refused a moment ago, or HEAD alone is not allowed.
            _ => self.send_once(call).await,
        }
    }

    async fn send_once(&self, call: &Call<'_>) -> Result<Response<Incoming>> {
        self.meter.request(call.kind).await;
        let answered = self.exchange(call).await;
        if let Err(error) = &answered {
            self.meter.failed(call.kind, error.kind() == ErrorKind::Throttled);
        }
        answered
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Response<Incoming>> {
        let mut parts = self.signed(call).await?;
        if self.dialect.scheme == Scheme::Oss && self.path_style {
            parts.uri = self.wire_uri(call)?;
        }
        // Not signed: proxies may add to them.
        parts
            .headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("brigade/", env!("CARGO_PKG_VERSION"))));
        call.hidden.keep(&parts.headers, &self.endpoint);
        if matches!(call.op, Op::Get | Op::Head) {
            parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(self.dialect.accept_encoding));
        }
        if matches!(call.method, Method::PUT | Method::POST) {
            parts.headers.insert(CONTENT_LENGTH, call.payload.len().into());
        }
        let sent = self.http.send(parts, call.payload.clone(), call.patience).await;
        let answer = sent.map_err(|mut failure| {
            if failure.kind == ErrorKind::Unreachable {
                failure.text = format!("{} is not reachable: {}", self.endpoint.endpoint, failure.text);
            }
            call.failed(failure)
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        let body = self.http.collect(body, 1 << 20).await.unwrap_or_default();
        Err(failure::of_answer(self, call, &head, &body))
    }

    /// With everything that a signature covers.
    pub(super) async fn signed(&self, call: &Call<'_>) -> Result<Parts> {
        let mut parts = self.unsigned(call)?;
        if self.dialect.scheme == Scheme::AwsV4 {
            parts.headers.insert("x-amz-content-sha256", self.body_hash(&call.payload).await);
        }
        let signed = self.signing.sign(&mut parts).await;
        signed.map_err(|why| call.error(ErrorKind::BadCredentials, why))?;
        Ok(parts)
    }

    /// An answer that is an XML document.
    pub(super) async fn send_for_xml(&self, call: &Call<'_>) -> Result<(HeaderMap, Bytes)> {
        let (head, body) = self.send(call).await?.into_parts();
        let body = self.http.collect(body, XML_MOST).await.map_err(|failure| call.failed(failure))?;
        Ok((head.headers, body))
    }

    /// An answer whose body does not matter; it is read so that the connection can be used again.
    pub(super) async fn send_for_headers(&self, call: &Call<'_>) -> Result<HeaderMap> {
        self.send_for_xml(call).await.map(|(headers, _)| headers)
    }

    /// With the URI that is signed, which for OSS always has the bucket in the host.
    fn unsigned(&self, call: &Call<'_>) -> Result<Parts> {
        let uri = match self.dialect.scheme {
            Scheme::Oss => self.uri(call, &format!("{}.{}", self.endpoint.bucket, self.authority), false)?,
            Scheme::AwsV4 | Scheme::Cos => self.wire_uri(call)?,
        };
        let request = Request::builder().method(call.method.clone()).uri(uri).body(());
        let request = request.map_err(|error| call.error(ErrorKind::InvalidName, error.to_string()))?;
        let (mut parts, ()) = request.into_parts();
        let host = HeaderValue::from_str(&self.wire_authority());
        parts.headers.insert(HOST, host.map_err(|error| call.error(ErrorKind::Refused, error.to_string()))?);
        for (name, value) in &call.headers {
            parts.headers.insert(name.clone(), value.clone());
        }
        Ok(parts)
    }

    /// What a signature says of the body (Amazon S3 API reference, "Create a canonical request").
    async fn body_hash(&self, payload: &Payload) -> HeaderValue {
        const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        match self.dialect.signs_body {
            false => HeaderValue::from_static("UNSIGNED-PAYLOAD"),
            true if payload.is_empty() => HeaderValue::from_static(NOTHING),
            true => {
                let hash = hex::encode(payload.sha256_aside().await);
                HeaderValue::from_str(&hash).unwrap_or(HeaderValue::from_static("UNSIGNED-PAYLOAD"))
            }
        }
    }

    fn wire_authority(&self) -> String {
        if self.path_style {
            self.authority.clone()
        } else {
            format!("{}.{}", self.endpoint.bucket, self.authority)
        }
    }

    fn wire_uri(&self, call: &Call<'_>) -> Result<Uri> {
        self.uri(call, &self.wire_authority(), self.path_style)
    }

    fn uri(&self, call: &Call<'_>, authority: &str, bucket_in_path: bool) -> Result<Uri> {
        let mut path = String::from("/");
        if bucket_in_path {
            path.push_str(&self.endpoint.bucket);
            path.push('/');
        }
        if let Some(key) = call.key {
            if key.to_str().is_none() {
                return Err(call.error(ErrorKind::InvalidName, "the key is not UTF-8"));
            }
            if self.dialect.scheme == Scheme::Cos && is_root(&self.full_key(key)) {
                let text = "the service takes this name, simplified, for the bucket itself";
                return Err(call.error(ErrorKind::InvalidName, text));
            }
            encode(&mut path, self.endpoint.prefix.as_bytes(), true);
            encode(&mut path, key.as_bytes(), true);
        }
        for (at, (name, value)) in call.query.iter().enumerate() {
            path.push(if at == 0 { '?' } else { '&' });
            path.push_str(name);
            if !value.is_empty() {
                path.push('=');
                encode(&mut path, value.as_bytes(), false);
            } else if self.dialect.scheme == Scheme::AwsV4 {
                path.push('=');
            }
        }
        let uri =
            Uri::builder().scheme(self.scheme.as_str()).authority(authority).path_and_query(path).build();
        uri.map_err(|error| call.error(ErrorKind::InvalidName, format!("the key makes no URL: {error}")))
    }
}

/// A refusal without a word of why.
fn is_mute(call: &Call<'_>, error: &Error) -> bool {
    let refused = matches!(error.status(), Some(400 | 401 | 403)) && error.code().is_empty();
    refused && call.method == Method::HEAD && call.key.is_some()
}

/// A refusal of the first byte (an empty object has none) that says nothing of the keys.
fn is_of_the_bytes(error: &Error) -> bool {
    let kinds = [ErrorKind::Archived, ErrorKind::PreconditionFailed, ErrorKind::NotFound];
    kinds.contains(&error.kind()) || error.status() == Some(416)
}

/// Keys that were good, and may not be any more.
fn may_be_stale(error: &Error) -> bool {
    // The last one: a secret that was exchanged a moment after its key.
    let replaced = ["InvalidAccessKeyId", "InvalidToken", "InvalidSecurityToken", "SignatureDoesNotMatch"];
    error.kind() == ErrorKind::CredentialsExpired
        || error.kind() == ErrorKind::BadCredentials && replaced.contains(&error.code())
}

/// A path that comes to `/` when dots are followed. COS answers such a name with the bucket (the vendor's SDKs
/// refuse it, `CheckObjectKeySimplify`).
fn is_root(key: &[u8]) -> bool {
    let mut depth = 0_usize;
    for segment in key.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    depth == 0
}

/// Every byte but `A-Za-z0-9-_.~`, and `/` where it may stay.
pub(crate) fn encode(out: &mut String, bytes: &[u8], keep_slash: bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(*byte))
            }
            b'/' if keep_slash => out.push('/'),
            _ => {
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}
