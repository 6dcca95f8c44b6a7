//! From a refusal to a typed error: the service's code decides, else the status.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use conf::Endpoint;

use super::Client;
use super::request::Call;
use super::xml;
use crate::answered::header;
use crate::dialect::Scheme;
use crate::error::{Error, ErrorKind, Op};

/// What a service refused, with everything that it said.
pub(super) fn of_answer(client: &Client, call: &Call<'_>, head: &Parts, body: &[u8]) -> Error {
    let text = |name: &str| header(&head.headers, name);
    // A HEAD has no body; OSS then puts the document into a header (OSS API reference, HeadObject).
    let in_header = STANDARD.decode(text("x-oss-err")).unwrap_or_default();
    let said = xml::refusal(if body.is_empty() { &in_header } else { body });
    let kind = client.dialect.kind_of(&said.code).unwrap_or_else(|| of_status(head.status, call.op));
    let kind = mend(kind, head.status.as_u16(), &said, call);
    let mut message = match (&*said.message, &*said.code) {
        ("", "") => plain(call, head.status, body),
        ("", code) => code.to_owned(),
        (message, _) => message.to_owned(),
    };
    if kind == ErrorKind::BucketNotFound {
        let (bucket, endpoint) = (&client.endpoint.bucket, &client.endpoint.endpoint);
        let own = match client.dialect.scheme {
            Scheme::Cos => " (a bucket of COS is known in its own region only, and its name ends in -APPID)",
            _ => "",
        };
        message = format!("there is no bucket {bucket:?} at {endpoint}{own}: {message}");
    }
    if kind == ErrorKind::ClockSkew {
        let service = if said.server_time.is_empty() { text("date") } else { said.server_time.clone() };
        message.push_str(&format!(
            "; this host's clock says {}, the service's {service}",
            jiff::Timestamp::now()
        ));
    }
    if kind == ErrorKind::WrongEndpoint {
        message.push_str(&elsewhere(&client.endpoint, &head.headers, &said));
    }
    let id = Some(request_id(&head.headers)).filter(|id| !id.is_empty()).unwrap_or(said.request_id);
    call.error(kind, message)
        .service(head.status.as_u16(), call.hidden.out_of(said.code), call.hidden.out_of(id))
        .retry_after(retry_after(&head.headers))
}

/// Where the bucket is, and what to write into the job, as far as the service says it.
fn elsewhere(endpoint: &Endpoint, headers: &HeaderMap, said: &xml::Refusal) -> String {
    let text = |name: &str| header(headers, name);
    let regions = [
        said.region.clone(),
        text("x-amz-bucket-region"),
        text("x-oss-bucket-region"),
        text("x-cos-bucket-region"),
    ];
    let region = regions.into_iter().find(|region| !region.is_empty()).unwrap_or_default();
    // With the bucket in front, as a redirect names it.
    let bucket = format!("{}.", endpoint.bucket);
    let host = |url: &str| {
        let host = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = host.split(['/', '?']).next().unwrap_or_default();
        host.strip_prefix(&bucket).unwrap_or(host).to_owned()
    };
    let named = [host(&said.endpoint), host(&text("location"))].into_iter().find(|host| !host.is_empty());
    let vendors = conf::address::of_region(endpoint.kind, &endpoint.provider, &region)
        // A custom name, or a server of one's own, is not to be swapped for the vendor's.
        .filter(|address| domain(&host(address)) == domain(&host(&endpoint.endpoint)));
    let address = vendors.or_else(|| {
        let named = named.filter(|named| *named != host(&endpoint.endpoint))?;
        Some(format!("https://{named}"))
    });
    match (region.as_str(), address) {
        ("", None) => String::new(),
        ("", Some(address)) => format!("; the bucket is elsewhere: write endpoint = {address:?}"),
        (region, None) => format!("; the bucket's region is {region}: write region = {region:?}"),
        (region, Some(address)) => {
            format!("; the bucket's region is {region}: write region = {region:?} and endpoint = {address:?}")
        }
    }
}

/// The last two labels of a host, without its port.
fn domain(host: &str) -> Vec<&str> {
    host.split(':').next().unwrap_or_default().rsplit('.').take(2).collect()
}

/// A refusal inside a 200 (Complete and Copy may do that after they kept the connection alive).
pub(super) fn in_success(
    client: &Client,
    call: &Call<'_>,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<Error> {
    let said = xml::refusal(body);
    if said.code.is_empty() {
        return None;
    }
    let kind = client.dialect.kind_of(&said.code).unwrap_or(ErrorKind::ServiceFailure);
    let (code, id) = (call.hidden.out_of(said.code), call.hidden.out_of(request_id(headers)));
    Some(call.error(kind, said.message).service(200, code, id))
}

/// The service's name for the request, under one of the family's headers; empty where it gave none.
fn request_id(headers: &HeaderMap) -> String {
    const NAMES: [&str; 7] = [
        "x-amz-request-id",
        "x-oss-request-id",
        "x-cos-request-id",
        "x-kss-request-id",
        "x-bce-request-id",
        "x-reqid",
        "x-guploader-uploadid",
    ];
    NAMES.map(|name| header(headers, name)).into_iter().find(|id| !id.is_empty()).unwrap_or_default()
}

/// What the code alone does not tell.
fn mend(kind: ErrorKind, status: u16, said: &xml::Refusal, call: &Call<'_>) -> ErrorKind {
    match kind {
        // OSS: "The bucket you are attempting to access must be addressed using the specified endpoint."
        ErrorKind::AccessDenied
            if said.message.contains("must be addressed using the specified endpoint") =>
        {
            ErrorKind::WrongEndpoint
        }
        // COS says so of a signature whose time is over: an hour, by the service's clock.
        ErrorKind::AccessDenied if said.message.contains("Request has expired") => ErrorKind::ClockSkew,
        // The range was within the listed size: the object is shorter by now.
        ErrorKind::Refused if call.op == Op::Get && (status == 416 || said.code == "InvalidRange") => {
            ErrorKind::PreconditionFailed
        }
        // Services over a file system (rclone, SeaweedFS) refuse such keys so.
        ErrorKind::Refused
            if matches!(&*said.code, "InvalidRequest" | "InvalidArgument")
                && call.key.is_some_and(|key| has_odd_segment(key.as_bytes())) =>
        {
            ErrorKind::InvalidName
        }
        // Some services answer a listing of a missing bucket with NoSuchKey.
        ErrorKind::NotFound if call.op == Op::List => ErrorKind::BucketNotFound,
        kind => kind,
    }
}

/// An empty segment, or one of dots, which is no file's name.
fn has_odd_segment(key: &[u8]) -> bool {
    key.split(|byte| *byte == b'/').any(|segment| matches!(segment, b"" | b"." | b".."))
}

pub(crate) fn of_status(status: StatusCode, op: Op) -> ErrorKind {
    match status.as_u16() {
        301 | 302 | 307 | 308 => ErrorKind::WrongEndpoint,
        304 | 412 => ErrorKind::PreconditionFailed,
        401 | 403 => ErrorKind::AccessDenied,
        404 if op == Op::List => ErrorKind::BucketNotFound,
        404 if matches!(op, Op::Part | Op::ListParts | Op::Complete | Op::Abort) => ErrorKind::UploadNotFound,
        404 => ErrorKind::NotFound,
        408 => ErrorKind::Timeout,
        // Qiniu's own numbers: "out of quota", no such file, no such bucket.
        573 => ErrorKind::Throttled,
        612 => ErrorKind::NotFound,
        631 => ErrorKind::BucketNotFound,
        409 => ErrorKind::Conflict,
        429 | 503 => ErrorKind::Throttled,
        501 => ErrorKind::Unsupported,
        400..=499 => ErrorKind::Refused,
        500..=599 => ErrorKind::ServiceFailure,
        _ => ErrorKind::Protocol,
    }
}

/// The begin of an answer that is no error document (a proxy's page, for instance).
pub(crate) fn plain(call: &Call<'_>, status: StatusCode, body: &[u8]) -> String {
    // Before it is cut: half a secret is one too.
    let text = call.hidden.out_of(String::from_utf8_lossy(body));
    let text: String = text.chars().take(200).collect();
    let reason = status.canonical_reason().unwrap_or("no reason given");
    if text.trim().is_empty() { reason.to_owned() } else { format!("{reason}: {text}") }
}

/// `Retry-After` in seconds, or as a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = header(headers, "retry-after");
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let when = super::headers::http_time(&text)?;
    let left = when.as_second().saturating_sub(jiff::Timestamp::now().as_second());
    u64::try_from(left).ok().map(Duration::from_secs)
}
