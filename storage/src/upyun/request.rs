//! One request: built, signed, sent, and its answer told from a failure.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, DATE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use hyper::body::Incoming;
use proto::ObjectKey;

use super::{Client, Host, failure};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::http::Failure;
use crate::meter::RequestKind;
use crate::payload::Payload;
use crate::s3::hidden::Hidden;
use crate::s3::request::encode;

/// JSON answers are at most this long: 1,000 names, each byte of them escaped.
const JSON_MOST: usize = 16 << 20;

/// Carried with the signature, and checked by the service: 32 hex digits, where others have base64.
const CONTENT_MD5: &str = "content-md5";

/// A request before it is signed.
#[derive(Debug, Clone)]
pub(super) struct Call<'a> {
    pub(super) op: Op,
    pub(super) kind: RequestKind,
    pub(super) method: Method,
    /// The key below the endpoint's prefix, for errors.
    pub(super) key: Option<&'a ObjectKey>,
    /// Below the service, with the prefix, not encoded.
    pub(super) path: Vec<u8>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) payload: Payload,
    /// Multiplies the time to the first byte, for calls that make the service work.
    pub(super) patience: u32,
    /// Kept out of every error about it.
    pub(super) hidden: Hidden,
}

impl<'a> Call<'a> {
    /// About a key, or about a folder of this path.
    pub(super) fn new(
        op: Op,
        kind: RequestKind,
        method: Method,
        key: Option<&'a ObjectKey>,
        path: Vec<u8>,
    ) -> Self {
        let (headers, payload, hidden) = (Vec::new(), Payload::default(), Hidden::default());
        Call { op, kind, method, key, path, headers, payload, patience: 1, hidden }
    }

    /// Adds a header; one that HTTP cannot carry is left out (names and values are checked before).
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            self.headers.push((name, value));
        }
        self
    }

    /// Adds several.
    pub(super) fn headers(self, pairs: &[(String, String)]) -> Self {
        pairs.iter().fold(self, |call, (name, value)| call.header(name, value))
    }

    /// With the bytes and what they are checked against.
    pub(super) fn body(mut self, payload: Payload, md5: [u8; 16]) -> Self {
        self.payload = payload;
        self.header(CONTENT_MD5, &hex::encode(md5))
    }

    pub(super) fn error(&self, kind: ErrorKind, text: impl Into<String>) -> Error {
        let error = Error::new(kind, self.op, self.hidden.out_of(text));
        match self.key {
            Some(key) => error.on(key),
            None => error,
        }
    }

    pub(super) fn failed(&self, failure: Failure) -> Error {
        self.error(failure.kind, failure.text)
    }

    fn content_md5(&self) -> &str {
        let sent = self.headers.iter().find(|(name, _)| name.as_str() == CONTENT_MD5);
        sent.and_then(|(_, value)| value.to_str().ok()).unwrap_or_default()
    }
}

impl Client {
    /// A call about a key, whose path is one that the service can hold.
    pub(super) fn call<'a>(
        &self,
        op: Op,
        kind: RequestKind,
        method: Method,
        key: &'a ObjectKey,
    ) -> Result<Call<'a>> {
        let path = self.full(key);
        let call = Call::new(op, kind, method, Some(key), path);
        match super::names::check(&call.path, false) {
            Ok(()) => Ok(call),
            // What cannot be there is not there.
            Err(why) if matches!(op, Op::Get | Op::Head) => Err(call.error(ErrorKind::NotFound, why)),
            Err(why) => Err(call.error(ErrorKind::InvalidName, why)),
        }
    }

    /// Sends; an answer that is no success becomes an error. Keys that were replaced are read anew once.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response<Incoming>> {
        match self.send_once(call, &self.api).await {
            Err(error) if error.kind() == ErrorKind::BadCredentials && self.keys.renewable() => {
                self.keys.forget();
                self.send_once(call, &self.api).await
            }
            other => other,
        }
    }

    /// The same to the CDN, where nobody says who he is.
    pub(super) async fn send_to_cdn(&self, call: &Call<'_>, cdn: &Host) -> Result<Response<Incoming>> {
        self.send_once(call, cdn).await
    }

    async fn send_once(&self, call: &Call<'_>, host: &Host) -> Result<Response<Incoming>> {
        self.meter.request(call.kind).await;
        let answered = self.exchange(call, host).await;
        if let Err(error) = &answered {
            self.meter.failed(call.kind, error.kind() == ErrorKind::Throttled);
        }
        answered
    }

    async fn exchange(&self, call: &Call<'_>, host: &Host) -> Result<Response<Incoming>> {
        let is_api = std::ptr::eq(host, &self.api);
        let mut parts = request(call, uri(call, host, is_api.then_some(&*self.endpoint.bucket))?)?;
        if is_api {
            self.sign(call, &mut parts)?;
        }
        let agent = HeaderValue::from_static(concat!("brigade/", env!("CARGO_PKG_VERSION")));
        parts.headers.insert(USER_AGENT, agent);
        let sent = host.http.send(parts, call.payload.clone(), call.patience).await;
        let answer = sent.map_err(|mut failure| {
            if failure.kind == ErrorKind::Unreachable {
                failure.text =
                    format!("{}://{} is not reachable: {}", host.scheme, host.authority, failure.text);
            }
            call.failed(failure)
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        let body = host.http.collect(body, 1 << 20).await.unwrap_or_default();
        Err(failure::of_answer(self, call, &head, &body))
    }

    fn sign(&self, call: &Call<'_>, parts: &mut http::request::Parts) -> Result<()> {
        let operator = self.keys.operator().map_err(|why| call.error(ErrorKind::BadCredentials, why))?;
        let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let authorization =
            operator.authorization(call.method.as_str(), parts.uri.path(), &date, call.content_md5());
        for (name, value) in [(DATE, date), (AUTHORIZATION, authorization)] {
            let value = HeaderValue::from_str(&value).map_err(|_| {
                call.error(ErrorKind::BadCredentials, "the operator's name is not plain ASCII")
            })?;
            parts.headers.insert(name, value);
        }
        call.hidden.keep(&parts.headers, &self.endpoint);
        Ok(())
    }

    /// An answer that is a small document.
    pub(super) async fn send_for_body(&self, call: &Call<'_>) -> Result<(HeaderMap, Bytes)> {
        let (head, body) = self.send(call).await?.into_parts();
        let body = self.api.http.collect(body, JSON_MOST).await.map_err(|failure| call.failed(failure))?;
        Ok((head.headers, body))
    }

    /// An answer whose body does not matter; it is read so that the connection can be used again.
    pub(super) async fn send_for_headers(&self, call: &Call<'_>) -> Result<HeaderMap> {
        self.send_for_body(call).await.map(|(headers, _)| headers)
    }
}

fn request(call: &Call<'_>, uri: Uri) -> Result<http::request::Parts> {
    let request = Request::builder().method(call.method.clone()).uri(uri).body(());
    let request = request.map_err(|error| call.error(ErrorKind::InvalidName, error.to_string()))?;
    let (mut parts, ()) = request.into_parts();
    for (name, value) in &call.headers {
        parts.headers.insert(name.clone(), value.clone());
    }
    if call.op == Op::Get {
        parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if matches!(call.method, Method::PUT | Method::POST) {
        // "chunked request bodies not supported yet".
        parts.headers.insert(CONTENT_LENGTH, call.payload.len().into());
    }
    Ok(parts)
}

fn uri(call: &Call<'_>, host: &Host, bucket: Option<&str>) -> Result<Uri> {
    let mut path = String::from("/");
    if let Some(bucket) = bucket {
        path.push_str(bucket);
        path.push('/');
    }
    encode(&mut path, &call.path, true);
    let uri = Uri::builder()
        .scheme(host.scheme.as_str())
        .authority(host.authority.as_str())
        .path_and_query(path)
        .build();
    uri.map_err(|error| call.error(ErrorKind::InvalidName, format!("the key makes no URL: {error}")))
}
