//! Metadata of a file: from an answer, and into a request.
//!
//! The service keeps a content type and whatever comes as `x-upyun-meta-*`. It does not send other content headers
//! with a file, which is reported; so that nothing is lost they are kept as metadata of their own names, as other
//! clients of UPYUN do, and read back from there.

use conf::job::EndpointType;
use http::HeaderMap;

use crate::answered::{self, header, text};
use crate::checksum::md5_of_etag;
use crate::fidelity::{self, HEADERS, Service};
use crate::meta::{Checksums, Headers, ObjectMeta};
use crate::s3::headers::{etag, http_time};

pub(crate) const META: &str = "x-upyun-meta-";

/// What is given when a type is missing: else the service guesses one from the name.
const PLAIN_TYPE: &str = "application/octet-stream";

/// Names that command the service: after `ttl` days it deletes the file, and `secret` locks it. They are never carried.
pub(crate) const COMMANDS: [&str; 2] = ["ttl", "secret"];

/// Is it a folder that was looked at?
pub(super) fn is_folder(headers: &HeaderMap) -> bool {
    header(headers, "x-upyun-file-type") == "folder" || headers.contains_key("x-upyun-list-iter")
}

/// A file's metadata from the answer to HEAD or GET; `size` is of the whole file.
pub(super) fn meta(headers: &HeaderMap, size: u64) -> ObjectMeta {
    let modified = http_time(&header(headers, "last-modified")).map(|time| time.as_millisecond());
    let created = header(headers, "x-upyun-file-date").parse::<i64>().ok();
    let mut kept_back = commands(headers);
    ObjectMeta {
        size,
        modified_ms: modified.or_else(|| created.and_then(|seconds| seconds.checked_mul(1000))),
        etag: etag(headers),
        class: None,
        headers: content(headers, &mut kept_back),
        checksums: stated(headers),
        kept_back,
    }
}

/// What the service itself says of the bytes. Not the ETag: nothing says that it is the MD5 of every file, and
/// those that were written in parts may have another.
pub(super) fn stated(headers: &HeaderMap) -> Checksums {
    let md5 = md5_of_etag(header(headers, "content-md5").trim().trim_matches('"'));
    Checksums { md5, ..Checksums::default() }
}

/// What the source does with the file by its metadata, and the copy will not.
pub(crate) fn commands(headers: &HeaderMap) -> Vec<String> {
    let there = COMMANDS.iter().filter(|name| headers.contains_key(format!("{META}{name}")));
    there.map(|name| format!("metadata {name}: it commands UPYUN (expiry, lock) and stays there")).collect()
}

fn content(headers: &HeaderMap, kept_back: &mut Vec<String>) -> Headers {
    let found = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(META).filter(|name| !COMMANDS.contains(name))?;
        Some((name.to_owned(), text(value)))
    });
    let mut user = answered::user(found, kept_back);
    let mut take = |name: &str| {
        let at = user.iter().position(|(known, _)| known == name)?;
        Some(user.remove(at).1)
    };
    Headers {
        content_encoding: take("content-encoding"),
        content_language: take("content-language"),
        content_disposition: take("content-disposition"),
        cache_control: take("cache-control"),
        expires: take("expires"),
        content_type: Some(header(headers, "content-type")).filter(|value| !value.is_empty()),
        user,
    }
}

/// What a write carries beside the bytes.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) content_type: String,
    /// Headers with their prefix.
    pub(super) meta: Vec<(String, String)>,
    /// What of it changes on the way or stays behind.
    pub(super) notes: Vec<String>,
}

/// By the one table of what travels. An error where the metadata is more than the service takes.
pub(super) fn for_write(headers: &Headers) -> Result<Carried, String> {
    let is_command = |name: &str| COMMANDS.contains(&name.to_ascii_lowercase().as_str());
    let mut tame = headers.clone();
    tame.user.retain(|(name, _)| !is_command(name));
    let (pairs, mut notes) = service().encode(&tame)?;
    for (name, _) in headers.user.iter().filter(|(name, _)| is_command(name)) {
        notes.push(format!("metadata {name}: youpai would obey it, and expire or lock the file"));
    }
    let mut carried = Carried { content_type: PLAIN_TYPE.to_owned(), notes, ..Carried::default() };
    for (name, value) in pairs {
        if name == "content-type" {
            carried.content_type = value;
        } else {
            carried.meta.push((name, value));
        }
    }
    for ((_, name), value) in HEADERS.into_iter().zip(headers.content()).skip(1) {
        let name = format!("{META}{name}");
        let is_free = carried.meta.iter().all(|(known, _)| *known != name);
        if let Some(value) = value.filter(|value| is_free && is_plain(value)) {
            carried.meta.push((name, value.to_owned()));
        }
    }
    Ok(carried)
}

/// What the table says of this type of endpoint.
pub(super) fn service() -> &'static Service {
    fidelity::of(EndpointType::Youpai)
}

/// Arrives as it is; white space around a value is HTTP's.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && value.trim() == value && !value.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn answer(written: &[(String, String)]) -> HeaderMap {
        map(&written.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>())
    }

    #[test]
    fn an_answer_to_head_is_read() {
        let meta = meta(
            &map(&[
                ("x-upyun-file-type", "file"),
                ("x-upyun-file-date", "1415096225"),
                ("etag", "\"dc9ea7257aa6da18e74505259b04a946\""),
                ("content-md5", "\"dc9ea7257aa6da18e74505259b04a946\""),
                ("content-type", "image/gif"),
                ("x-upyun-meta-foo", "Bar"),
                ("x-upyun-meta-ttl", "7"),
                ("x-upyun-meta-secret", "hunter2"),
                ("x-upyun-meta-cache-control", "max-age=60"),
            ]),
            4237,
        );
        assert_eq!((meta.size, meta.modified_ms), (4237, Some(1_415_096_225_000)));
        assert_eq!(meta.etag.as_deref(), Some("dc9ea7257aa6da18e74505259b04a946"));
        assert_eq!(meta.checksums.md5.map(hex::encode), meta.etag);
        assert_eq!(meta.headers.content_type.as_deref(), Some("image/gif"));
        assert_eq!(meta.headers.cache_control.as_deref(), Some("max-age=60"));
        assert_eq!(meta.headers.user, [("foo".to_owned(), "Bar".to_owned())]);
        assert_eq!(meta.kept_back.len(), 2, "{:?}", meta.kept_back);
    }

    #[test]
    fn an_etag_alone_is_not_taken_for_an_md5() {
        let meta = meta(&map(&[("etag", "\"dc9ea7257aa6da18e74505259b04a946\"")]), 1);
        assert!(meta.etag.is_some() && meta.checksums.md5.is_none());
        assert!(stated(&map(&[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")])).md5.is_none());
    }

    #[test]
    fn content_headers_come_back_and_are_reported() {
        let headers = Headers {
            content_type: Some("text/plain".into()),
            content_encoding: Some("gzip".into()),
            content_disposition: Some("attachment; filename=\"a b\"".into()),
            expires: Some("Wed, 21 Oct 2026 07:28:00 GMT".into()),
            user: vec![("colour".into(), "dark red".into())],
            ..Headers::default()
        };
        let Carried { content_type, meta, notes } = for_write(&headers).unwrap();
        assert_eq!(notes.len(), 3, "{notes:?}");
        let read = content(&answer(&meta), &mut Vec::new());
        assert_eq!(Headers { content_type: Some(content_type), ..read }, headers);
    }

    #[test]
    fn what_would_command_the_service_is_never_written() {
        let user = [("ttl", "1"), ("Secret", "x"), ("a_b", "1"), ("a-b", "2"), ("ü", "3"), ("name", "é")];
        let headers = Headers {
            user: user.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            ..Headers::default()
        };
        let Carried { content_type, meta, notes } = for_write(&headers).unwrap();
        let expected = [("x-upyun-meta-a-b", "1"), ("x-upyun-meta-name", "%C3%A9")];
        assert_eq!(meta, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!((content_type.as_str(), notes.len()), (PLAIN_TYPE, 6), "{notes:?}");
    }
}
