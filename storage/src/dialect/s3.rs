//! Amazon S3 and what speaks it. Source: Amazon S3 API reference and user guide ("Multipart upload limits",
//! "Checking object integrity", "Error responses").

use super::{Dialect, Encoding, Listing, Scheme, Sum};
use crate::error::ErrorKind;

/// Amazon S3, and any service of which nobody said what it is: what it lacks is found out.
pub(crate) static S3: Dialect = BASE;

/// What the others that speak S3 are told from.
pub(super) const BASE: Dialect = Dialect {
    name: "s3",
    scheme: Scheme::AwsV4,
    prefix: "x-amz-",
    also: "",
    sums: Sum::AMAZON,
    sums_with_ranges: false,
    accept_encoding: "identity",
    read_headers: &[("x-amz-checksum-mode", "ENABLED")],
    listing: Listing { v1: false, encoding: Encoding::Unsure, token_encoded: false },
    signs_body: false,
    path_style: false,
    no_overwrite: Some(("if-none-match", "*")),
    kms_key: "x-amz-server-side-encryption-aws-kms-key-id",
    // 1 to 1,024 bytes of UTF-8 ("Naming Amazon S3 objects").
    name_rule: |key| super::some_text_up_to(key, 1024),
    name_rule_below: |key| super::text_up_to(key, 1024),
    single_put: 5 << 30,
    part_min: 5 << 20,
    part_max: 5 << 30,
    etag_is_md5: true,
    etag_is_md5_of_parts: true,
    codes: &[
        // "Your account is not signed up for the Amazon S3 service."
        ("NotSignedUp", ErrorKind::AccessDenied),
        ("Throttling", ErrorKind::Throttled),
        ("ThrottlingException", ErrorKind::Throttled),
    ],
};
