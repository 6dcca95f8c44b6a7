//! Alibaba Cloud OSS. Source: OSS API reference (PutObject, GetObject, multipart, "Object naming
//! conventions", "Error codes").

use crc_fast::CrcAlgorithm;
use proto::ObjectKey;

use super::{Dialect, Encoding, Form, Listing, Scheme, Sum};
use crate::error::ErrorKind;

/// Alibaba Cloud OSS.
pub(crate) static OSS: Dialect = Dialect {
    name: "oss",
    scheme: Scheme::Oss,
    prefix: "x-oss-",
    also: "",
    sums: &[Sum::always(CrcAlgorithm::Crc64Xz, "x-oss-hash-crc64ecma", Form::Decimal)],
    sums_with_ranges: true,
    accept_encoding: "identity",
    // Without it a range that cannot be satisfied is answered with 200 and the whole object (GetObject).
    read_headers: &[("x-oss-range-behavior", "standard")],
    listing: Listing { v1: false, encoding: Encoding::Honest, token_encoded: true },
    signs_body: false,
    path_style: false,
    no_overwrite: Some(("x-oss-forbid-overwrite", "true")),
    kms_key: "x-oss-server-side-encryption-key-id",
    name_rule,
    name_rule_below: |key| super::text_up_to(key, 1023),
    single_put: 5 << 30,
    part_min: 100 << 10,
    part_max: 5 << 30,
    etag_is_md5: true,
    // It ends in -N as well, and is not to be recomputed.
    etag_is_md5_of_parts: false,
    codes: &[
        ("FileImmutable", ErrorKind::Conflict),
        ("ObjectNotAppendable", ErrorKind::Conflict),
        ("SymlinkTargetNotExist", ErrorKind::NotFound),
        // "UserDisable": the account has payments overdue.
        ("UserDisable", ErrorKind::AccessDenied),
        ("InvalidSecurityToken", ErrorKind::BadCredentials),
        ("SecondLevelDomainForbidden", ErrorKind::WrongEndpoint),
        ("DownloadTrafficRateLimitExceeded", ErrorKind::Throttled),
        ("UploadTrafficRateLimitExceeded", ErrorKind::Throttled),
        ("MetaOperationQpsLimitExceeded", ErrorKind::Throttled),
        ("TotalQpsLimitExceeded", ErrorKind::Throttled),
        ("ActiveRequestLimitExceeded", ErrorKind::Throttled),
        ("CpuLimitExceeded", ErrorKind::Throttled),
        ("QpsLimitExceeded", ErrorKind::Throttled),
    ],
};

/// 1 to 1,023 bytes of UTF-8, not beginning with `/` or `\` ("Object naming conventions").
fn name_rule(key: &ObjectKey) -> Result<(), String> {
    match key.as_bytes().first() {
        Some(b'/' | b'\\') => Err("OSS does not allow keys that begin with / or \\".into()),
        _ => super::some_text_up_to(key, 1023),
    }
}
