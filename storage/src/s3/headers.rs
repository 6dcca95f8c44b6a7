//! Content headers, user metadata and checksums: from an answer, and into a request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use super::failure::header;
use crate::checksum::md5_of_etag;
use crate::dialect::{Dialect, Scheme, Sum};
use crate::meta::{Checksums, Headers, ObjectMeta};

/// An object's metadata from the answer to HEAD or GET; `size` is of the whole object.
pub(super) fn meta(dialect: &Dialect, headers: &HeaderMap, size: u64) -> ObjectMeta {
    let etag = etag(headers);
    let class =
        ["storage-class", "object-type"].map(|name| header(headers, &format!("{}{name}", dialect.prefix)));
    let [class, kind] = class;
    ObjectMeta {
        size,
        modified_ms: http_time(&header(headers, "last-modified")).map(|time| time.as_millisecond()),
        class: plain_class(&class, &kind),
        headers: content(dialect, headers),
        checksums: stated(dialect, headers, etag.as_deref()),
        etag,
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
pub(super) fn bare_etag(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

pub(super) fn etag(headers: &HeaderMap) -> Option<String> {
    let etag = header(headers, "etag");
    let bare = bare_etag(&etag);
    (!bare.is_empty()).then(|| bare.to_owned())
}

/// RFC 9110, 5.6.7.
pub(super) fn http_time(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// What the service itself says of the bytes. The MD5 that an ETag spells is taken only where no CRC is
/// stated: it is dear to compare.
pub(super) fn stated(dialect: &Dialect, headers: &HeaderMap, etag: Option<&str>) -> Checksums {
    let mut sums = Checksums::default();
    match dialect.sum {
        Sum::Ecma => sums.crc64ecma = header(headers, "x-oss-hash-crc64ecma").parse().ok(),
        Sum::Nvme => {
            // A composite checksum is one of checksums, not of the bytes.
            let whole = !header(headers, "x-amz-checksum-type").eq_ignore_ascii_case("COMPOSITE");
            let text = |name: &str| if whole { header(headers, name) } else { String::new() };
            sums.crc64nvme = big_endian::<8>(&text("x-amz-checksum-crc64nvme")).map(u64::from_be_bytes);
            sums.crc32c = big_endian::<4>(&text("x-amz-checksum-crc32c")).map(u32::from_be_bytes);
        }
    }
    if sums == Checksums::default() && etag_is_md5(dialect, headers) {
        sums.md5 = etag.and_then(md5_of_etag);
    }
    sums
}

/// Not with keys of a key service, nor for objects that were appended to.
fn etag_is_md5(dialect: &Dialect, headers: &HeaderMap) -> bool {
    let encryption = header(headers, &format!("{}server-side-encryption", dialect.prefix));
    let customer = header(headers, &format!("{}server-side-encryption-customer-algorithm", dialect.prefix));
    let kind = header(headers, "x-oss-object-type");
    !encryption.to_ascii_lowercase().contains("kms")
        && customer.is_empty()
        && matches!(kind.as_str(), "" | "Normal")
}

fn big_endian<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// As S3 writes a CRC-64.
pub(super) fn nvme_text(crc: u64) -> String {
    STANDARD.encode(crc.to_be_bytes())
}

/// The CRC-64 that S3 wrote.
pub(super) fn nvme_value(text: &str) -> Option<u64> {
    big_endian::<8>(text).map(u64::from_be_bytes)
}

/// Content headers and user metadata of an answer.
fn content(dialect: &Dialect, headers: &HeaderMap) -> Headers {
    let get = |name: &str| Some(header(headers, name)).filter(|value| !value.is_empty());
    let prefix = format!("{}meta-", dialect.prefix);
    let mut user: Vec<(String, String)> = headers
        .iter()
        .filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(&prefix)?;
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = if dialect.sum == Sum::Nvme { decode_2047(&value) } else { value.into_owned() };
            Some((name.to_owned(), value))
        })
        .collect();
    user.sort();
    Headers {
        content_type: get("content-type"),
        content_encoding: get("content-encoding"),
        content_language: get("content-language"),
        content_disposition: get("content-disposition"),
        cache_control: get("cache-control"),
        expires: get("expires"),
        user,
    }
}

/// Headers as pairs, and notes on what is not carried as it was.
type Carried = (Vec<(String, String)>, Vec<String>);

/// Headers of a write, and what of them cannot be carried or changes on the way.
pub(super) fn for_write(dialect: &Dialect, headers: &Headers) -> Result<Carried, String> {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let fixed = [
        ("content-type", &headers.content_type),
        ("content-encoding", &headers.content_encoding),
        ("content-language", &headers.content_language),
        ("content-disposition", &headers.content_disposition),
        ("cache-control", &headers.cache_control),
        ("expires", &headers.expires),
    ];
    for (name, value) in fixed {
        match value {
            Some(value) if plain(dialect, value) => out.push((name.to_owned(), value.clone())),
            Some(value) if printable(value) => {
                notes.push(format!("{name}: spaces are written as one"));
                out.push((name.to_owned(), value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")));
            }
            Some(_) => notes.push(format!("{name}: it is not printable ASCII, which signed headers must be")),
            None => {}
        }
    }
    let mut size = 0;
    for (name, value) in &headers.user {
        let (name, value) =
            (user_name(dialect, name, &mut notes), user_value(dialect, name, value, &mut notes));
        let Some(name) = name else { continue };
        size += name.len() + value.len();
        let name = format!("{}meta-{name}", dialect.prefix);
        if out.iter().any(|(other, _)| *other == name) {
            notes.push(format!("metadata {name}: another name became the same"));
            continue;
        }
        out.push((name, value));
    }
    if size > dialect.metadata_most {
        return Err(format!(
            "its metadata is {size} bytes, and {} takes at most {}",
            dialect.name, dialect.metadata_most
        ));
    }
    Ok((out, notes))
}

fn printable(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Arrives as it is. AWS signs runs of spaces as one, so that such a value would break the signature
/// ("Create a canonical request", header values); white space around a value is HTTP's.
fn plain(dialect: &Dialect, value: &str) -> bool {
    let squeezed = dialect.scheme == Scheme::AwsV4 && value.contains("  ");
    printable(value) && value.trim() == value && !squeezed
}

/// A name that the service takes; `None` (and a note) where there is none.
fn user_name(dialect: &Dialect, name: &str, notes: &mut Vec<String>) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let any = dialect.metadata_underscore && http::HeaderName::from_bytes(lower.as_bytes()).is_ok();
    if any || (lower.bytes().all(token) && !lower.is_empty()) {
        return Some(lower);
    }
    let mended = lower.replace('_', "-");
    if mended.bytes().all(token) && !mended.is_empty() {
        notes.push(format!("metadata {name} is named {mended}: {} has no _ in names", dialect.name));
        return Some(mended);
    }
    notes.push(format!("metadata {name}: {} cannot hold this name", dialect.name));
    None
}

/// S3 gives back what is not ASCII as RFC 2047; OSS users expect percent-encoding.
fn user_value(dialect: &Dialect, name: &str, value: &str, notes: &mut Vec<String>) -> String {
    // What looks like RFC 2047 would be decoded by whoever reads it.
    if plain(dialect, value) && !(dialect.sum == Sum::Nvme && value.starts_with("=?")) {
        return value.to_owned();
    }
    match dialect.sum {
        Sum::Nvme => format!("=?UTF-8?B?{}?=", STANDARD.encode(value)),
        Sum::Ecma => {
            notes.push(format!("metadata {name} is percent-encoded: it is not plain ASCII"));
            let mut out = String::new();
            super::request::encode(&mut out, value.as_bytes(), false);
            out
        }
    }
}

/// `=?UTF-8?B?…?=` and `=?UTF-8?Q?…?=`, as S3 returns metadata that is not ASCII. Anything else stays.
fn decode_2047(value: &str) -> String {
    if !value.starts_with("=?") {
        return value.to_owned();
    }
    // A long value comes as several words; a character may be cut between two.
    let words: Option<Vec<Vec<u8>>> = value.split_ascii_whitespace().map(decode_word).collect();
    let text = words.and_then(|words| String::from_utf8(words.concat()).ok());
    text.unwrap_or_else(|| value.to_owned())
}

fn decode_word(word: &str) -> Option<Vec<u8>> {
    let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let (charset, rest) = inner.split_once('?')?;
    let (form, text) = rest.split_once('?')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    match form {
        "B" | "b" => STANDARD.decode(text).ok(),
        "Q" | "q" => {
            let escaped = text.replace('%', "%25").replace('_', " ").replace('=', "%");
            Some(percent_encoding::percent_decode_str(&escaped).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{OSS, S3};

    fn user(pairs: &[(&str, &str)]) -> Headers {
        Headers {
            user: pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect(),
            ..Headers::default()
        }
    }

    #[test]
    fn metadata_that_is_not_ascii_survives_s3_and_is_reported_for_oss() {
        let (out, notes) = for_write(&S3, &user(&[("name", "Grüße")])).unwrap();
        assert!(notes.is_empty());
        assert_eq!(decode_2047(&out[0].1), "Grüße");
        let (out, notes) = for_write(&OSS, &user(&[("my_name", "é")])).unwrap();
        assert_eq!(out[0], ("x-oss-meta-my-name".into(), "%C3%A9".into()));
        assert_eq!(notes.len(), 2);
    }

    #[test]
    fn nothing_is_dropped_silently() {
        let (out, notes) = for_write(&OSS, &user(&[("a_b", "1"), ("a-b", "2"), ("ü", "3")])).unwrap();
        assert_eq!(out.len(), 1);
        assert_eq!(notes.len(), 3);
        assert!(for_write(&S3, &user(&[("big", &"x".repeat(3000))])).is_err());
    }

    #[test]
    fn spaces_and_odd_names_survive_s3() {
        let given = [("a.b_c", "1"), ("run", "a  b"), ("around", " x "), ("like", "=?UTF-8?B?eA==?=")];
        let (out, notes) = for_write(&S3, &user(&given)).unwrap();
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(out[0].0, "x-amz-meta-a.b_c");
        for (written, (_, value)) in out.iter().zip(given) {
            assert!(plain(&S3, &written.1), "{written:?}");
            assert_eq!(decode_2047(&written.1), value);
        }
        let content = Headers { content_disposition: Some("a;  b".into()), ..Headers::default() };
        let (out, notes) = for_write(&S3, &content).unwrap();
        assert_eq!((out[0].1.as_str(), notes.len()), ("a; b", 1));
        assert!(for_write(&OSS, &content).unwrap().1.is_empty());
    }

    #[test]
    fn a_value_in_several_encoded_words_is_one_text() {
        let words = "=?UTF-8?B?R3I=?= =?UTF-8?B?w7w=?=\t=?UTF-8?Q?=C3=9Fe_%41?=";
        assert_eq!(decode_2047(words), "Grüße %41");
    }

    #[test]
    fn quoted_printable_is_read() {
        assert_eq!(decode_2047("=?UTF-8?Q?Gr=C3=BC=C3=9Fe_x?="), "Grüße x");
        assert_eq!(decode_2047("=?plain?="), "=?plain?=");
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
