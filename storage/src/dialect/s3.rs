//! Amazon S3 and what speaks it. Source: Amazon S3 API reference and user guide ("Multipart upload limits",
//! "Checking object integrity", "Error responses").

use proto::ObjectKey;

use super::{Dialect, Scheme, Sum};
use crate::error::ErrorKind;

/// Amazon S3.
pub(crate) static S3: Dialect = Dialect {
    name: "s3",
    scheme: Scheme::AwsV4,
    prefix: "x-amz-",
    sum: Sum::Nvme,
    read_headers: &[("x-amz-checksum-mode", "ENABLED")],
    token_encoded: false,
    no_overwrite: ("if-none-match", "*"),
    name_rule,
    name_rule_below: |key| super::text_up_to(key, 1024),
    single_put: 5 << 30,
    part_min: 5 << 20,
    part_max: 5 << 30,
    etag_is_md5_of_parts: true,
    codes: &[
        // "Your key is too long."
        ("KeyTooLong", ErrorKind::InvalidName),
        // "Your account is not signed up for the Amazon S3 service."
        ("NotSignedUp", ErrorKind::AccessDenied),
        ("Throttling", ErrorKind::Throttled),
        ("ThrottlingException", ErrorKind::Throttled),
    ],
};

/// 1 to 1,024 bytes of UTF-8 ("Naming Amazon S3 objects").
fn name_rule(key: &ObjectKey) -> Result<(), String> {
    match key.as_bytes().len() {
        0 => Err("the key is empty".into()),
        _ => super::text_up_to(key, 1024),
    }
}
