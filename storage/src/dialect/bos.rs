//! Baidu Object Storage through its S3 endpoint. Source: BOS documents, "S3 compatibility" ("Compatible
//! interfaces", "Compatible signature", "Service domain"), "Error codes".

use crc_fast::CrcAlgorithm;

use super::s3::BASE;
use super::{Dialect, Form, Sum};
use crate::error::ErrorKind;

/// Baidu Object Storage.
pub(crate) static BOS: Dialect = Dialect {
    name: "bos",
    also: "x-bce-",
    // Its form over S3 is not in the documents; the native interface writes it in decimal.
    sums: &[Sum::stated(CrcAlgorithm::Crc32IsoHdlc, "x-amz-checksum-crc32", Form::Any)],
    // "Compatible signature" shows no other way.
    signs_body: true,
    // The header of the native interface is not in the table of the S3 one.
    no_overwrite: None,
    kms_key: "",
    part_min: 100 << 10,
    // What a multipart ETag is made of is not told.
    etag_is_md5_of_parts: false,
    codes: &[
        // "Your request is denied because there is an overdue bill of your account."
        ("AccountOverdue", ErrorKind::AccessDenied),
        // "The HTTP authorization header is invalid."
        ("InvalidHTTPAuthHeader", ErrorKind::BadCredentials),
        // "There was an error in the body of your HTTP request."
        ("InvalidHTTPRequest", ErrorKind::Refused),
        // "The XML you provided was well-formed and valid, but not appropriate for this operation."
        ("InappropriateXML", ErrorKind::Refused),
        ("ObjectUnappendable", ErrorKind::Conflict),
        ("OffsetIncorrect", ErrorKind::Conflict),
    ],
    ..BASE
};
