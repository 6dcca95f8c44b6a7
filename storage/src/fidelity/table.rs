//! The table: one row a type of endpoint, every figure from the vendor's pages.

use conf::job::EndpointType;

use super::Property::{
    Acl, CacheControl, ContentDisposition, ContentEncoding, ContentLanguage, ContentType, DirectoryMarker,
    Expires, LastModified, StorageClass, Symlink, Tags as TagsOf,
};
use super::Way::{As, Asked, Yes};
use super::{Metadata, Names, Property, Service, Tags, Values, Way};

/// In the order of the documents.
pub(super) static SERVICES: [&Service; 10] =
    [&S3, &OSS, &COS, &BOS, &KS3, &QINIU, &AZURE, &YOUPAI, &HTTP, &LOCAL];

const MTIME: Way = As("as user metadata `mtime` (`record_mtime`)");
const CLASS: Way = Asked("storage_class, storage_classes");
const ENCODED: Way = As("user metadata, names and values encoded");

/// What answers to a GET tell in the S3 family.
const READ: &[(Property, Way)] = &[
    (ContentType, Yes),
    (ContentEncoding, Yes),
    (ContentLanguage, Yes),
    (ContentDisposition, Yes),
    (CacheControl, Yes),
    (Expires, Yes),
    (Property::Metadata, Yes),
    (LastModified, Yes),
    (StorageClass, Yes),
    (DirectoryMarker, Yes),
];

/// What requests to write carry in it.
const WRITE: &[(Property, Way)] = &[
    (ContentType, Yes),
    (ContentEncoding, Yes),
    (ContentLanguage, Yes),
    (ContentDisposition, Yes),
    (CacheControl, Yes),
    (Expires, Yes),
    (Property::Metadata, ENCODED),
    (LastModified, MTIME),
    (StorageClass, CLASS),
    (Acl, Asked("acl")),
    (DirectoryMarker, Yes),
];

const READ_TAGS: &[(Property, Way)] = &[
    (ContentType, Yes),
    (ContentEncoding, Yes),
    (ContentLanguage, Yes),
    (ContentDisposition, Yes),
    (CacheControl, Yes),
    (Expires, Yes),
    (Property::Metadata, Yes),
    (LastModified, Yes),
    (StorageClass, Yes),
    (TagsOf, Asked("carry_tags")),
    (Acl, Asked("carry_acl")),
    (DirectoryMarker, Yes),
];

const WRITE_TAGS: &[(Property, Way)] = &[
    (ContentType, Yes),
    (ContentEncoding, Yes),
    (ContentLanguage, Yes),
    (ContentDisposition, Yes),
    (CacheControl, Yes),
    (Expires, Yes),
    (Property::Metadata, ENCODED),
    (LastModified, MTIME),
    (StorageClass, CLASS),
    (TagsOf, Asked("carry_tags")),
    (Acl, Asked("acl, carry_acl")),
    (DirectoryMarker, Yes),
];

/// Amazon S3: "PUT request header is limited to 8 KB, user-defined metadata to 2 KB", counted in UTF-8; values
/// in RFC 2047 are decoded before they are stored (user guide, "Working with object metadata").
pub(super) static S3: Service = Service {
    kind: EndpointType::S3,
    name: "s3",
    read: READ_TAGS,
    write: WRITE_TAGS,
    metadata: Some(Metadata {
        prefix: "x-amz-meta-",
        most: 2048,
        each: 2048,
        names: Names::Token,
        values: Values::Rfc2047,
        one_space: true,
    }),
    // "Categorizing your storage using tags".
    tags: Some(Tags { most: 10, name: 128, value: 256, signs: "+-=._:/@" }),
};

/// OBS over S3: names of letters, digits and hyphens, values of ASCII, which its own SDK percent-encodes. RFC 2047
/// would stay there as it is written.
pub(super) static S3_AT_OBS: Service =
    Service { metadata: Some(Metadata { names: Names::Hyphens, ..PERCENT_OVER_S3 }), ..S3 };

/// TOS and Google over S3: nobody says that they decode RFC 2047; TOS's own SDK percent-encodes.
pub(super) static S3_AT_OTHERS: Service = Service { metadata: Some(PERCENT_OVER_S3), ..S3 };

const PERCENT_OVER_S3: Metadata = Metadata {
    prefix: "x-amz-meta-",
    most: 2048,
    each: 2048,
    names: Names::Token,
    values: Values::Percent,
    one_space: true,
};

/// Alibaba Cloud OSS: PutObject ("x-oss-meta-*: 8 KB in all; letters, digits and hyphens"), PutObjectTagging,
/// PutObjectACL, PutSymlink.
pub(super) static OSS: Service = Service {
    kind: EndpointType::Oss,
    name: "oss",
    read: &[
        (ContentType, Yes),
        (ContentEncoding, Yes),
        (ContentLanguage, Yes),
        (ContentDisposition, Yes),
        (CacheControl, Yes),
        (Expires, Yes),
        (Property::Metadata, Yes),
        (LastModified, Yes),
        (StorageClass, Yes),
        (TagsOf, Asked("carry_tags")),
        (Acl, Asked("carry_acl")),
        (Symlink, Asked("symlinks")),
        (DirectoryMarker, Yes),
    ],
    write: &[
        (ContentType, Yes),
        (ContentEncoding, Yes),
        (ContentLanguage, Yes),
        (ContentDisposition, Yes),
        (CacheControl, Yes),
        (Expires, Yes),
        (Property::Metadata, ENCODED),
        (LastModified, MTIME),
        (StorageClass, CLASS),
        (TagsOf, Asked("carry_tags")),
        (Acl, Asked("acl, carry_acl")),
        (Symlink, Asked("symlinks")),
        (DirectoryMarker, Yes),
    ],
    metadata: Some(Metadata {
        prefix: "x-oss-meta-",
        most: 8192,
        each: 8192,
        names: Names::Hyphens,
        values: Values::Percent,
        one_space: false,
    }),
    tags: Some(Tags { most: 10, name: 128, value: 256, signs: "+-=._:/" }),
};

/// Tencent COS: PUT Object ("x-cos-meta-*: 4 KB in all, 2 KB each"), GET Object tagging.
static COS: Service = Service {
    kind: EndpointType::Cos,
    name: "cos",
    read: READ_TAGS,
    write: WRITE_TAGS,
    metadata: Some(Metadata {
        prefix: "x-cos-meta-",
        most: 4096,
        each: 2048,
        names: Names::Hyphens,
        values: Values::Percent,
        one_space: false,
    }),
    tags: Some(Tags { most: 10, name: 127, value: 255, signs: "+-=._:/" }),
};

/// Baidu BOS through its S3 interface ("user metadata: 2 KB").
static BOS: Service = Service {
    kind: EndpointType::Bos,
    name: "bos",
    read: READ,
    write: WRITE,
    metadata: Some(Metadata {
        prefix: "x-amz-meta-",
        most: 2048,
        each: 2048,
        names: Names::Token,
        values: Values::Percent,
        one_space: true,
    }),
    tags: None,
};

/// Kingsoft KS3 through its S3 interface.
static KS3: Service = Service {
    kind: EndpointType::Ks3,
    name: "ks3",
    read: READ,
    write: WRITE,
    metadata: Some(Metadata {
        prefix: "x-amz-meta-",
        most: 8192,
        each: 8192,
        names: Names::Token,
        values: Values::Percent,
        one_space: true,
    }),
    tags: None,
};

/// Qiniu Kodo through its S3 interface, which has no lists of access.
static QINIU: Service = Service {
    kind: EndpointType::Qiniu,
    name: "qiniu",
    read: READ,
    write: &[
        (ContentType, Yes),
        (ContentEncoding, Yes),
        (ContentLanguage, Yes),
        (ContentDisposition, Yes),
        (CacheControl, Yes),
        (Expires, Yes),
        (Property::Metadata, ENCODED),
        (LastModified, MTIME),
        (StorageClass, CLASS),
        (DirectoryMarker, Yes),
    ],
    metadata: Some(Metadata {
        prefix: "x-amz-meta-",
        most: 2048,
        each: 2048,
        names: Names::Token,
        values: Values::Percent,
        one_space: true,
    }),
    tags: None,
};

/// Azure Blob: "Setting and retrieving properties and metadata" (8 KiB; names are C# identifiers). No `Expires`.
static AZURE: Service = Service {
    kind: EndpointType::Azure,
    name: "azure",
    read: &[
        (ContentType, Yes),
        (ContentEncoding, Yes),
        (ContentLanguage, Yes),
        (ContentDisposition, Yes),
        (CacheControl, Yes),
        (Property::Metadata, Yes),
        (LastModified, Yes),
        (StorageClass, Yes),
        (DirectoryMarker, Yes),
    ],
    write: &[
        (ContentType, Yes),
        (ContentEncoding, Yes),
        (ContentLanguage, Yes),
        (ContentDisposition, Yes),
        (CacheControl, Yes),
        (Property::Metadata, ENCODED),
        (LastModified, MTIME),
        (StorageClass, CLASS),
        (DirectoryMarker, Yes),
    ],
    metadata: Some(Metadata {
        prefix: "x-ms-meta-",
        most: 8192,
        each: 8192,
        names: Names::Identifier,
        values: Values::Percent,
        one_space: false,
    }),
    tags: None,
};

/// What a file of UPYUN does not come with is looked for in its metadata, where the adapter has put it.
const HOME: Way = As("from user metadata of that name");

/// UPYUN's REST interface: `Content-Type` and `x-upyun-meta-*`.
static YOUPAI: Service = Service {
    kind: EndpointType::Youpai,
    name: "youpai",
    read: &[
        (ContentType, Yes),
        (ContentEncoding, HOME),
        (ContentLanguage, HOME),
        (ContentDisposition, HOME),
        (CacheControl, HOME),
        (Expires, HOME),
        (Property::Metadata, Yes),
        (LastModified, Yes),
        (DirectoryMarker, As("a folder that holds nothing")),
    ],
    write: &[
        (ContentType, Yes),
        (Property::Metadata, ENCODED),
        (LastModified, MTIME),
        (DirectoryMarker, As("as a folder")),
    ],
    metadata: Some(Metadata {
        prefix: "x-upyun-meta-",
        most: 2048,
        each: 2048,
        names: Names::Hyphens,
        values: Values::Percent,
        one_space: false,
    }),
    tags: None,
};

/// What any web server may say (RFC 9110, RFC 9111). Only a source.
static HTTP: Service = Service {
    kind: EndpointType::Http,
    name: "http",
    read: &[
        (ContentType, Yes),
        (ContentEncoding, Yes),
        (ContentLanguage, Yes),
        (ContentDisposition, Yes),
        (CacheControl, Yes),
        (Expires, Yes),
        (Property::Metadata, As("of the services that are known by their headers")),
        (LastModified, Yes),
    ],
    write: &[],
    metadata: None,
    tags: None,
};

/// A directory tree.
static LOCAL: Service = Service {
    kind: EndpointType::Local,
    name: "local",
    read: &[
        (ContentType, As("from the ending of the name")),
        (LastModified, As("the file's time")),
        (Symlink, Asked("follow_symlinks")),
        (DirectoryMarker, As("a directory that holds nothing")),
    ],
    write: &[
        (ContentType, As("in the ending of the name; another one is reported")),
        (LastModified, As("as the file's time")),
        (DirectoryMarker, As("as a directory")),
    ],
    metadata: None,
    tags: None,
};
