//! What the headers of an answer say: length, version, ranges, what travels with the object, its checksums.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use crate::answered;
pub(super) use crate::answered::header as text;
use crate::checksum::md5_of_etag;
use crate::error::ErrorKind;
use crate::fidelity::text_of;
use crate::meta::{Checksums, Headers, ObjectMeta};
use crate::upyun;

/// User metadata of S3, which states what is not ASCII in words of RFC 2047.
const AMAZON: &str = "x-amz-meta-";
/// User metadata of the services whose objects lists point at most.
const META: [&str; 11] = [
    "x-oss-meta-",
    AMAZON,
    "x-cos-meta-",
    "x-bce-meta-",
    "x-kss-meta-",
    "x-qn-meta-",
    "x-goog-meta-",
    "x-ms-meta-",
    "x-obs-meta-",
    "x-tos-meta-",
    upyun::META,
];
/// Names under which services say which request it was.
const IDS: [&str; 5] =
    ["x-oss-request-id", "x-amz-request-id", "x-cos-request-id", "x-ms-request-id", "x-request-id"];
/// A time stands for a version only when it was over before the answer was given (RFC 9110, 8.8.2.2).
const SETTLED_S: i64 = 2;

/// Unix milliseconds of a date header (RFC 9110, 5.6.7).
fn date_ms(headers: &HeaderMap, name: &str) -> Option<i64> {
    parse_date(&text(headers, name)).map(|time| time.as_millisecond())
}

fn parse_date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// As `If-Unmodified-Since` takes it.
pub(super) fn date_text(ms: i64) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(ms).ok()?;
    Some(time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// The ETag without its quotes, where it names exactly these bytes: strong, and written as the standard has it.
fn strong_etag(headers: &HeaderMap) -> Option<String> {
    let etag = text(headers, "etag");
    let bare = etag.trim().strip_prefix('"')?.strip_suffix('"')?;
    (!bare.is_empty() && bare.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e))).then(|| bare.to_owned())
}

/// The object's metadata. `whole`: the answer is the whole object, so that `Content-MD5` is of it.
pub(super) fn meta(headers: &HeaderMap, size: u64, whole: bool) -> ObjectMeta {
    let etag = strong_etag(headers);
    let mut kept_back = upyun::commands(headers);
    ObjectMeta {
        size,
        modified_ms: date_ms(headers, "last-modified"),
        class: None,
        headers: content(headers, &mut kept_back),
        kept_back,
        checksums: stated(headers, etag.as_deref(), whole),
        etag,
    }
}

/// May one version be asked for again? By a strong ETag, or by a time; but not while the time is that of this very
/// moment: many servers make their ETags of time and length (nginx, Apache), and a second change would have the same.
pub(super) fn has_version(headers: &HeaderMap) -> bool {
    let (modified, now) = (date_ms(headers, "last-modified"), date_ms(headers, "date"));
    let settled = modified.zip(now).map(|(modified, now)| now - modified >= SETTLED_S * 1000);
    settled.unwrap_or_else(|| strong_etag(headers).is_some())
}

/// `Accept-Ranges`, where it says something.
pub(super) fn accepts_ranges(headers: &HeaderMap) -> Option<bool> {
    let said = text(headers, "accept-ranges").to_ascii_lowercase();
    match said.trim() {
        "" => None,
        units => Some(units.split(',').any(|unit| unit.trim() == "bytes")),
    }
}

/// First byte, last byte and total of `Content-Range`; the total may be unknown.
pub(super) fn content_range(headers: &HeaderMap) -> Option<(u64, u64, Option<u64>)> {
    let given = text(headers, "content-range");
    let (span, total) = given.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.trim().parse().ok()?) };
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?, total))
}

fn content(headers: &HeaderMap, kept_back: &mut Vec<String>) -> Headers {
    let found = headers.iter().filter_map(|(name, value)| metadata(name.as_str(), answered::text(value)));
    let user = answered::user(found, kept_back);
    Headers { user, ..answered::content(headers, kept_back) }
}

/// User metadata without its prefix, its value as its service means it.
fn metadata(header: &str, value: String) -> Option<(String, String)> {
    let (prefix, name) = META.iter().find_map(|prefix| Some((*prefix, header.strip_prefix(prefix)?)))?;
    if prefix == upyun::META && upyun::COMMANDS.contains(&name) {
        return None;
    }
    let value = if prefix == AMAZON { text_of(&value) } else { value };
    Some((name.to_owned(), value))
}

/// What the server states of the whole object's bytes.
fn stated(headers: &HeaderMap, etag: Option<&str>, whole: bool) -> Checksums {
    let mut sums = Checksums::default();
    for (name, value) in headers {
        let value = answered::text(value);
        match name.as_str() {
            // OSS and COS write it unsigned and decimal, also on an answer to a range.
            "x-oss-hash-crc64ecma" | "x-cos-hash-crc64ecma" => sums.crc64ecma = value.trim().parse().ok(),
            "x-amz-checksum-crc64nvme" => sums.crc64nvme = big_endian::<8>(&value).map(u64::from_be_bytes),
            "x-goog-hash" => goog(headers, &value, &mut sums),
            "content-md5" if whole => sums.md5 = md5(&value),
            _ => {}
        }
    }
    if text(headers, "x-amz-checksum-type").eq_ignore_ascii_case("COMPOSITE") {
        sums.crc64nvme = None;
    }
    if sums == Checksums::default() && etag_is_md5(headers) {
        sums.md5 = etag.and_then(md5_of_etag);
    }
    sums
}

/// `crc32c=…,md5=…`, base64; of the stored bytes, which are others when the service decompresses on the way
/// (Cloud Storage, "Transcoding of gzip-compressed files").
fn goog(headers: &HeaderMap, value: &str, sums: &mut Checksums) {
    let stored = text(headers, "x-goog-stored-content-encoding");
    let given = text(headers, "content-encoding");
    if !matches!(stored.as_str(), "" | "identity") && !stored.eq_ignore_ascii_case(&given) {
        return;
    }
    for (name, value) in value.split(',').filter_map(|pair| pair.trim().split_once('=')) {
        match name {
            "crc32c" => sums.crc32c = big_endian::<4>(value).map(u32::from_be_bytes),
            "md5" => sums.md5 = big_endian::<16>(value),
            _ => {}
        }
    }
}

/// Base64 by the standard; UPYUN writes 32 hex digits.
fn md5(value: &str) -> Option<[u8; 16]> {
    big_endian::<16>(value).or_else(|| md5_of_etag(value.trim().trim_matches('"')))
}

fn big_endian<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

/// Only where a service is known to make it so: S3 and OSS, without keys of a key service, and no object that was
/// appended to. An ETag of 32 hex digits of any other server may be anything.
fn etag_is_md5(headers: &HeaderMap) -> bool {
    let has = |name: &str| headers.contains_key(name);
    let encrypted = |name: &str| text(headers, name).to_ascii_lowercase().contains("kms");
    let s3 = text(headers, "server") == "AmazonS3"
        && !encrypted("x-amz-server-side-encryption")
        && !has("x-amz-server-side-encryption-customer-algorithm");
    let oss = text(headers, "x-oss-object-type") == "Normal" && !encrypted("x-oss-server-side-encryption");
    s3 || oss
}

/// What a status that is no success means.
pub(super) fn kind_of(status: u16) -> ErrorKind {
    match status {
        404 | 410 => ErrorKind::NotFound,
        401 | 403 | 407 | 451 => ErrorKind::AccessDenied,
        408 | 504 => ErrorKind::Timeout,
        412 | 416 => ErrorKind::PreconditionFailed,
        429 | 503 => ErrorKind::Throttled,
        501 => ErrorKind::Unsupported,
        400..=499 => ErrorKind::Refused,
        500..=599 => ErrorKind::ServiceFailure,
        _ => ErrorKind::Protocol,
    }
}

/// Which request it was, for the service's support.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    IDS.iter().map(|name| text(headers, name)).find(|id| !id.is_empty()).unwrap_or_default()
}

/// Code and message of an error document as object stores write them.
pub(super) fn said(body: &[u8]) -> (String, String) {
    let body = String::from_utf8_lossy(body);
    let between = |name: &str| {
        let (_, after) = body.split_once(&format!("<{name}>"))?;
        after.split_once(&format!("</{name}>")).map(|(text, _)| text.trim().to_owned())
    };
    (between("Code").unwrap_or_default(), between("Message").unwrap_or_default())
}

/// `Retry-After` in seconds, or as a date (RFC 9110, 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = text(headers, "retry-after");
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let left = parse_date(&text)?.as_second().saturating_sub(jiff::Timestamp::now().as_second());
    u64::try_from(left).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_a_strong_etag_is_a_version() {
        let etag = |text: &str| strong_etag(&headers(&[("etag", text)]));
        assert_eq!(etag("\"5f-abc\"").as_deref(), Some("5f-abc"));
        for other in ["W/\"5f-abc\"", "5f-abc", "\"\"", "\"a\"b\""] {
            assert_eq!(etag(other), None, "{other}");
        }
    }

    #[test]
    fn a_time_of_this_very_second_is_no_version() {
        let at = |date: &str| {
            has_version(&headers(&[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"), ("date", date)]))
        };
        assert!(at("Sun, 06 Nov 1994 08:49:39 GMT"));
        assert!(!at("Sun, 06 Nov 1994 08:49:38 GMT"));
        assert!(!has_version(&headers(&[])));
        let fresh = [("etag", "\"a\""), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
        assert!(has_version(&headers(&fresh)) && has_version(&headers(&fresh[..1])));
        let fresh = [fresh[0], fresh[1], ("date", "Sun, 06 Nov 1994 08:49:37 GMT")];
        assert!(!has_version(&headers(&fresh)), "nginx: another file of this second has the same ETag");
        assert_eq!(date_text(784_111_777_000).unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn checksums_are_taken_where_they_are_stated_and_nowhere_else() {
        let sums = |pairs: &[(&'static str, &str)], whole| meta(&headers(pairs), 0, whole).checksums;
        let md5 = [("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")];
        assert_eq!(hex::encode(sums(&md5, true).md5.unwrap()), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(sums(&md5, false).md5, None, "of the range");
        let crc = [("x-oss-hash-crc64ecma", "11051210869376104954")];
        assert_eq!(sums(&crc, false).crc64ecma, Some(0x995d_c9bb_df19_39fa));
        let goog = [("x-goog-hash", "crc32c=4waSgw==,md5=XUFAKrxLKna5cZ2REBfFkg==")];
        assert_eq!(sums(&goog, true).crc32c, Some(0xe306_9283));
        let decompressed = [goog[0], ("x-goog-stored-content-encoding", "gzip")];
        assert_eq!(sums(&decompressed, true), Checksums::default());
        let etag = ("etag", "\"5d41402abc4b2a76b9719d911017c592\"");
        assert_eq!(sums(&[etag], true).md5, None, "of any server");
        assert!(sums(&[etag, ("server", "AmazonS3")], true).md5.is_some());
        let kms = [etag, ("server", "AmazonS3"), ("x-amz-server-side-encryption", "aws:kms")];
        assert_eq!(sums(&kms, true).md5, None);
    }

    #[test]
    fn metadata_is_what_the_service_means_and_what_commands_one_stays_there() {
        let given = [
            ("x-amz-meta-name", "=?UTF-8?B?w6k=?="),
            ("x-oss-meta-plain", "=?UTF-8?B?w6k=?="),
            ("x-obs-meta-o", "1"),
            ("x-tos-meta-t", "2"),
            ("x-upyun-meta-u", "3"),
            ("x-upyun-meta-ttl", "7"),
            ("x-upyun-meta-secret", "hunter2"),
            ("x-other-meta-x", "4"),
        ];
        let meta = meta(&headers(&given), 0, true);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let named = [
            pair("name", "é"),
            pair("o", "1"),
            pair("plain", "=?UTF-8?B?w6k=?="),
            pair("t", "2"),
            pair("u", "3"),
        ];
        assert_eq!(meta.headers.user, named);
        assert_eq!(meta.kept_back.len(), 2, "{:?}", meta.kept_back);
        assert!(meta.kept_back.iter().all(|note| !note.contains("hunter2")), "{:?}", meta.kept_back);
    }

    #[test]
    fn ranges_are_read_as_they_are_written() {
        let range = |text: &str| content_range(&headers(&[("content-range", text)]));
        assert_eq!(range("bytes 0-0/7"), Some((0, 0, Some(7))));
        assert_eq!(range("bytes 5-9/*"), Some((5, 9, None)));
        assert_eq!(range("bytes */7"), None);
        let accepts = |text: &str| accepts_ranges(&headers(&[("accept-ranges", text)]));
        assert_eq!((accepts("bytes"), accepts("none"), accepts("")), (Some(true), Some(false), None));
    }
}
