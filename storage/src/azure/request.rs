//! One request: built, signed, sent, and its answer told from a failure.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use hyper::body::Incoming;

use super::auth::VERSION;
use super::{Client, failure};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::s3::{Call, encode};

/// XML answers are at most this long: 1,000 names with 8 KiB of metadata each, written out.
const XML_MOST: usize = 64 << 20;

impl Client {
    /// Sends; an answer that is no success becomes an error. Credentials that ran out, or were replaced, are
    /// loaded anew once.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response<Incoming>> {
        match self.send_once(call).await {
            Err(error) if self.auth.renewable() && may_be_stale(&error) => {
                self.auth.reload().await;
                self.send_once(call).await
            }
            other => other,
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
        let mut parts = self.unsigned(call)?;
        // Before anything can fail, so that no error tells what it was signed with.
        call.hidden.keep(&parts.headers, &self.endpoint);
        self.auth.sign(&mut parts).await.map_err(|why| call.error(why.kind, why.text))?;
        parts
            .headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("brigade/", env!("CARGO_PKG_VERSION"))));
        call.hidden.keep(&parts.headers, &self.endpoint);
        if call.op == Op::Get {
            parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let sent = self.http.send(parts, call.payload.clone(), call.patience).await;
        let answer = sent.map_err(|mut failure| {
            if failure.kind == ErrorKind::Unreachable {
                failure.text = format!(
                    "{} is not reachable (is the account's name right?): {}",
                    self.address.text, failure.text
                );
            }
            call.failed(failure)
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        let body = self.http.collect(body, 1 << 20).await.unwrap_or_default();
        let refused = matches!(head.status.as_u16(), 401 | 403);
        let ran_out = if refused { self.auth.ran_out().await } else { None };
        Err(failure::of_answer(self, call, &head, &body, ran_out))
    }

    /// An answer that is an XML document, or whose body does not matter.
    pub(super) async fn send_for_body(&self, call: &Call<'_>) -> Result<(HeaderMap, Bytes)> {
        let (head, body) = self.send(call).await?.into_parts();
        let body = self.http.collect(body, XML_MOST).await.map_err(|failure| call.failed(failure))?;
        Ok((head.headers, body))
    }

    fn unsigned(&self, call: &Call<'_>) -> Result<Parts> {
        let uri = self.uri(call)?;
        let request = Request::builder().method(call.method.clone()).uri(uri).body(());
        let request = request.map_err(|error| call.error(ErrorKind::InvalidName, error.to_string()))?;
        let (mut parts, ()) = request.into_parts();
        let date = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&jiff::Timestamp::now())
            .map_err(|error| call.error(ErrorKind::ClockSkew, error.to_string()))?;
        let date = HeaderValue::from_str(&date)
            .map_err(|error| call.error(ErrorKind::ClockSkew, error.to_string()))?;
        parts.headers.insert("x-ms-date", date);
        parts.headers.insert("x-ms-version", HeaderValue::from_static(VERSION));
        for (name, value) in &call.headers {
            parts.headers.insert(name.clone(), value.clone());
        }
        if matches!(call.method, Method::PUT | Method::POST) {
            parts.headers.insert(CONTENT_LENGTH, call.payload.len().into());
        }
        Ok(parts)
    }

    fn uri(&self, call: &Call<'_>) -> Result<Uri> {
        let mut path = format!("{}/", self.address.path);
        encode(&mut path, self.endpoint.bucket.as_bytes(), false);
        if let Some(key) = call.key {
            if key.to_str().is_none() {
                return Err(call.error(ErrorKind::InvalidName, "the key is not UTF-8"));
            }
            path.push('/');
            encode(&mut path, self.endpoint.prefix.as_bytes(), true);
            encode(&mut path, key.as_bytes(), true);
        }
        for (at, (name, value)) in call.query.iter().enumerate() {
            path.push(if at == 0 { '?' } else { '&' });
            path.push_str(name);
            path.push('=');
            encode(&mut path, value.as_bytes(), false);
        }
        let mut uri = self.address.uri.clone().into_parts();
        let wrong = |error: &dyn std::fmt::Display| {
            call.error(ErrorKind::InvalidName, format!("the key makes no URL: {error}"))
        };
        uri.path_and_query = Some(path.parse().map_err(|error: http::uri::InvalidUri| wrong(&error))?);
        Uri::from_parts(uri).map_err(|error| wrong(&error))
    }
}

/// Credentials that were good, and may not be any more: a key that was exchanged, a signature or token at its end.
fn may_be_stale(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::CredentialsExpired | ErrorKind::BadCredentials)
        && error.status().is_some()
}
