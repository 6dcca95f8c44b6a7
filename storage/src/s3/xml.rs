//! Documents of the family. Unknown elements are passed over; missing ones are empty.

use crc_fast::CrcAlgorithm;
use quick_xml::de::from_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::dialect::Sum;

/// A document of the family. Any other one must not be read as an empty one of its kind: a proxy's page would
/// be a bucket without objects.
pub(super) trait Document: DeserializeOwned {
    /// Names of the root element.
    const ROOTS: &'static [&'static str];
}

/// A page of `ListObjects` or `ListObjectsV2`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listing {
    /// Not every server says it.
    pub(super) is_truncated: Option<bool>,
    #[serde(alias = "Encoding-Type", alias = "Encoding-type")]
    pub(super) encoding_type: String,
    pub(super) next_continuation_token: String,
    pub(super) next_marker: String,
    pub(super) contents: Vec<Contents>,
    pub(super) common_prefixes: Vec<CommonPrefix>,
}

impl Document for Listing {
    const ROOTS: &'static [&'static str] = &["ListBucketResult"];
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Contents {
    pub(super) key: String,
    pub(super) last_modified: String,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    /// Missing in nothing that is a listing; 0 must not be made up.
    pub(super) size: Option<u64>,
    pub(super) storage_class: String,
    /// OSS: Normal, Multipart, Appendable, Symlink.
    #[serde(rename = "Type")]
    pub(super) kind: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CommonPrefix {
    pub(super) prefix: String,
}

/// `InitiateMultipartUploadResult`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Begun {
    pub(super) upload_id: String,
}

impl Document for Begun {
    const ROOTS: &'static [&'static str] = &["InitiateMultipartUploadResult"];
}

/// `ListPartsResult`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Parts {
    pub(super) is_truncated: bool,
    pub(super) next_part_number_marker: String,
    pub(super) part: Vec<Part>,
}

impl Document for Parts {
    const ROOTS: &'static [&'static str] = &["ListPartsResult", "ListPartsResponse"];
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Part {
    pub(super) part_number: u32,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    pub(super) size: u64,
    /// OSS and KS3, decimal.
    #[serde(alias = "ChecksumCRC64ECMA")]
    pub(super) hash_crc64ecma: String,
    #[serde(rename = "ChecksumCRC64NVME")]
    pub(super) crc64nvme: String,
    #[serde(rename = "ChecksumCRC32")]
    pub(super) crc32: String,
}

impl Part {
    /// What the list states of its bytes.
    pub(super) fn crc(&self, sum: &Sum) -> Option<u64> {
        sum.read(match sum.algorithm {
            CrcAlgorithm::Crc64Xz => &self.hash_crc64ecma,
            CrcAlgorithm::Crc64Nvme => &self.crc64nvme,
            _ => &self.crc32,
        })
    }
}

/// `CompleteMultipartUploadResult`, `CopyObjectResult` and `CopyPartResult`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Completed {
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    #[serde(rename = "ChecksumCRC64NVME")]
    pub(super) crc64nvme: String,
    #[serde(rename = "ChecksumCRC64ECMA")]
    pub(super) crc64ecma: String,
    #[serde(rename = "ChecksumCRC32")]
    pub(super) crc32: String,
    /// A composite checksum is one of checksums, not of the bytes.
    pub(super) checksum_type: String,
}

impl Completed {
    /// What it states of the whole object.
    pub(super) fn crc(&self, sum: &Sum) -> Option<u64> {
        if self.checksum_type.eq_ignore_ascii_case("COMPOSITE") {
            return None;
        }
        sum.read(match sum.algorithm {
            CrcAlgorithm::Crc64Xz => &self.crc64ecma,
            CrcAlgorithm::Crc64Nvme => &self.crc64nvme,
            _ => &self.crc32,
        })
    }
}

impl Document for Completed {
    const ROOTS: &'static [&'static str] =
        &["CompleteMultipartUploadResult", "CopyObjectResult", "CopyPartResult"];
}

/// `ListMultipartUploadsResult`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Uploads {
    pub(super) is_truncated: bool,
    #[serde(alias = "Encoding-Type", alias = "Encoding-type")]
    pub(super) encoding_type: String,
    pub(super) next_key_marker: String,
    pub(super) next_upload_id_marker: String,
    pub(super) upload: Vec<Upload>,
}

impl Document for Uploads {
    const ROOTS: &'static [&'static str] = &["ListMultipartUploadsResult"];
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) upload_id: String,
    pub(super) initiated: String,
}

/// `DeleteResult`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Deleted {
    pub(super) error: Vec<DeleteError>,
}

impl Document for Deleted {
    const ROOTS: &'static [&'static str] = &["DeleteResult"];
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DeleteError {
    pub(super) key: String,
    pub(super) code: String,
    pub(super) message: String,
}

/// `Tagging`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Tagging {
    pub(super) tag_set: TagSet,
}

impl Document for Tagging {
    const ROOTS: &'static [&'static str] = &["Tagging"];
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct TagSet {
    pub(super) tag: Vec<Tag>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}

/// `AccessControlPolicy` of S3 and COS.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Policy {
    pub(super) owner: Grantee,
    pub(super) access_control_list: Grants,
}

impl Document for Policy {
    const ROOTS: &'static [&'static str] = &["AccessControlPolicy"];
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Grants {
    pub(super) grant: Vec<Grant>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Grant {
    pub(super) grantee: Grantee,
    pub(super) permission: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Grantee {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(rename = "URI")]
    pub(super) uri: String,
}

/// `AccessControlPolicy` of OSS, which has canned lists alone.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CannedPolicy {
    pub(super) access_control_list: CannedGrant,
}

impl Document for CannedPolicy {
    const ROOTS: &'static [&'static str] = &["AccessControlPolicy"];
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CannedGrant {
    pub(super) grant: String,
}

/// An error document; `code` is empty where it is none.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) request_id: String,
    pub(super) region: String,
    pub(super) endpoint: String,
    pub(super) server_time: String,
}

/// The same in JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonRefusal {
    #[serde(alias = "Code")]
    code: String,
    #[serde(alias = "Message", alias = "error")]
    message: String,
    #[serde(alias = "RequestId")]
    request_id: String,
}

impl From<JsonRefusal> for Refusal {
    fn from(said: JsonRefusal) -> Self {
        let request_id = said.request_id.trim().to_owned();
        Refusal { code: said.code, message: said.message, request_id, ..Refusal::default() }
    }
}

/// Reads a document. Says what does not fit.
pub(super) fn parse<T: Document>(body: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the answer is not UTF-8".to_owned())?;
    let root = root(text).unwrap_or_default();
    if !T::ROOTS.contains(&root) {
        // An error shows far less of it, when secrets are out of it.
        let begin: String = text.chars().take(4_000).collect();
        return Err(format!("the answer is not a {} (a proxy's page?): {begin}", T::ROOTS.join(" or ")));
    }
    // Servers that write a key's carriage return as it is: XML would read it as a line feed.
    let kept = text.contains('\r').then(|| text.replace('\r', "&#13;"));
    from_str(kept.as_deref().unwrap_or(text))
        .map_err(|error| format!("the answer is not the XML that was expected: {error}"))
}

/// The name of the root element, without its namespace's prefix.
fn root(text: &str) -> Option<&str> {
    let mut rest = text.trim_start_matches('\u{feff}');
    loop {
        rest = rest.get(rest.find('<')? + 1..)?;
        // The declaration, comments and a document type come before it.
        let end = match rest.as_bytes().first()? {
            b'?' => "?>",
            b'!' if rest.starts_with("!--") => "-->",
            b'!' => ">",
            _ => break,
        };
        rest = rest.get(rest.find(end)? + end.len()..)?;
    }
    let name = rest.split(|c: char| c.is_whitespace() || c == '>' || c == '/').next()?;
    Some(name.rsplit(':').next().unwrap_or(name))
}

/// The error document that a body may be.
pub(super) fn refusal(body: &[u8]) -> Refusal {
    let text = String::from_utf8_lossy(body);
    if text.trim_start().starts_with('{') {
        // The vendors' own interfaces (BOS, Qiniu, TOS) answer so, also to requests in the other's form.
        return serde_json::from_str::<JsonRefusal>(&text).map(Refusal::from).unwrap_or_default();
    }
    if root(&text) != Some("Error") {
        return Refusal::default();
    }
    from_str(&text).unwrap_or_default()
}

/// The body of Complete.
pub(super) fn completion<'a>(parts: impl Iterator<Item = (u32, &'a str)>) -> String {
    let mut body = String::from("<CompleteMultipartUpload>");
    for (number, etag) in parts {
        let etag = quick_xml::escape::escape(etag);
        body.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag></Part>"));
    }
    body + "</CompleteMultipartUpload>"
}

/// The body of a batch deletion.
pub(super) fn deletion<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let mut body = String::from("<Delete><Quiet>true</Quiet>");
    for key in keys {
        body.push_str(&format!("<Object><Key>{}</Key></Object>", escape(key)));
    }
    body + "</Delete>"
}

/// Control characters as references: plain XML would lose or refuse them.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_control() => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
