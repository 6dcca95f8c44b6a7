//! Answers: success, the vendor's error document, and bodies that end early by plan.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use hyper::body::{Body, Frame, SizeHint};

use super::face::Face;
use super::fault::Cut;
use super::{Dialect, Target, xml};

/// A body in frames of 256 KiB, so that a client sees many.
#[derive(Debug)]
pub(crate) struct Outgoing {
    rest: Bytes,
    end: End,
}

/// What comes after the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Right,
    /// The connection closes although more was announced.
    Cut,
    /// Nothing, for ever.
    Stalled,
}

/// Marks an answer whose body is a document of the API, and no object.
#[derive(Debug, Clone)]
pub(crate) struct Document;

impl Outgoing {
    /// What is still to be sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.rest
    }
}

/// A refusal.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u16,
    code: String,
    message: String,
    retry_after: Option<u32>,
    extra: Vec<(&'static str, String)>,
}

pub(crate) fn stream(bytes: Bytes, cut: bool) -> Outgoing {
    Outgoing { rest: bytes, end: if cut { End::Cut } else { End::Right } }
}

/// These bytes, and then nothing, for ever.
pub(crate) fn stalled(bytes: Bytes) -> Outgoing {
    Outgoing { rest: bytes, end: End::Stalled }
}

/// 200 (or another success) with headers that the caller adds.
pub(crate) fn ok(status: u16) -> Response<Outgoing> {
    let mut response = Response::new(stream(Bytes::new(), false));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}

/// 200 with an XML document.
pub(crate) fn document(text: String) -> Response<Outgoing> {
    let mut response = ok(200);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/xml"));
    *response.body_mut() = stream(text.into(), false);
    response.extensions_mut().insert(Document);
    response
}

/// Sets a header; a value that cannot be one is left out.
pub(crate) fn set(response: &mut Response<Outgoing>, name: &str, value: &str) {
    let name = http::HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(value.as_bytes())) {
        response.headers_mut().insert(name, value);
    }
}

/// The answer with request id and date; a failure as the vendor's error document, without body for HEAD.
pub(crate) fn finish(
    (dialect, face): (Dialect, Face),
    answer: Result<Response<Outgoing>, Failure>,
    id: &str,
    head: bool,
    target: &Target,
) -> Response<Outgoing> {
    let mut response = match answer {
        Ok(mut response) => {
            face.outward(&mut response);
            response
        }
        Err(failure) => failure.into_response((dialect, face), id, head, target),
    };
    for header in dialect.rules().request_ids {
        set(&mut response, header, id);
    }
    set(&mut response, "server", dialect.rules().server);
    if !response.headers().contains_key("content-length") {
        let length = response.body().rest.len();
        set(&mut response, "content-length", &length.to_string());
    }
    if head {
        *response.body_mut() = stream(Bytes::new(), false);
    }
    response
}

impl Failure {
    pub(crate) fn new(status: u16, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        Failure { status, code, message, retry_after: None, extra: Vec::new() }
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn retry_after(mut self, seconds: Option<u32>) -> Self {
        self.retry_after = seconds;
        self
    }

    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.extra.push((name, value));
        self
    }

    fn into_response(
        self,
        (dialect, face): (Dialect, Face),
        id: &str,
        head: bool,
        target: &Target,
    ) -> Response<Outgoing> {
        let (code, message) = (&self.code, &self.message);
        let text = match face {
            Face::Bce => serde_json::json!({"code": code, "message": message, "requestId": id}).to_string(),
            Face::Kodo => serde_json::json!({"error": message, "error_code": code}).to_string(),
            Face::Own | Face::Kss => {
                let mut extra = self.extra.clone();
                if dialect == Dialect::Cos {
                    extra.push(("Resource", format!("{}.cos.test", target.bucket)));
                    extra.push(("TraceId", id.to_lowercase()));
                }
                xml::error(code, message, id, &target.bucket, &extra)
            }
        };
        let mut response = if head || self.status == 304 { ok(self.status) } else { document(text.clone()) };
        *response.status_mut() = http::StatusCode::from_u16(self.status).unwrap_or_default();
        if face.speaks_json() && !head {
            set(&mut response, "content-type", "application/json");
        }
        if head && dialect == Dialect::Oss {
            use base64::Engine;
            set(&mut response, "x-oss-err", &base64::engine::general_purpose::STANDARD.encode(text));
        }
        if let Some(seconds) = self.retry_after {
            set(&mut response, "retry-after", &seconds.to_string());
        }
        response
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.rest.is_empty() {
            return match self.end {
                End::Right => Poll::Ready(None),
                End::Cut => Poll::Ready(Some(Err(Cut))),
                // Nobody wakes it: the connection's end drops it.
                End::Stalled => Poll::Pending,
            };
        }
        let n = self.rest.len().min(256 << 10);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(n)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.end == End::Right
    }

    fn size_hint(&self) -> SizeHint {
        if self.end == End::Right {
            SizeHint::with_exact(self.rest.len() as u64)
        } else {
            SizeHint::default()
        }
    }
}
