//! What differs between the vendors, as data: one table each, so that the rest of the server is written once.
//!
//! Sources: the vendors' API references (Amazon S3, OSS, COS "specifications and limits" and "error codes",
//! BOS "S3 compatibility" and "error code", KS3 "signature" and "upload part", Kodo "AWS S3 compatibility") and
//! their own Python SDKs, which check this server in `tests/sdk/`.

use crc_fast::CrcAlgorithm;

use super::Dialect;

/// One vendor's rules.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The `Server` header.
    pub(crate) server: &'static str,
    /// Where the request id is written.
    pub(crate) request_ids: &'static [&'static str],
    /// The vendor's headers begin with it.
    pub(crate) prefix: &'static str,
    /// The region that a V4 signature must name; empty: any.
    pub(crate) region: &'static str,
    /// How the first label of an endpoint without a bucket begins.
    pub(crate) service: &'static str,
    /// Whether the bucket may be in the path where the host has a name.
    pub(crate) path_style: bool,
    /// Keys on a page where none is asked for.
    pub(crate) page: usize,
    /// Knows `list-type=2`; where it does not, the parameter has no effect.
    pub(crate) list_v2: bool,
    /// Knows `encoding-type=url`; where it does not, the parameter has no effect.
    pub(crate) encodes: bool,
    /// `NextMarker` without a delimiter.
    pub(crate) next_marker: bool,
    /// Hours by which the times of listings are written ahead of UTC.
    pub(crate) hours: i8,
    /// Every part but the last has this many bytes.
    pub(crate) part_least: usize,
    /// How the ETag of an object in one piece is made.
    pub(crate) etag: Etag,
    /// The ETag of a multipart upload is the MD5 of the parts' MD5s.
    pub(crate) etag_of_parts: bool,
    /// What is stated of an object's bytes.
    pub(crate) sum: Option<Sum>,
    /// Takes `aws-chunked` bodies and S3's checksum headers.
    pub(crate) trailers: bool,
    pub(crate) names: Names,
    pub(crate) metadata: Metadata,
    /// A write over an object that the request forbids by `<prefix>forbid-overwrite`; none: it cannot.
    pub(crate) exists: Option<(u16, &'static str)>,
    /// Writes look at `If-None-Match: *`.
    pub(crate) if_none_match: bool,
    /// The storage classes; the first is of objects that name none.
    pub(crate) classes: &'static [&'static str],
    /// The type of an object that named none.
    pub(crate) content_type: &'static str,
    /// A request whose time is off.
    pub(crate) skewed: (u16, &'static str),
    /// A temporary key whose time is over.
    pub(crate) expired: (u16, &'static str),
}

/// How an ETag looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Etag {
    /// The MD5 in small letters.
    Md5,
    /// The MD5 in capital letters.
    UpperMd5,
    /// Qiniu's own hash.
    Qetag,
}

/// A checksum and how it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sum {
    pub(crate) header: &'static str,
    pub(crate) algorithm: CrcAlgorithm,
    /// Unsigned decimal; else base64 of the big-endian bytes.
    pub(crate) decimal: bool,
    /// Only reads that ask for it state it.
    pub(crate) asked: bool,
    /// The element in a list of parts; empty: none.
    pub(crate) part: &'static str,
}

/// What a key must not be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    /// Bytes at most.
    pub(crate) most: usize,
    /// Bytes that a key must not begin with.
    pub(crate) begin: &'static [u8],
    /// Bytes that a key must not hold.
    pub(crate) never: &'static [u8],
    /// Segments `.` and `..` are refused.
    pub(crate) dots: bool,
    /// The code for a bad name, and for one that is too long.
    pub(crate) codes: (&'static str, &'static str),
}

/// What user metadata must not be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metadata {
    /// Bytes at most of all names and values.
    pub(crate) most: usize,
    /// Bytes at most of one entry.
    pub(crate) each: usize,
    /// Only letters, digits and `-` in names.
    pub(crate) strict: bool,
}

impl Dialect {
    /// The vendor's table.
    pub(crate) fn rules(self) -> &'static Rules {
        match self {
            Dialect::Oss => &OSS,
            Dialect::S3 => &S3,
            Dialect::Cos => &COS,
            Dialect::Bos => &BOS,
            Dialect::Ks3 => &KS3,
            Dialect::Qiniu => &QINIU,
        }
    }
}

const S3: Rules = Rules {
    server: "AmazonS3",
    request_ids: &["x-amz-request-id"],
    prefix: "x-amz-",
    region: "",
    service: "s3",
    path_style: true,
    page: 1000,
    list_v2: true,
    encodes: true,
    next_marker: false,
    hours: 0,
    part_least: 5 << 20,
    etag: Etag::Md5,
    etag_of_parts: true,
    sum: Some(Sum {
        header: "x-amz-checksum-crc64nvme",
        algorithm: CrcAlgorithm::Crc64Nvme,
        decimal: false,
        asked: true,
        part: "",
    }),
    trailers: true,
    names: Names {
        most: 1024,
        begin: b"",
        never: b"",
        dots: false,
        codes: ("InvalidURI", "KeyTooLongError"),
    },
    metadata: Metadata { most: 2048, each: 2048, strict: false },
    exists: None,
    if_none_match: true,
    classes: &[
        "STANDARD",
        "STANDARD_IA",
        "ONEZONE_IA",
        "REDUCED_REDUNDANCY",
        "INTELLIGENT_TIERING",
        "GLACIER_IR",
        "GLACIER",
        "DEEP_ARCHIVE",
    ],
    content_type: "binary/octet-stream",
    skewed: (403, "RequestTimeTooSkewed"),
    expired: (400, "ExpiredToken"),
};

const OSS: Rules = Rules {
    server: "AliyunOSS",
    request_ids: &["x-oss-request-id"],
    prefix: "x-oss-",
    service: "oss-",
    path_style: false,
    page: 100,
    next_marker: true,
    part_least: 100 << 10,
    etag: Etag::UpperMd5,
    etag_of_parts: false,
    sum: Some(Sum {
        header: "x-oss-hash-crc64ecma",
        algorithm: CrcAlgorithm::Crc64Xz,
        decimal: true,
        asked: false,
        part: "HashCrc64ecma",
    }),
    trailers: false,
    names: Names {
        most: 1023,
        begin: b"/\\",
        never: b"",
        dots: false,
        codes: ("InvalidObjectName", "InvalidObjectName"),
    },
    metadata: Metadata { most: 8192, each: 8192, strict: true },
    exists: Some((409, "FileAlreadyExists")),
    classes: &["Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive"],
    content_type: "application/octet-stream",
    expired: (403, "SecurityTokenExpired"),
    ..S3
};

const COS: Rules = Rules {
    server: "tencent-cos",
    request_ids: &["x-cos-request-id"],
    prefix: "x-cos-",
    service: "cos",
    path_style: false,
    list_v2: false,
    next_marker: true,
    part_least: 1 << 20,
    etag_of_parts: false,
    sum: Some(Sum {
        header: "x-cos-hash-crc64ecma",
        algorithm: CrcAlgorithm::Crc64Xz,
        decimal: true,
        asked: false,
        part: "",
    }),
    trailers: false,
    // Control characters 0x18 to 0x1B are refused (COS, "Object overview").
    names: Names {
        most: 850,
        begin: b"/\\",
        never: b"\x18\x19\x1a\x1b",
        dots: false,
        codes: ("InvalidObjectName", "KeyTooLong"),
    },
    metadata: Metadata { most: 4096, each: 2048, strict: true },
    exists: Some((409, "FileAlreadyExists")),
    if_none_match: false,
    classes: &[
        "STANDARD",
        "STANDARD_IA",
        "INTELLIGENT_TIERING",
        "ARCHIVE",
        "DEEP_ARCHIVE",
        "MAZ_STANDARD",
        "MAZ_STANDARD_IA",
    ],
    content_type: "application/octet-stream",
    expired: (403, "ExpiredToken"),
    ..S3
};

const BOS: Rules = Rules {
    server: "BceBos",
    request_ids: &["x-amz-request-id", "x-bce-request-id"],
    region: "bj",
    part_least: 100 << 10,
    etag_of_parts: false,
    sum: Some(Sum {
        header: "x-amz-checksum-crc32",
        algorithm: CrcAlgorithm::Crc32IsoHdlc,
        decimal: false,
        asked: false,
        part: "",
    }),
    trailers: false,
    // The SDK refuses `.` and `..` segments "in line with the server" (baidubce `bos_handler.py`), and reading
    // a key that begins with `/`.
    names: Names { most: 1024, begin: b"/", never: b"", dots: true, codes: ("InvalidURI", "KeyTooLong") },
    exists: Some((412, "PreconditionFailed")),
    classes: &["STANDARD", "STANDARD_IA", "COLD", "ARCHIVE"],
    content_type: "application/octet-stream",
    skewed: (400, "RequestExpired"),
    expired: (403, "SessionTokenExpired"),
    ..S3
};

const KS3: Rules = Rules {
    server: "KS3",
    request_ids: &["x-kss-request-id", "x-amz-request-id"],
    region: "BEIJING",
    service: "ks3-",
    path_style: false,
    next_marker: true,
    hours: 8,
    etag_of_parts: false,
    sum: Some(Sum {
        header: "x-amz-checksum-crc64ecma",
        algorithm: CrcAlgorithm::Crc64Xz,
        decimal: true,
        asked: false,
        part: "ChecksumCRC64ECMA",
    }),
    trailers: false,
    metadata: Metadata { most: 8192, each: 8192, strict: false },
    exists: Some((409, "FileAlreadyExists")),
    if_none_match: false,
    classes: &["STANDARD", "STANDARD_IA", "DEEP_IA", "ARCHIVE", "COLD_ARCHIVE", "DEEP_COLD_ARCHIVE"],
    content_type: "application/octet-stream",
    expired: (403, "SecurityTokenExpired"),
    ..S3
};

const QINIU: Rules = Rules {
    server: "Kodo",
    request_ids: &["x-reqid", "x-amz-request-id"],
    region: "cn-east-1",
    encodes: false,
    etag: Etag::Qetag,
    etag_of_parts: false,
    sum: None,
    trailers: false,
    names: Names { most: 750, begin: b"", never: b"", dots: false, codes: ("InvalidURI", "KeyTooLongError") },
    if_none_match: false,
    classes: &["STANDARD", "LINE", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE", "INTELLIGENT_TIERING"],
    content_type: "application/octet-stream",
    ..S3
};
