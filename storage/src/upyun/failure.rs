//! From a refusal to a typed error. A refusal is a JSON document, `{"code": 40400001, "msg": "…", "id": "…"}`, whose
//! code begins with the HTTP status (UPYUN, "API error codes").

use http::StatusCode;
use http::response::Parts;
use serde::Deserialize;

use super::Client;
use super::request::Call;
use crate::answered::header;
use crate::error::{Error, ErrorKind, Op};
use crate::s3::failure::retry_after;

/// Service codes and their kinds; the vendor's words beside each.
const CODES: &[(u32, ErrorKind)] = &[
    // "content md5 not match", for both forms of the API
    (40000006, ErrorKind::Corrupted),
    (40300007, ErrorKind::Corrupted),
    // "file md5 not match", when an upload is completed
    (40011059, ErrorKind::Corrupted),
    // "path encoding should be utf8", "filename should be utf8", "invalid UTF8 Key"
    (40000030, ErrorKind::InvalidName),
    (40000031, ErrorKind::InvalidName),
    (40011057, ErrorKind::InvalidName),
    (40001021, ErrorKind::InvalidName),
    // "file name contains invalid chars", "file path too long", "file name too long"
    (40300001, ErrorKind::InvalidName),
    (40300002, ErrorKind::InvalidName),
    (40300003, ErrorKind::InvalidName),
    // "invalid x-upyun-multi-uuid", "x-upyun-multi-uuid not found"
    (40011056, ErrorKind::UploadNotFound),
    (40011058, ErrorKind::UploadNotFound),
    // "date offset error"
    (40100002, ErrorKind::ClockSkew),
    // "authorization has expired", "request has expired"
    (40300006, ErrorKind::ClockSkew),
    (40300028, ErrorKind::ClockSkew),
    // "unknown realm in authorization header", "need authorization header", "signature error", "user not exists",
    // "user password error", "account not exist"
    (40100003, ErrorKind::BadCredentials),
    (40100004, ErrorKind::BadCredentials),
    (40100005, ErrorKind::BadCredentials),
    (40100006, ErrorKind::BadCredentials),
    (40100009, ErrorKind::BadCredentials),
    (40100010, ErrorKind::BadCredentials),
    // "bucket not exist", "bucket removed"
    (40100012, ErrorKind::BucketNotFound),
    (40100014, ErrorKind::BucketNotFound),
    // "bucket is full"
    (40300004, ErrorKind::DiskFull),
    // "file too small", "file too large", "file type error", "need content-type", "exceed max size",
    // "request body too big"
    (40300008, ErrorKind::Refused),
    (40300009, ErrorKind::Refused),
    (40300010, ErrorKind::Refused),
    (40300012, ErrorKind::Refused),
    (40300024, ErrorKind::Refused),
    (40300027, ErrorKind::Refused),
    // "directory not empty"
    (40300005, ErrorKind::Conflict),
    // "has no permission to delete"
    (40300011, ErrorKind::AccessDenied),
    // "path is not a file, maybe a directory"
    (40300015, ErrorKind::InvalidName),
    // "dir not acceptable", "folder already exists": a file stands where a folder is needed, or the other way round
    (40600001, ErrorKind::InvalidName),
    (40600002, ErrorKind::InvalidName),
];

/// What the document says; empty where there is none.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    id: String,
}

/// What a service refused, with everything that it said.
pub(super) fn of_answer(client: &Client, call: &Call<'_>, head: &Parts, body: &[u8]) -> Error {
    let said: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| header(&head.headers, name);
    // The answer to HEAD has no body.
    let code = if said.code > 0 { said.code } else { text("x-error-code").parse().unwrap_or(0) };
    let kind = kind_of(code, head.status, call.op);
    let mut message = match (said.msg.as_str(), body) {
        ("", body) => plain(call, head.status, body),
        (msg, _) => msg.to_owned(),
    };
    match kind {
        ErrorKind::BucketNotFound => {
            let (bucket, endpoint) = (&client.endpoint.bucket, &client.endpoint.endpoint);
            message = format!("there is no service {bucket:?} at {endpoint}: {message}");
        }
        ErrorKind::ClockSkew => {
            let (ours, theirs) = (jiff::Timestamp::now(), text("date"));
            message.push_str(&format!("; this host's clock says {ours}, the service's {theirs}"));
        }
        ErrorKind::InvalidName if matches!(code, 40600001 | 40600002 | 40300015) => {
            message.push_str(": UPYUN cannot hold a file and a folder of one name");
        }
        ErrorKind::WrongEndpoint => message.push_str(&format!("; it points to {}", text("location"))),
        _ => {}
    }
    let id = [text("x-request-id"), said.id].into_iter().find(|id| !id.is_empty()).unwrap_or_default();
    let code = if code > 0 { code.to_string() } else { String::new() };
    call.error(kind, message)
        .service(head.status.as_u16(), code, call.hidden.out_of(id))
        .retry_after(retry_after(&head.headers))
}

/// Is it said what this code means?
pub(super) fn is_known(code: u32) -> bool {
    CODES.iter().any(|(known, _)| *known == code)
}

/// The code decides, else the status.
pub(super) fn kind_of(code: u32, status: StatusCode, op: Op) -> ErrorKind {
    let known = CODES.iter().find(|(known, _)| *known == code).map(|(_, kind)| *kind);
    match known {
        // Who reads finds no such file.
        Some(ErrorKind::InvalidName) if matches!(op, Op::Get | Op::Head) => ErrorKind::NotFound,
        Some(kind) => kind,
        None => of_status(status, op),
    }
}

fn of_status(status: StatusCode, op: Op) -> ErrorKind {
    match status.as_u16() {
        301 | 302 | 307 | 308 => ErrorKind::WrongEndpoint,
        304 | 412 | 416 => ErrorKind::PreconditionFailed,
        401 | 403 => ErrorKind::AccessDenied,
        404 if matches!(op, Op::Part | Op::ListParts | Op::Complete | Op::Abort) => ErrorKind::UploadNotFound,
        404 => ErrorKind::NotFound,
        406 => ErrorKind::InvalidName,
        408 => ErrorKind::Timeout,
        409 => ErrorKind::Conflict,
        // "too many requests", "too many requests of the same uri"
        429 => ErrorKind::Throttled,
        501 => ErrorKind::Unsupported,
        400..=499 => ErrorKind::Refused,
        // All 503xxxxx of the table are failures inside of the service.
        500..=599 => ErrorKind::ServiceFailure,
        _ => ErrorKind::Protocol,
    }
}

/// The begin of an answer that is no error document (a proxy's page, for instance).
fn plain(call: &Call<'_>, status: StatusCode, body: &[u8]) -> String {
    let text = call.hidden.out_of(String::from_utf8_lossy(body));
    let text: String = text.chars().take(200).collect();
    let reason = status.canonical_reason().unwrap_or("no reason given");
    if text.trim().is_empty() { reason.to_owned() } else { format!("{reason}: {text}") }
}
