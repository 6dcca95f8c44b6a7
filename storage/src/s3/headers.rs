//! Content headers, user metadata and checksums of an answer.

use http::HeaderMap;

use crate::answered::{self, header, text};
use crate::checksum::md5_of_etag;
use crate::dialect::Dialect;
use crate::fidelity::Service;
use crate::meta::{Checksums, Headers, ObjectMeta};

/// An object's metadata from the answer to HEAD or GET; `size` is of the whole object.
pub(super) fn meta(dialect: &Dialect, carries: &Service, headers: &HeaderMap, size: u64) -> ObjectMeta {
    let etag = etag(headers);
    let class =
        ["storage-class", "object-type"].map(|name| header(headers, &format!("{}{name}", dialect.prefix)));
    let [class, kind] = class;
    let mut kept_back = kept_back(dialect, headers);
    let content = answered::content(headers, &mut kept_back);
    let content_encoding = content.content_encoding.clone().and_then(stored_encoding);
    let user = user(dialect, carries, headers, &mut kept_back);
    ObjectMeta {
        size,
        modified_ms: http_time(&header(headers, "last-modified")).map(|time| time.as_millisecond()),
        class: plain_class(&class, &kind),
        headers: Headers { user, content_encoding, ..content },
        checksums: stated(dialect, headers, etag.as_deref()),
        etag,
        kept_back,
    }
}

/// The class or type where it is not the plain one.
pub(super) fn plain_class(class: &str, kind: &str) -> Option<String> {
    if kind == "Symlink" {
        return Some("Symlink".into());
    }
    (!class.is_empty() && !class.eq_ignore_ascii_case("standard")).then(|| class.to_owned())
}

/// Without quotes and the mark of weak ones.
pub(crate) fn bare_etag(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

pub(crate) fn etag(headers: &HeaderMap) -> Option<String> {
    let etag = header(headers, "etag");
    let bare = bare_etag(&etag);
    (!bare.is_empty()).then(|| bare.to_owned())
}

/// RFC 9110, 5.6.7.
pub(crate) fn http_time(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// What the service itself says of the bytes. The MD5 that an ETag spells is taken only where no CRC is
/// stated: it is dear to compare.
pub(super) fn stated(dialect: &Dialect, headers: &HeaderMap, etag: Option<&str>) -> Checksums {
    let mut sums = Checksums::default();
    // A composite checksum is one of checksums, not of the bytes.
    let composite = dialect.prefix == "x-amz-"
        && header(headers, "x-amz-checksum-type").eq_ignore_ascii_case("COMPOSITE");
    // That of a range is the checksum of a part, if of anything.
    let of_all = dialect.sums_with_ranges || !headers.contains_key("content-range");
    if !composite && of_all {
        for sum in dialect.sums {
            if let Some(value) = sum.of(headers) {
                sum.put(value, &mut sums);
            }
        }
    }
    if sums == Checksums::default() && etag_is_md5(dialect, headers) {
        sums.md5 = etag.and_then(md5_of_etag);
    }
    sums
}

/// Not with keys of a key service, nor for objects that were appended to.
pub(super) fn etag_is_md5(dialect: &Dialect, headers: &HeaderMap) -> bool {
    if !dialect.etag_is_md5 {
        return false;
    }
    let encryption = header(headers, &format!("{}server-side-encryption", dialect.prefix));
    let customer = header(headers, &format!("{}server-side-encryption-customer-algorithm", dialect.prefix));
    let kind = header(headers, "x-oss-object-type");
    !encryption.to_ascii_lowercase().contains("kms")
        && customer.is_empty()
        && matches!(kind.as_str(), "" | "Normal")
}

/// `aws-chunked` is the form in which an upload's body travelled; some services keep it as if it were one of the bytes
/// (Amazon S3 API reference, "Signature calculations: transferring payload in multiple chunks").
fn stored_encoding(value: String) -> Option<String> {
    if !is_chunked(&value) {
        return Some(value);
    }
    let rest = value.split(',').map(str::trim).filter(|one| !one.is_empty() && !is_chunked(one));
    Some(rest.collect::<Vec<_>>().join(",")).filter(|rest| !rest.is_empty())
}

fn is_chunked(value: &str) -> bool {
    value.split(',').any(|one| one.trim().eq_ignore_ascii_case("aws-chunked"))
}

/// User metadata of an answer, sorted by name. Some services say it twice, under both prefixes.
pub(super) fn user(
    dialect: &Dialect,
    carries: &Service,
    headers: &HeaderMap,
    kept_back: &mut Vec<String>,
) -> Vec<(String, String)> {
    let Some(metadata) = &carries.metadata else { return Vec::new() };
    let found = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        let also =
            || name.strip_prefix(dialect.also).filter(|_| !dialect.also.is_empty())?.strip_prefix("meta-");
        let name = name.strip_prefix(metadata.prefix).or_else(also)?;
        Some((name.to_owned(), metadata.decode(&text(value))))
    });
    answered::user(found, kept_back)
}

/// What an object has and nobody carries. S3 counts the metadata that it does not give back, because no header can
/// hold it (user guide, "Working with object metadata").
fn kept_back(dialect: &Dialect, headers: &HeaderMap) -> Vec<String> {
    let mut notes = Vec::new();
    match headers.get("x-amz-missing-meta").map(text) {
        Some(count) if count != "0" => {
            notes.push(format!("metadata: the source keeps {count} of its entries back"));
        }
        _ => {}
    }
    if headers.get("content-encoding").is_some_and(|value| is_chunked(&text(value))) {
        notes.push("content-encoding: aws-chunked was the form of an upload".to_owned());
    }
    let own = |name: &str| headers.get(format!("{}{name}", dialect.prefix)).map(text);
    if let Some(to) = own("website-redirect-location") {
        notes.push(format!("website-redirect-location {to:?}: it is not carried"));
    }
    if let Some(mode) = own("object-lock-mode") {
        let until = own("object-lock-retain-until-date").unwrap_or_default();
        notes.push(format!("object-lock: {mode} until {until} is not carried"));
    }
    if own("object-lock-legal-hold").is_some_and(|hold| hold.eq_ignore_ascii_case("ON")) {
        notes.push("object-lock: its legal hold is not carried".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests {
    use conf::job::EndpointType;

    use super::*;
    use crate::dialect::{OSS, S3};
    use crate::fidelity;

    #[test]
    fn what_is_not_utf_8_is_read_as_latin_1_and_what_s3_keeps_back_is_told() {
        let mut answer = HeaderMap::new();
        let value = |bytes: &[u8]| http::HeaderValue::from_bytes(bytes).unwrap();
        answer.insert("x-amz-meta-latin", value(b"Gr\xfc\xdfe"));
        answer.insert("x-amz-meta-utf8", value("Grüße".as_bytes()));
        answer.insert("content-disposition", value(b"attachment; filename=gr\xfc.txt"));
        answer.insert("x-amz-missing-meta", value(b"2"));
        let found = meta(&S3, fidelity::of(EndpointType::S3), &answer, 1);
        assert!(found.headers.user.iter().all(|(_, value)| value == "Grüße"), "{:?}", found.headers);
        assert_eq!(found.headers.content_disposition.unwrap(), "attachment; filename=grü.txt");
        assert_eq!(found.kept_back.len(), 1);
    }

    #[test]
    fn what_is_no_encoding_of_the_bytes_and_what_nobody_carries_is_told() {
        let of = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            meta(&S3, fidelity::of(EndpointType::S3), &pairs.collect::<HeaderMap>(), 1)
        };
        for (given, stored) in [
            ("gzip", Some("gzip")),
            ("aws-chunked", None),
            ("gzip,aws-chunked", Some("gzip")),
            ("AWS-Chunked, br , gzip", Some("br,gzip")),
        ] {
            let found = of(&[("content-encoding", given)]);
            assert_eq!(found.headers.content_encoding.as_deref(), stored, "{given}");
            assert_eq!(found.kept_back.len(), usize::from(given != "gzip"), "{given}");
        }
        let found = of(&[
            ("x-amz-website-redirect-location", "/other"),
            ("x-amz-object-lock-mode", "GOVERNANCE"),
            ("x-amz-object-lock-retain-until-date", "2030-01-01T00:00:00Z"),
            ("x-amz-object-lock-legal-hold", "ON"),
        ]);
        assert_eq!(found.kept_back.len(), 3, "{:?}", found.kept_back);
        assert!(of(&[("x-amz-object-lock-legal-hold", "OFF")]).kept_back.is_empty());
    }

    #[test]
    fn checksums_in_the_services_forms() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-checksum-crc64nvme", "rosUhgp5mIg=".parse().unwrap());
        assert_eq!(stated(&S3, &headers, None).crc64nvme, Some(0xae8b_1486_0a79_9888));
        headers.insert("x-amz-checksum-type", "COMPOSITE".parse().unwrap());
        assert_eq!(stated(&S3, &headers, None).crc64nvme, None);
        headers.insert("x-oss-hash-crc64ecma", "11051210869376104954".parse().unwrap());
        assert_eq!(stated(&OSS, &headers, None).crc64ecma, Some(0x995d_c9bb_df19_39fa));
    }
}
