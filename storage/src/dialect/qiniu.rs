//! Qiniu Kodo through its S3 endpoint. Source: Kodo documents, "AWS S3 compatibility"; the vendor's SDK for Go;
//! rclone's and JuiceFS's settings for it.

use super::s3::BASE;
use super::{Dialect, Encoding, Listing};

/// Qiniu Kodo.
pub(crate) static QINIU: Dialect = Dialect {
    name: "qiniu",
    // It states none. The MD5 that goes with every write is checked by the service. Its ETag is no MD5 but a hash
    // of its own (`checksum::qetag`), which is compared where an object was written in one piece.
    sums: &[],
    sums_with_ranges: false,
    read_headers: &[],
    listing: Listing { v1: false, encoding: Encoding::Without, token_encoded: false },
    path_style: true,
    no_overwrite: None,
    kms_key: "",
    // 750 bytes by the native interface ("Limits").
    name_rule: |key| super::some_text_up_to(key, 750),
    name_rule_below: |key| super::text_up_to(key, 750),
    etag_is_md5: false,
    etag_is_md5_of_parts: false,
    codes: &[],
    ..BASE
};
