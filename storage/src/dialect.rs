//! What differs between the services that speak (almost) S3: one descriptor each, every field with its source.

mod oss;
mod s3;

use proto::ObjectKey;

use crate::destination::Limits;
use crate::error::ErrorKind;

pub(crate) use oss::OSS;
pub(crate) use s3::S3;

/// One service's rules.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// For messages.
    pub(crate) name: &'static str,
    pub(crate) scheme: Scheme,
    /// `x-amz-` or `x-oss-`.
    pub(crate) prefix: &'static str,
    /// The CRC that a write is answered with, and how it is written.
    pub(crate) sum: Sum,
    /// Sent with a read, so that ranges and checksums are as expected.
    pub(crate) read_headers: &'static [(&'static str, &'static str)],
    /// The continuation token is encoded like the keys.
    pub(crate) token_encoded: bool,
    /// Forbids to write over an object.
    pub(crate) no_overwrite: (&'static str, &'static str),
    /// What is wrong with a key, if anything.
    pub(crate) name_rule: fn(&ObjectKey) -> Result<(), String>,
    /// The same for keys below a prefix, where the begin is the prefix's.
    pub(crate) name_rule_below: fn(&ObjectKey) -> Result<(), String>,
    pub(crate) single_put: u64,
    pub(crate) part_min: u64,
    pub(crate) part_max: u64,
    /// The ETag of a multipart upload is the MD5 of the parts' MD5s.
    pub(crate) etag_is_md5_of_parts: bool,
    /// Service codes and their kinds; the vendor's words beside each.
    pub(crate) codes: &'static [(&'static str, ErrorKind)],
}

/// How requests are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    AwsV4,
    Oss,
}

/// Which checksum header, and its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sum {
    /// `x-amz-checksum-crc64nvme`: base64 of the big-endian bytes, sent and answered.
    Nvme,
    /// `x-oss-hash-crc64ecma`: unsigned decimal, answered only.
    Ecma,
}

impl Dialect {
    /// What its destinations can hold.
    pub(crate) fn limits(&self, crc: bool, etag_is_md5: bool, below: bool) -> Limits {
        Limits {
            crc: crc.then(|| self.sum.algorithm()),
            etag_is_md5,
            etag_is_md5_of_parts: etag_is_md5 && self.etag_is_md5_of_parts,
            single_put: self.single_put,
            part_min: self.part_min,
            part_max: self.part_max,
            parts: 10_000,
            name: if below { self.name_rule_below } else { self.name_rule },
        }
    }

    /// The kind of a service code, from this dialect's table, then from the one that all share.
    pub(crate) fn kind_of(&self, code: &str) -> Option<ErrorKind> {
        let find =
            |table: &[(&str, ErrorKind)]| table.iter().find(|(name, _)| *name == code).map(|(_, kind)| *kind);
        find(self.codes).or_else(|| find(SHARED_CODES))
    }
}

impl Sum {
    pub(crate) fn algorithm(self) -> crc_fast::CrcAlgorithm {
        match self {
            Sum::Nvme => crc_fast::CrcAlgorithm::Crc64Nvme,
            Sum::Ecma => crc_fast::CrcAlgorithm::Crc64Xz,
        }
    }
}

fn text_up_to(key: &ObjectKey, most: usize) -> Result<(), String> {
    match key.to_str() {
        None => Err("the key is not UTF-8".into()),
        Some(text) if text.len() > most => Err(format!("the key is longer than {most} bytes")),
        Some(_) => Ok(()),
    }
}

/// Codes that all services of the family share (Amazon S3 API reference, "Error responses"; OSS, "Error codes").
const SHARED_CODES: &[(&str, ErrorKind)] = &[
    ("NoSuchKey", ErrorKind::NotFound),
    ("NoSuchBucket", ErrorKind::BucketNotFound),
    ("NoSuchUpload", ErrorKind::UploadNotFound),
    // "The specified bucket is not valid."
    ("InvalidBucketName", ErrorKind::BucketNotFound),
    ("AccessDenied", ErrorKind::AccessDenied),
    ("AllAccessDisabled", ErrorKind::AccessDenied),
    ("AccountProblem", ErrorKind::AccessDenied),
    ("InvalidSecurity", ErrorKind::AccessDenied),
    ("InvalidAccessKeyId", ErrorKind::BadCredentials),
    ("SignatureDoesNotMatch", ErrorKind::BadCredentials),
    ("InvalidToken", ErrorKind::BadCredentials),
    ("ExpiredToken", ErrorKind::CredentialsExpired),
    ("TokenRefreshRequired", ErrorKind::CredentialsExpired),
    ("RequestTimeTooSkewed", ErrorKind::ClockSkew),
    ("RequestExpired", ErrorKind::ClockSkew),
    ("SlowDown", ErrorKind::Throttled),
    ("ServiceUnavailable", ErrorKind::Throttled),
    ("TooManyRequests", ErrorKind::Throttled),
    ("RequestLimitExceeded", ErrorKind::Throttled),
    ("InternalError", ErrorKind::ServiceFailure),
    ("OperationAborted", ErrorKind::ServiceFailure),
    ("RequestTimeout", ErrorKind::Timeout),
    ("BadDigest", ErrorKind::Corrupted),
    ("InvalidDigest", ErrorKind::Corrupted),
    ("IncompleteBody", ErrorKind::Corrupted),
    ("XAmzContentChecksumMismatch", ErrorKind::Corrupted),
    ("XAmzContentSHA256Mismatch", ErrorKind::Corrupted),
    ("PreconditionFailed", ErrorKind::PreconditionFailed),
    ("KeyTooLongError", ErrorKind::InvalidName),
    ("InvalidObjectName", ErrorKind::InvalidName),
    ("InvalidURI", ErrorKind::InvalidName),
    ("InvalidObjectState", ErrorKind::Archived),
    ("EntityTooLarge", ErrorKind::Refused),
    ("EntityTooSmall", ErrorKind::Refused),
    ("InvalidPart", ErrorKind::Refused),
    ("InvalidPartOrder", ErrorKind::Refused),
    ("MetadataTooLarge", ErrorKind::Refused),
    ("MissingContentLength", ErrorKind::Refused),
    ("InvalidArgument", ErrorKind::Refused),
    ("InvalidRequest", ErrorKind::Refused),
    ("InvalidRange", ErrorKind::Refused),
    ("NotImplemented", ErrorKind::Unsupported),
    ("PermanentRedirect", ErrorKind::WrongEndpoint),
    ("TemporaryRedirect", ErrorKind::WrongEndpoint),
    ("AuthorizationHeaderMalformed", ErrorKind::WrongEndpoint),
    ("IllegalLocationConstraintException", ErrorKind::WrongEndpoint),
    ("ConditionalRequestConflict", ErrorKind::Conflict),
];
