//! Kingsoft Cloud KS3, which speaks S3 with V4 signatures. Source: KS3 documents ("Error codes", "Regions and
//! endpoints"), the vendor's SDK (its fork of the AWS SDK for Go: checksums, regions).

use crc_fast::CrcAlgorithm;

use super::s3::BASE;
use super::{Dialect, Form, Sum};
use crate::error::ErrorKind;

/// Kingsoft Cloud KS3.
pub(crate) static KS3: Dialect = Dialect {
    name: "ks3",
    also: "x-kss-",
    // Decimal, unlike all other x-amz-checksum- headers. Objects from before it was introduced have none.
    sums: &[Sum::stated(CrcAlgorithm::Crc64Xz, "x-amz-checksum-crc64ecma", Form::Decimal)],
    sums_with_ranges: false,
    read_headers: &[],
    no_overwrite: Some(("x-amz-forbid-overwrite", "true")),
    kms_key: "",
    etag_is_md5_of_parts: false,
    codes: &[
        // The documents call a missing object so.
        ("NotFound", ErrorKind::NotFound),
        // "The number of a part is 1 to 10,000."
        ("InvalidPartNum", ErrorKind::Refused),
        // What the vendor's SDK tries again.
        ("Throttling", ErrorKind::Throttled),
        ("ThrottlingException", ErrorKind::Throttled),
    ],
    ..BASE
};
