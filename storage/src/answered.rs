//! What the headers of an answer say of an object: text, content headers, user metadata. All adapters that speak HTTP
//! read them here.

use http::{HeaderMap, HeaderValue};

use crate::meta::Headers;

/// UTF-8, else ISO-8859-1, as which HTTP once defined its headers (RFC 9110, 5.5). So no byte is lost.
pub(crate) fn text(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
    }
}

/// A header as text; empty where it is missing.
pub(crate) fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(text).unwrap_or_default()
}

/// The content headers, without user metadata. What is said twice and cannot be kept twice is noted.
pub(crate) fn content(headers: &HeaderMap, kept_back: &mut Vec<String>) -> Headers {
    let mut one = |name| only(headers, name, kept_back);
    Headers {
        content_type: one("content-type"),
        content_disposition: one("content-disposition"),
        expires: one("expires"),
        content_encoding: list(headers, "content-encoding"),
        content_language: list(headers, "content-language"),
        cache_control: list(headers, "cache-control"),
        user: Vec::new(),
    }
}

/// A header that stands once; another value of it is noted.
fn only(headers: &HeaderMap, name: &str, kept_back: &mut Vec<String>) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if let Some(other) = values.find(|value| *value != first) {
        kept_back.push(format!("{name}: the source states another one as well, {:?}", text(other)));
    }
    Some(text(first)).filter(|value| !value.is_empty())
}

/// A header whose lines are one list (RFC 9110, 5.3): many servers write each member as a line of its own.
fn list(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut values = headers.get_all(name).iter().map(text).filter(|value| !value.is_empty());
    let mut all = values.next()?;
    for value in values {
        all.push_str(", ");
        all.push_str(&value);
    }
    Some(all)
}

/// User metadata by name. Of a name that came with two values the first one counts, and the other one is noted.
pub(crate) fn user(
    found: impl Iterator<Item = (String, String)>,
    kept_back: &mut Vec<String>,
) -> Vec<(String, String)> {
    let mut user: Vec<(String, String)> = found.collect();
    user.sort_by(|a, b| a.0.cmp(&b.0));
    user.dedup_by(|next, first| {
        let again = next.0 == first.0;
        if again && next.1 != first.1 {
            kept_back
                .push(format!("metadata {}: the source states another value as well, {:?}", next.0, next.1));
        }
        again
    });
    user
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn lists_in_several_lines_are_whole_and_what_stands_twice_is_noted() {
        let headers = answer(&[
            ("cache-control", b"max-age=60"),
            ("cache-control", b"public"),
            ("content-language", b"de"),
            ("content-language", b""),
            ("content-language", b"fr, en"),
            ("content-encoding", b"gzip"),
            ("content-type", b"text/plain"),
            ("content-type", b"text/html"),
            ("expires", b"0"),
            ("expires", b"0"),
        ]);
        let mut notes = Vec::new();
        let found = content(&headers, &mut notes);
        assert_eq!(found.cache_control.as_deref(), Some("max-age=60, public"));
        assert_eq!(found.content_language.as_deref(), Some("de, fr, en"));
        assert_eq!(found.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(
            (found.content_type.as_deref(), found.expires.as_deref()),
            (Some("text/plain"), Some("0"))
        );
        assert_eq!(notes, ["content-type: the source states another one as well, \"text/html\""]);
    }

    #[test]
    fn metadata_of_one_name_is_taken_once_and_the_rest_is_noted() {
        let pairs = [("b", "2"), ("a", "z"), ("a", "y"), ("b", "2")];
        let mut notes = Vec::new();
        let found = user(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())), &mut notes);
        assert_eq!(found, [("a".to_owned(), "z".to_owned()), ("b".to_owned(), "2".to_owned())]);
        assert_eq!(notes, ["metadata a: the source states another value as well, \"y\""]);
    }

    #[test]
    fn what_is_not_utf_8_loses_no_byte() {
        let headers = answer(&[
            ("content-disposition", b"attachment; filename=gr\xfc.txt"),
            ("x", "gr\u{fc}".as_bytes()),
        ]);
        let found = content(&headers, &mut Vec::new());
        assert_eq!(found.content_disposition.as_deref(), Some("attachment; filename=gr\u{fc}.txt"));
        assert_eq!(header(&headers, "x"), "gr\u{fc}");
        assert_eq!(header(&headers, "y"), "");
    }
}
