//! Request bodies: plain, or `aws-chunked` with a trailing checksum (S3 API reference, "Transferring payload
//! in chunks with trailing headers").

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::Dialect;
use super::reply::Failure;

/// The decoded bytes and the trailing headers.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) data: Bytes,
    pub(crate) trailers: Vec<(String, String)>,
}

/// Reads a body that nobody wants, so that the connection can go on.
pub(crate) async fn discard(mut incoming: Incoming) {
    while let Some(Ok(_)) = incoming.frame().await {}
}

/// The whole body; a connection that ends early is a failure.
pub(crate) async fn collect(
    dialect: Dialect,
    parts: &http::request::Parts,
    incoming: Incoming,
) -> Result<Received, Failure> {
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let chunked = header("x-amz-content-sha256").starts_with("STREAMING-");
    let sent_length = parts.headers.contains_key("content-length");
    if header("transfer-encoding").contains("chunked")
        && !sent_length
        && dialect != Dialect::Oss
        && parts.method == http::Method::PUT
    {
        discard(incoming).await;
        return Err(Failure::new(
            411,
            "MissingContentLength",
            "You must provide the Content-Length HTTP header.",
        ));
    }
    let whole = incoming.collect().await;
    let bytes = whole.map_err(|_| Failure::new(400, "IncompleteBody", "the body ended early"))?.to_bytes();
    if !chunked {
        return Ok(Received { data: bytes, trailers: Vec::new() });
    }
    if !dialect.rules().trailers {
        return Err(Failure::new(501, "NotImplemented", "aws-chunked bodies are not supported"));
    }
    let wanted = header("x-amz-decoded-content-length").parse::<usize>().ok();
    let received =
        unchunk(bytes).ok_or_else(|| Failure::new(400, "IncompleteBody", "bad aws-chunked body"))?;
    if wanted.is_some_and(|wanted| wanted != received.data.len()) {
        return Err(Failure::new(400, "IncompleteBody", "x-amz-decoded-content-length differs"));
    }
    Ok(received)
}

fn unchunk(mut raw: Bytes) -> Option<Received> {
    let mut data = BytesMut::new();
    loop {
        let line = take_line(&mut raw)?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            break;
        }
        if raw.len() < size + 2 {
            return None;
        }
        data.extend_from_slice(&raw.split_to(size));
        raw.advance(2);
    }
    let mut trailers = Vec::new();
    while let Some(line) = take_line(&mut raw) {
        if let Some((name, value)) = line.split_once(':') {
            trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    Some(Received { data: data.freeze(), trailers })
}

fn take_line(raw: &mut Bytes) -> Option<String> {
    let end = raw.windows(2).position(|pair| pair == b"\r\n")?;
    let line = raw.split_to(end);
    raw.advance(2);
    String::from_utf8(line.to_vec()).ok()
}
