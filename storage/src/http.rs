//! The HTTP client of all adapters: hyper on `http::Uri`, so that paths travel as they are written (no
//! library on the way removes `.` or `..`). Never follows redirects, never decodes a body.

mod connect;
mod sending;

use std::fmt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::error::{Error, ErrorKind, Result, chain};
use crate::meter::{Arriving, Meter};
use crate::payload::Payload;
use crate::source::Body as ByteStream;
use connect::{Connector, Proxy};
use sending::{Progress, Sending};

/// Servers close idle connections after this or later.
const IDLE: Duration = Duration::from_secs(20);
/// More than a worker ever has in flight to one endpoint.
const IDLE_CONNECTIONS: usize = 1024;

/// Bytes that are read from a connection at once. What is read stays in the buffer that it was read into until it is
/// written, so that larger ones, half filled, double the memory of a worker; smaller ones cost more calls
/// (docs/performance.md).
const READ: usize = 128 << 10;

/// Bytes that kernels and proxies on the way may hold of a body.
const BUFFERS: u64 = 8 << 20;
/// Bytes a second at which they empty at least.
const SLOWEST: u64 = 256 << 10;

/// A client for one endpoint. Clones share the pool.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<Connector, Sending>,
    timeout: Duration,
    proxy_authorization: Option<HeaderValue>,
    /// Where hosts differ, whether a request goes through the proxy does as well.
    proxies: Option<Arc<Proxy>>,
    meter: Meter,
}

/// Why there was no answer, or no whole body.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) text: String,
}

// === impl Http ===

impl Http {
    /// For requests to `target` (scheme and host count). `timeout` bounds connecting, waiting for the first
    /// byte, and each pause in a body in either direction. Bodies pass the meter.
    pub(crate) fn new(
        target: &Uri,
        ca_file: Option<&Path>,
        proxy: &str,
        timeout: Duration,
        meter: Meter,
    ) -> std::result::Result<Self, String> {
        let proxy = Arc::new(Proxy::new(proxy)?);
        let proxy_authorization = proxy.authorization(target);
        let connector = connect::connector(target, ca_file, proxy, timeout, meter.clone())?;
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        builder.pool_max_idle_per_host(IDLE_CONNECTIONS);
        builder.http1_max_buf_size(READ);
        Ok(Http { client: builder.build(connector), timeout, proxy_authorization, proxies: None, meter })
    }

    /// The same for requests to any host, with or without TLS.
    pub(crate) fn for_any(
        https: bool,
        ca_file: Option<&Path>,
        proxy: &str,
        timeout: Duration,
        meter: Meter,
    ) -> std::result::Result<Self, String> {
        let target = Uri::from_static(if https { "https://any.invalid/" } else { "http://any.invalid/" });
        let http = Http::new(&target, ca_file, proxy, timeout, meter)?;
        Ok(Http { proxy_authorization: None, proxies: Some(Arc::new(Proxy::new(proxy)?)), ..http })
    }

    /// Sends a signed request. `patience` multiplies the time to the first byte, for calls that make the
    /// service work.
    pub(crate) async fn send(
        &self,
        mut parts: Parts,
        payload: Payload,
        patience: u32,
    ) -> std::result::Result<Response<Incoming>, Failure> {
        let asked = self.proxies.as_ref().and_then(|proxy| proxy.authorization(&parts.uri));
        if let Some(authorization) = asked.or_else(|| self.proxy_authorization.clone()) {
            parts.headers.insert(http::header::PROXY_AUTHORIZATION, authorization);
        }
        let progress = Arc::new(Progress::default());
        // What was handed over may still lie in buffers on the way, where no progress is seen.
        let drain = Duration::from_millis(payload.len().min(BUFFERS) * 1000 / SLOWEST);
        let usual = self.timeout.saturating_mul(patience);
        let body = Sending::begin(payload, self.meter.clone(), progress.clone()).await;
        let mut answer = pin!(self.client.request(Request::from_parts(parts, body)));
        let (mut seen, mut draining) = (0, false);
        loop {
            match tokio::time::timeout(if draining { drain } else { usual }, &mut answer).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => return Err(Failure::of_client(&error)),
                Err(_) => {
                    let now = progress.chunks.load(Ordering::Relaxed);
                    if progress.held.load(Ordering::Relaxed) {
                        // It is we who wait.
                        draining = false;
                        continue;
                    }
                    if now == seen && (draining || drain.is_zero()) {
                        return Err(Failure::timeout("no answer", self.timeout));
                    }
                    (seen, draining) = (now, now == seen);
                }
            }
        }
    }

    /// A body that must be small: at most `most` bytes of it.
    pub(crate) async fn collect(
        &self,
        mut body: Incoming,
        most: usize,
    ) -> std::result::Result<Bytes, Failure> {
        let mut whole = BytesMut::new();
        let mut only: Option<Bytes> = None;
        while let Some(chunk) = next_chunk(&mut body, self.timeout).await? {
            if whole.len() + only.as_ref().map_or(0, Bytes::len) + chunk.len() > most {
                let text = format!("the answer is longer than {most} bytes");
                return Err(Failure { kind: ErrorKind::Protocol, text });
            }
            // One chunk, the usual case, is not copied.
            match only.take() {
                None if whole.is_empty() => only = Some(chunk),
                first => {
                    whole.extend_from_slice(&first.unwrap_or_default());
                    whole.extend_from_slice(&chunk);
                }
            }
        }
        Ok(only.unwrap_or_else(|| whole.freeze()))
    }

    /// A body as a stream.
    pub(crate) fn stream(
        &self,
        body: Incoming,
        arriving: Arriving,
        fail: impl Fn(Failure) -> Error + Send + 'static,
    ) -> ByteStream {
        let state = (Some(body), arriving, fail, self.timeout);
        Box::pin(futures::stream::unfold(state, |(body, mut arriving, fail, timeout)| async move {
            let mut body = body?;
            match next_chunk(&mut body, timeout).await {
                Ok(Some(chunk)) => {
                    arriving.came(chunk.len() as u64).await;
                    Some((Result::Ok(chunk), (Some(body), arriving, fail, timeout)))
                }
                Ok(None) => None,
                Err(failure) => Some((Err(fail(failure)), (None, arriving, fail, timeout))),
            }
        }))
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

async fn next_chunk(body: &mut Incoming, timeout: Duration) -> std::result::Result<Option<Bytes>, Failure> {
    loop {
        let frame = tokio::time::timeout(timeout, body.frame())
            .await
            .map_err(|_| Failure::timeout("the body stopped", timeout))?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => {
                return Err(Failure {
                    kind: ErrorKind::Broken,
                    text: format!("the body broke off: {}", chain(&error)),
                });
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                // Trailers, or nothing: there may be more.
                _ => {}
            },
        }
    }
}

// === impl Failure ===

impl Failure {
    fn timeout(what: &str, limit: Duration) -> Self {
        Failure { kind: ErrorKind::Timeout, text: format!("{what} for {} s", limit.as_secs_f32()) }
    }

    fn of_client(error: &ClientError) -> Self {
        let kind = if error.is_connect() { ErrorKind::Unreachable } else { ErrorKind::Broken };
        let mut text = chain(error);
        if text.contains("invalid peer certificate") {
            text += "; if the endpoint has its own authority, set ca_file";
        }
        Failure { kind, text }
    }
}

#[cfg(test)]
mod tests;
