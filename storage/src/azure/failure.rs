//! From a refusal to a typed error: the service's code decides, else the status.

use http::StatusCode;
use http::response::Parts;

use super::Client;
use super::xml;
use crate::answered::header;
use crate::error::{Error, ErrorKind, Op};
use crate::s3::{Call, of_status, plain, retry_after};

/// "Common REST API error codes", "Blob Storage error codes"; the vendor's words where they are needed.
const CODES: &[(&str, ErrorKind)] = &[
    ("BlobNotFound", ErrorKind::NotFound),
    ("ResourceNotFound", ErrorKind::NotFound),
    ("ContainerNotFound", ErrorKind::BucketNotFound),
    ("ContainerBeingDeleted", ErrorKind::BucketNotFound),
    ("ContainerDisabled", ErrorKind::BucketNotFound),
    ("AuthenticationFailed", ErrorKind::BadCredentials),
    ("InvalidAuthenticationInfo", ErrorKind::BadCredentials),
    ("KeyBasedAuthenticationNotPermitted", ErrorKind::BadCredentials),
    ("AccountIsDisabled", ErrorKind::AccessDenied),
    ("AuthorizationFailure", ErrorKind::AccessDenied),
    ("AuthorizationPermissionMismatch", ErrorKind::AccessDenied),
    ("AuthorizationProtocolMismatch", ErrorKind::AccessDenied),
    ("AuthorizationResourceTypeMismatch", ErrorKind::AccessDenied),
    ("AuthorizationServiceMismatch", ErrorKind::AccessDenied),
    ("AuthorizationSourceIPMismatch", ErrorKind::AccessDenied),
    ("InsufficientAccountPermissions", ErrorKind::AccessDenied),
    ("NoAuthenticationInformation", ErrorKind::AccessDenied),
    ("PublicAccessNotPermitted", ErrorKind::AccessDenied),
    // "Account must be accessed through HTTPS."
    ("AccountRequiresHttps", ErrorKind::WrongEndpoint),
    ("ServerBusy", ErrorKind::Throttled),
    ("InternalError", ErrorKind::ServiceFailure),
    ("OperationTimedOut", ErrorKind::ServiceFailure),
    ("AccountBeingCreated", ErrorKind::ServiceFailure),
    ("Md5Mismatch", ErrorKind::Corrupted),
    ("Crc64Mismatch", ErrorKind::Corrupted),
    ("ConditionNotMet", ErrorKind::PreconditionFailed),
    ("TargetConditionNotMet", ErrorKind::PreconditionFailed),
    ("BlobAlreadyExists", ErrorKind::Conflict),
    ("InvalidBlobType", ErrorKind::Conflict),
    ("BlobImmutableDueToPolicy", ErrorKind::Conflict),
    ("BlobBeingSnapshotted", ErrorKind::Conflict),
    ("PendingCopyOperation", ErrorKind::Conflict),
    ("LeaseIdMissing", ErrorKind::Conflict),
    ("ResourceTypeMismatch", ErrorKind::Conflict),
    ("BlobArchived", ErrorKind::Archived),
    ("BlobBeingRehydrated", ErrorKind::Archived),
    ("InvalidBlockList", ErrorKind::UploadNotFound),
    ("InvalidBlockId", ErrorKind::Refused),
    ("InvalidBlobOrBlock", ErrorKind::Refused),
    ("BlockCountExceedsLimit", ErrorKind::Refused),
    ("BlockListTooLong", ErrorKind::Refused),
    ("InvalidResourceName", ErrorKind::InvalidName),
    ("InvalidUri", ErrorKind::InvalidName),
    ("InvalidMetadata", ErrorKind::Refused),
    ("EmptyMetadataKey", ErrorKind::Refused),
    ("MetadataTooLarge", ErrorKind::MetadataTooLarge),
    ("RequestBodyTooLarge", ErrorKind::Refused),
    ("MissingContentLengthHeader", ErrorKind::Refused),
    ("InvalidHeaderValue", ErrorKind::Refused),
    ("InvalidInput", ErrorKind::Refused),
    ("InvalidMd5", ErrorKind::Refused),
    ("InvalidRange", ErrorKind::Refused),
    ("InvalidQueryParameterValue", ErrorKind::Refused),
    ("FeatureVersionMismatch", ErrorKind::Unsupported),
    ("UnsupportedHttpVerb", ErrorKind::Unsupported),
];

/// What the service refused, with everything that it said.
pub(super) fn of_answer(
    client: &Client,
    call: &Call<'_>,
    head: &Parts,
    body: &[u8],
    ran_out: Option<jiff::Timestamp>,
) -> Error {
    let said = xml::refusal(body);
    // Also where there is no body, as in the answer to HEAD.
    let code = Some(header(&head.headers, "x-ms-error-code")).filter(|code| !code.is_empty());
    let code = code.unwrap_or(said.code);
    let kind = match (kind(&code, &said.detail, head.status, call), ran_out) {
        // Whatever it says: it refused, and the signature's own end is behind us.
        (ErrorKind::AccessDenied | ErrorKind::BadCredentials, Some(_)) => ErrorKind::CredentialsExpired,
        // The words of AuthenticationFailed, under whichever code.
        (ErrorKind::AccessDenied, _) if said.message.starts_with("Server failed to authenticate") => {
            ErrorKind::BadCredentials
        }
        (kind, _) => kind,
    };
    // The service repeats its request id and the time in it.
    let message = said.message.split("\nRequestId:").next().unwrap_or_default().trim();
    let mut message = match (message, &*code) {
        ("", "") => plain(call, head.status, body),
        ("", code) => code.to_owned(),
        (message, _) => message.to_owned(),
    };
    if !said.detail.is_empty() {
        // What the request was signed as is long, and helps nobody here.
        let detail = said.detail.split("string to sign").next().unwrap_or_default().trim();
        message.push_str(&format!(" {detail}"));
    }
    if let Some(end) = ran_out {
        message.push_str(&format!("; the shared access signature ran out at {end}"));
    }
    match kind {
        ErrorKind::BucketNotFound => {
            let (container, address) = (&client.endpoint.bucket, &client.address.text);
            message = format!("there is no container {container:?} at {address}: {message}");
        }
        ErrorKind::ClockSkew => {
            let service = header(&head.headers, "date");
            message.push_str(&format!(
                "; this host's clock says {}, the service's {service}",
                jiff::Timestamp::now()
            ));
        }
        ErrorKind::AccessDenied if code == "AuthorizationFailure" => {
            message.push_str("; the account's firewall may keep this host out");
        }
        ErrorKind::WrongEndpoint if code == "AccountRequiresHttps" => {
            message.push_str("; write https:// in the endpoint");
        }
        _ => {}
    }
    let id = header(&head.headers, "x-ms-request-id");
    call.error(kind, message)
        .service(head.status.as_u16(), call.hidden.out_of(code), call.hidden.out_of(id))
        .retry_after(retry_after(&head.headers))
}

fn kind(code: &str, detail: &str, status: StatusCode, call: &Call<'_>) -> ErrorKind {
    let known = CODES.iter().find(|(name, _)| *name == code).map(|(_, kind)| *kind);
    let kind = known.unwrap_or_else(|| of_status(status, call.op));
    let says = |text: &str| detail.contains(text);
    match kind {
        // "Signature not valid in the specified time frame", "Lifetime validation failed. The token is expired."
        ErrorKind::BadCredentials
            if says("specified time frame") || says("Lifetime validation failed") || says("expired") =>
        {
            ErrorKind::CredentialsExpired
        }
        // "Request date header too old: 'Fri, 26 Jun 2015 23:39:12 GMT'"
        ErrorKind::BadCredentials if says("date header") => ErrorKind::ClockSkew,
        ErrorKind::NotFound if call.key.is_none() => ErrorKind::BucketNotFound,
        // The range was within the listed size: the object is shorter by now.
        _ if call.op == Op::Get && status == StatusCode::RANGE_NOT_SATISFIABLE => {
            ErrorKind::PreconditionFailed
        }
        // A name that is too long, where it is about one.
        _ if code == "OutOfRangeInput" && call.key.is_some() => ErrorKind::InvalidName,
        // A write is not conditional unless it is asked to be: something holds the blob.
        ErrorKind::PreconditionFailed if matches!(call.op, Op::Put | Op::Part | Op::Complete) => {
            ErrorKind::Conflict
        }
        // Without a code: what a proxy says of a name, or of a container.
        ErrorKind::UploadNotFound if code.is_empty() => ErrorKind::NotFound,
        kind => kind,
    }
}
