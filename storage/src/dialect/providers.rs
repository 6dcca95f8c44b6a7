//! Services that speak S3 with settings of their own: `provider = "…"` of `type = "s3"`. Source: rclone's settings
//! for each (`backend/s3/provider/*.yaml`) and the vendors' documents on S3 compatibility.

use crc_fast::CrcAlgorithm;

use super::s3::BASE;
use super::{Dialect, Encoding, Form, Listing, S3, Sum};

/// Version 1, and keys as they are.
const OLD_LISTING: Listing = Listing { v1: true, encoding: Encoding::Without, token_encoded: false };

/// Its descriptor; Amazon's for a name that is not in the table.
pub(crate) fn provider(name: &str) -> &'static Dialect {
    TABLE.iter().find(|dialect| dialect.name == name).copied().unwrap_or(&S3)
}

/// In the order of `conf::keys::PROVIDERS`.
pub(super) static TABLE: [&Dialect; 12] =
    [&AWS, &MINIO, &R2, &GCS, &OBS, &TOS, &CEPH, &GARAGE, &SEAWEEDFS, &NETEASE, &CHINAMOBILE, &US3];

static AWS: Dialect =
    Dialect { name: "aws", listing: Listing { encoding: Encoding::Honest, ..BASE.listing }, ..BASE };

/// As Amazon S3, where the bucket stands in the path unless its administrator made names for buckets.
static MINIO: Dialect = Dialect { name: "minio", path_style: true, ..BASE };

/// Parts have to be of one size, which they are. It unpacks objects of `Content-Encoding: gzip` for readers that do not
/// take it (rclone, "s3: fix download of compressed files from Cloudflare R2").
static R2: Dialect = Dialect { name: "r2", accept_encoding: "gzip", etag_is_md5_of_parts: false, ..BASE };

/// Its XML interface with HMAC keys. It changes `accept-encoding` on the way, which is never signed here, and
/// refuses Amazon's checksum headers. It unpacks objects of `Content-Encoding: gzip` for readers that do not take it
/// (Cloud Storage, "Transcoding of gzip-compressed files").
static GCS: Dialect = Dialect {
    name: "gcs",
    also: "x-goog-",
    sums: &[Sum::stated(CrcAlgorithm::Crc32Iscsi, "x-goog-hash", Form::Goog)],
    accept_encoding: "gzip",
    read_headers: &[],
    no_overwrite: None,
    kms_key: "",
    etag_is_md5_of_parts: false,
    ..BASE
};

/// Parallel file system buckets give the same marker again and again when keys are encoded.
static OBS: Dialect = Dialect {
    name: "obs",
    also: "x-obs-",
    sums: &[],
    read_headers: &[],
    listing: OLD_LISTING,
    no_overwrite: None,
    part_min: 100 << 10,
    ..BASE
};

/// At `tos-s3-REGION.volces.com`; the other names of the service do not speak S3.
static TOS: Dialect = Dialect {
    name: "tos",
    also: "x-tos-",
    sums: &[Sum::stated(CrcAlgorithm::Crc64Xz, "x-tos-hash-crc64ecma", Form::Decimal)],
    read_headers: &[],
    no_overwrite: None,
    kms_key: "",
    etag_is_md5_of_parts: false,
    ..BASE
};

static CEPH: Dialect =
    Dialect { name: "ceph", sums: &[], read_headers: &[], listing: OLD_LISTING, path_style: true, ..BASE };

/// The region has to be the one of its configuration (`s3_region`, usually garage).
static GARAGE: Dialect = Dialect { name: "garage", path_style: true, ..BASE };

static SEAWEEDFS: Dialect = Dialect { name: "seaweedfs", path_style: true, ..BASE };

static NETEASE: Dialect = Dialect { name: "netease", ..OLD };

static CHINAMOBILE: Dialect = Dialect { name: "chinamobile", ..OLD };

static US3: Dialect = Dialect { name: "us3", ..OLD };

const OLD: Dialect = Dialect {
    name: "",
    sums: &[],
    read_headers: &[],
    listing: OLD_LISTING,
    no_overwrite: None,
    etag_is_md5_of_parts: false,
    ..BASE
};
