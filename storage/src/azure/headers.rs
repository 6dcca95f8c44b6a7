//! Content headers, user metadata and checksums: from an answer, and into a request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conf::job::EndpointType;
use http::{HeaderMap, StatusCode};

use crate::answered::{self, header, text};
use crate::fidelity::{self, Carried};
use crate::meta::{Checksums, Headers, ObjectMeta};
use crate::s3::{etag, http_time};

/// What marks a directory of a hierarchical namespace. It is the service's own and is not carried.
const FOLDER: &str = "hdi_isfolder";

/// An object's metadata from the answer to Get Blob or Get Blob Properties; `size` is of the whole object.
pub(super) fn meta(headers: &HeaderMap, status: StatusCode, size: u64) -> ObjectMeta {
    let mut kept_back = Vec::new();
    ObjectMeta {
        size,
        modified_ms: http_time(&header(headers, "last-modified")).map(|time| time.as_millisecond()),
        etag: etag(headers),
        class: class(&header(headers, "x-ms-access-tier")),
        headers: content(headers, &mut kept_back),
        checksums: claimed(headers, status),
        kept_back,
    }
}

/// The tier where it is not the plain one.
pub(super) fn class(tier: &str) -> Option<String> {
    (!tier.is_empty() && !tier.eq_ignore_ascii_case("hot")).then(|| tier.to_owned())
}

/// Is it a directory of a hierarchical namespace?
pub(super) fn is_directory(headers: &HeaderMap) -> bool {
    header(headers, "x-ms-meta-hdi_isfolder").eq_ignore_ascii_case("true")
        || header(headers, "x-ms-resource-type").eq_ignore_ascii_case("directory")
}

/// The MD5 that is stored with a block blob. The service computed it where the blob was written whole, and took its
/// writer's word where it was made of blocks, or where it was set later (Set Blob Properties); nothing tells the one
/// from the other. With the others it may be older than their bytes.
fn claimed(headers: &HeaderMap, status: StatusCode) -> Checksums {
    let kind = header(headers, "x-ms-blob-type");
    if !kind.is_empty() && kind != "BlockBlob" {
        return Checksums::default();
    }
    // Of a range, Content-MD5 is the range's.
    let whole = header(headers, "x-ms-blob-content-md5");
    let text = match (whole.is_empty(), status) {
        (false, _) => whole,
        (true, StatusCode::PARTIAL_CONTENT) => String::new(),
        (true, _) => header(headers, "content-md5"),
    };
    let md5 = md5(&text);
    Checksums { md5, claimed: md5.is_some(), ..Checksums::default() }
}

/// What the service computed of the bytes of a request: its CRC-64, or else their MD5.
pub(super) fn computed(headers: &HeaderMap) -> Checksums {
    match crc(headers) {
        Some(crc) => Checksums { crc64nvme: Some(crc), ..Checksums::default() },
        None => Checksums { md5: md5(&header(headers, "content-md5")), ..Checksums::default() },
    }
}

/// The CRC-64 that the service computed.
pub(super) fn crc(headers: &HeaderMap) -> Option<u64> {
    let bytes = STANDARD.decode(header(headers, "x-ms-content-crc64")).ok()?;
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// CRC-64/NVME, the least significant byte first.
pub(super) fn crc_text(crc: u64) -> String {
    STANDARD.encode(crc.to_le_bytes())
}

fn md5(text: &str) -> Option<[u8; 16]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn content(headers: &HeaderMap, kept_back: &mut Vec<String>) -> Headers {
    let found = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("x-ms-meta-").filter(|name| *name != FOLDER)?;
        Some((name.to_owned(), text(value)))
    });
    let user = answered::user(found, kept_back);
    Headers { expires: None, user, ..answered::content(headers, kept_back) }
}

/// Headers of a write by their names on the wire, and what of them cannot be carried or changes on the way.
pub(super) fn for_write(headers: &Headers) -> Result<Carried, String> {
    let (pairs, mut notes) = fidelity::of(EndpointType::Azure).encode(headers)?;
    let mut out = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        let Some(user) = name.strip_prefix("x-ms-meta-") else {
            out.push((format!("x-ms-blob-{name}"), value));
            continue;
        };
        if user == FOLDER {
            notes.push(format!("metadata {user}: with it, Azure Blob would take the blob for a directory"));
        } else if value.is_empty() {
            notes.push(format!("metadata {user}: Azure Blob keeps no empty values"));
        } else {
            out.push((name, value));
        }
    }
    Ok((out, notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(pairs: &[(&str, &str)]) -> Headers {
        Headers {
            user: pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect(),
            ..Headers::default()
        }
    }

    #[test]
    fn nothing_is_dropped_or_changed_silently() {
        let given = [
            ("plain", "a  b"),
            ("owner-id", "1"),
            ("city", "Zürich"),
            ("none", ""),
            ("hdi_isfolder", "true"),
            ("2nd", "x"),
        ];
        let headers = Headers {
            content_type: Some("text/plain".into()),
            cache_control: Some("no-cache".into()),
            expires: Some("0".into()),
            ..user(&given)
        };
        let (out, notes) = for_write(&headers).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            out,
            [
                pair("x-ms-blob-content-type", "text/plain"),
                pair("x-ms-blob-cache-control", "no-cache"),
                pair("x-ms-meta-plain", "a  b"),
                pair("x-ms-meta-owner_id", "1"),
                pair("x-ms-meta-city", "Z%C3%BCrich"),
            ]
        );
        for about in ["expires", "owner-id", "city", "none", "hdi_isfolder", "2nd"] {
            assert!(notes.iter().any(|note| note.contains(about)), "{about}: {notes:?}");
        }
        assert!(for_write(&user(&[("big", &"x".repeat(9000))])).is_err());
    }

    #[test]
    fn the_crc_is_written_with_the_least_significant_byte_first() {
        assert_eq!(crc_text(0xae8b_1486_0a79_9888), "iJh5CoYUi64=");
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-content-crc64", "iJh5CoYUi64=".parse().unwrap());
        assert_eq!(computed(&headers).crc64nvme, Some(0xae8b_1486_0a79_9888));
        assert_eq!(
            crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, b"123456789"),
            0xae8b_1486_0a79_9888
        );
    }

    #[test]
    fn a_stored_md5_counts_for_block_blobs_and_whole_answers() {
        let mut headers = HeaderMap::new();
        headers.insert("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==".parse().unwrap());
        let stored = claimed(&headers, StatusCode::OK);
        assert!(stored.md5.is_some() && stored.claimed && stored.vouched() == Checksums::default());
        assert!(claimed(&headers, StatusCode::PARTIAL_CONTENT).md5.is_none());
        headers.insert("x-ms-blob-content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==".parse().unwrap());
        assert_eq!(claimed(&headers, StatusCode::PARTIAL_CONTENT).md5.unwrap()[0], 0xd4);
        headers.insert("x-ms-blob-type", "AppendBlob".parse().unwrap());
        assert!(claimed(&headers, StatusCode::OK).md5.is_none());
    }
}
