//! Tencent Cloud COS in its own dialect, which states a CRC-64 where its S3 one does not. Source: COS API
//! reference (PUT Object, GET Bucket, "Request signature", "Error codes"), "Specifications and limits",
//! "Object overview".

use crc_fast::CrcAlgorithm;
use proto::ObjectKey;

use super::{Dialect, Encoding, Form, Listing, Scheme, Sum};
use crate::error::ErrorKind;

/// Tencent Cloud COS.
pub(crate) static COS: Dialect = Dialect {
    name: "cos",
    scheme: Scheme::Cos,
    prefix: "x-cos-",
    also: "",
    sums: &[Sum::always(CrcAlgorithm::Crc64Xz, "x-cos-hash-crc64ecma", Form::Decimal)],
    sums_with_ranges: false,
    accept_encoding: "identity",
    read_headers: &[],
    // "GET Bucket (List Objects)" knows marker and NextMarker alone.
    listing: Listing { v1: true, encoding: Encoding::Honest, token_encoded: false },
    signs_body: false,
    path_style: false,
    no_overwrite: Some(("x-cos-forbid-overwrite", "true")),
    kms_key: "x-cos-server-side-encryption-cos-kms-key-id",
    name_rule,
    name_rule_below: |key| rest_rule(key),
    single_put: 5 << 30,
    part_min: 1 << 20,
    part_max: 5 << 30,
    etag_is_md5: true,
    // It ends in -N as well, and is not to be recomputed.
    etag_is_md5_of_parts: false,
    codes: &[
        // "The size of the body does not match Content-Length"; the next one is spelt so.
        ("EntitySizeNotMatch", ErrorKind::Corrupted),
        ("ImcompleteBody", ErrorKind::Corrupted),
        ("InvalidSHA1Digest", ErrorKind::Corrupted),
        ("RequestTimeOut", ErrorKind::Timeout),
        // The host names another region than there is.
        ("InvalidRegionName", ErrorKind::WrongEndpoint),
        // HTTP 451: the account has payments overdue.
        ("UnavailableForLegalReasons", ErrorKind::AccessDenied),
        ("ObjectNotAppendable", ErrorKind::Conflict),
        ("PathConflict", ErrorKind::Conflict),
    ],
};

/// Not beginning with `/` or `\` ("Object overview").
fn name_rule(key: &ObjectKey) -> Result<(), String> {
    match key.as_bytes().first() {
        None => Err("the key is empty".into()),
        Some(b'/' | b'\\') => Err("COS does not allow keys that begin with / or \\".into()),
        Some(_) => rest_rule(key),
    }
}

/// At most 850 bytes, without CAN, EM, SUB and ESC.
fn rest_rule(key: &ObjectKey) -> Result<(), String> {
    if key.as_bytes().iter().any(|byte| matches!(byte, 0x18..=0x1b)) {
        return Err("COS does not allow the control characters 0x18 to 0x1B in keys".into());
    }
    super::text_up_to(key, 850)
}
