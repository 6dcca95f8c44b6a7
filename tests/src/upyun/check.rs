//! Who asks, when, and with which bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use http::request::Parts;
use md5::{Digest, Md5};

use super::reply::Failure;
use super::state::State;
use super::{Target, header, md5_of};

/// "A signature is good for 30 minutes."
const MINUTES: i64 = 30;
/// The documentation says that paths and names can be too long, not from where on.
const PATH_MOST: usize = 1023;
const NAME_MOST: usize = 255;

/// The first look: operator, time, bucket, name.
pub(crate) fn request(state: &State, target: &Target, parts: &Parts) -> Result<(), Failure> {
    let (operator, password) = state.secrets();
    let given = header(parts, "authorization");
    let (realm, rest) = given.split_once(' ').unwrap_or_default();
    match realm {
        "" => return Err(Failure::new(40100004, "need authorization header")),
        "Basic" => basic(rest, &operator, &password)?,
        "UPYUN" | "UpYun" => {
            let date = date(state, parts)?;
            let (name, signature) = rest.split_once(':').unwrap_or_default();
            if name != operator {
                return Err(Failure::new(40100006, "user not exists"));
            }
            let uri = parts.uri.path_and_query().map(|uri| uri.as_str()).unwrap_or_default();
            let wanted = if realm == "UPYUN" {
                unified(&password, parts, uri, &date)
            } else {
                old(&password, parts, uri, &date)
            };
            if signature != wanted {
                return Err(Failure::new(40100005, "signature error"));
            }
        }
        _ => return Err(Failure::new(40100003, "unknown realm in authorization header")),
    }
    if target.bucket.is_empty() {
        return Err(Failure::new(40000003, "need bucket name"));
    }
    if !state.has_bucket(&target.bucket) {
        return Err(Failure::new(40100012, "bucket not exist"));
    }
    name(target)
}

fn basic(given: &str, operator: &str, password: &str) -> Result<(), Failure> {
    let given = STANDARD.decode(given).unwrap_or_default();
    let given = String::from_utf8_lossy(&given).into_owned();
    match given.split_once(':') {
        Some((name, _)) if name != operator => Err(Failure::new(40100006, "user not exists")),
        Some((_, secret)) if secret == password => Ok(()),
        _ => Err(Failure::new(40100009, "user password error")),
    }
}

/// The date as it was sent, when it is near enough.
fn date(state: &State, parts: &Parts) -> Result<String, Failure> {
    let date = header(parts, "date");
    if date.is_empty() {
        return Err(Failure::new(40100001, "need date header"));
    }
    let time = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(date)
        .map_err(|_| Failure::new(40100016, "invalid date value in header"))?;
    if (time.as_second() - state.now().as_second()).abs() > MINUTES * 60 {
        return Err(Failure::new(40100002, "date offset error"));
    }
    Ok(date.to_owned())
}

/// Base64 of HMAC-SHA1 with the MD5 of the password; the URI with its query, Content-MD5 where it is sent.
fn unified(password: &str, parts: &Parts, uri: &str, date: &str) -> String {
    let mut text = format!("{}&{uri}&{date}", parts.method);
    let md5 = header(parts, "content-md5");
    if !md5.is_empty() {
        text = format!("{text}&{md5}");
    }
    let key = hex::encode(Md5::digest(password));
    let Ok(mut mac) = Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The form of old clients.
fn old(password: &str, parts: &Parts, uri: &str, date: &str) -> String {
    let length = header(parts, "content-length");
    let length = if length.is_empty() { "0" } else { length };
    let key = hex::encode(Md5::digest(password));
    hex::encode(Md5::digest(format!("{}&{uri}&{date}&{length}&{key}", parts.method)))
}

fn name(target: &Target) -> Result<(), Failure> {
    let Ok(path) = std::str::from_utf8(&target.path) else {
        return Err(Failure::new(40000030, "path encoding should be utf8"));
    };
    if path.contains(['\r', '\n', '\t', '\0']) {
        return Err(Failure::new(40300001, r"file name contains invalid chars (\r\n\t)"));
    }
    if path.len() > PATH_MOST {
        return Err(Failure::new(40300002, "file path too long"));
    }
    if path.split('/').any(|name| name.len() > NAME_MOST) {
        return Err(Failure::new(40300003, "file name too long"));
    }
    Ok(())
}

/// Length and MD5 of a body.
pub(crate) fn content(parts: &Parts, data: &Bytes) -> Result<(), Failure> {
    if !matches!(parts.method, Method::PUT | Method::POST) {
        return Ok(());
    }
    if header(parts, "transfer-encoding").contains("chunked") {
        return Err(Failure::new(40000011, "chunked request bodies not supported yet"));
    }
    if header(parts, "content-length").parse() != Ok(data.len()) {
        return Err(Failure::new(40300026, "need content-length header"));
    }
    let md5 = header(parts, "content-md5");
    if !md5.is_empty() && md5 != md5_of(data) {
        return Err(Failure::new(40300007, "content md5 not match"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: Method, uri: &str) -> Parts {
        http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_examples_of_the_documentation() {
        let mut put = parts(Method::PUT, "/upyun-temp/demo.jpg");
        put.headers.insert("content-md5", "7ac66c0f148de9519b8bd264312c4d64".parse().unwrap());
        assert_eq!(
            unified("password123", &put, "/upyun-temp/demo.jpg", "Wed, 09 Nov 2016 14:26:58 GMT"),
            "YUaAZX+WNAcJdNGHS5SBlITME5A="
        );
        let get = parts(Method::GET, "/bucket/sub");
        assert_eq!(
            old("password", &get, "/bucket/sub", "Wed, 29 Oct 2014 02:26:58 GMT"),
            "03db45e2904663c5c9305a9c6ed62af3"
        );
    }
}
