//! Checks signatures, each kind in a file of its own; what they share is here: encoding, clocks, HMACs, and who
//! may come without a signature.
//!
//! The path is decoded and encoded again in the canonical way, because clients differ in what they leave
//! unencoded (`a%2F%2Fb` and `a//b` are the same key).

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use http::request::Parts;
use jiff::Timestamp;
use sha2::Sha256;

use super::reply::Failure;
use super::state::{Access, State, Token};
use super::{Dialect, Target};

mod aws;
mod bce;
mod cos;
mod kss;
mod oss;
pub(crate) mod qiniu;

/// Percent-decoding alone: `+` stays.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(text).collect()
}

/// The pairs of a query, decoded; a `+` is a space, as forms have it.
pub(crate) fn query(text: &str) -> Vec<(String, String)> {
    let plain = |part: &str| String::from_utf8_lossy(&decode(&part.replace('+', " "))).into_owned();
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (plain(name), plain(value))
        })
        .collect()
}

/// Every byte but `A-Za-z0-9-_.~`, and `/` where it may stay.
pub(crate) fn encode(bytes: &[u8], keep_slash: bool) -> String {
    let mut out = String::new();
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(*byte))
            }
            b'/' if keep_slash => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Refuses what the vendor refuses.
pub(crate) fn check(state: &State, target: &Target, parts: &Parts) -> Result<(), Failure> {
    let authorization = header(&parts.headers, "authorization");
    let denied = |text: &str| Err(Failure::new(403, "AccessDenied", text));
    if authorization.is_empty() {
        return match state.dialect {
            Dialect::Qiniu if target.has("token") => qiniu::check_download(state, parts),
            _ if target.has("Signature") => {
                Err(Failure::new(400, "NotImplemented", "presigned requests are not part of this server"))
            }
            _ if state.access(&target.bucket) == Access::Public && only_reads(target) => Ok(()),
            _ => denied("Anonymous access is forbidden for this operation."),
        };
    }
    check_token(state, parts)?;
    match state.dialect {
        Dialect::Bos if authorization.starts_with(bce::SCHEME) => {
            bce::check(state, target, parts, &authorization)
        }
        Dialect::Ks3 if authorization.starts_with(kss::SCHEME) => {
            kss::check(state, target, parts, &authorization)
        }
        Dialect::S3 | Dialect::Bos | Dialect::Ks3 | Dialect::Qiniu => {
            aws::check(state, target, parts, &authorization)
        }
        Dialect::Cos => cos::check(state, target, parts, &authorization),
        Dialect::Oss if authorization.starts_with("OSS4-HMAC-SHA256") => {
            oss::check_v4(state, target, parts, &authorization)
        }
        Dialect::Oss => oss::check_v1(state, target, parts, &authorization),
    }?;
    if state.access(&target.bucket) == Access::Foreign {
        return denied("Access Denied.");
    }
    Ok(())
}

/// What everybody may do with a bucket that is open for reading.
fn only_reads(target: &Target) -> bool {
    let reads = matches!(target.method.as_str(), "GET" | "HEAD");
    reads && !["acl", "uploads", "uploadId", "tagging"].iter().any(|name| target.has(name))
}

/// The token of a temporary key, where the server insists on one.
fn check_token(state: &State, parts: &Parts) -> Result<(), Failure> {
    let Some(Token { text, over }) = state.token() else { return Ok(()) };
    let prefixes = [state.dialect.rules().prefix, "x-amz-", "x-bce-", "x-kss-"];
    let given = prefixes.map(|prefix| header(&parts.headers, &format!("{prefix}security-token")));
    if !given.contains(&text) {
        return Err(Failure::new(
            403,
            "InvalidAccessKeyId",
            "the key is a temporary one and needs its token",
        ));
    }
    let (status, code) = state.dialect.rules().expired;
    if over { Err(Failure::new(status, code, "The provided token has expired.")) } else { Ok(()) }
}

fn header(headers: &HeaderMap, name: &str) -> String {
    let values: Vec<String> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
        .collect();
    values.join(",")
}

fn hmac256(key: &[u8], data: &[u8]) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

fn hmac1(key: &[u8], data: &[u8]) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<sha1::Sha1>::new_from_slice(key) else { return Vec::new() };
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

fn mismatch(wanted: &str) -> Failure {
    let text = "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
    Failure::new(403, "SignatureDoesNotMatch", text).with("StringToSign", wanted.to_owned())
}

fn known_key(state: &State, given: &str) -> Result<(), Failure> {
    if given == state.secrets().0 {
        return Ok(());
    }
    Err(Failure::new(
        403,
        "InvalidAccessKeyId",
        "The access key id you provided does not exist in our records.",
    ))
}

/// 15 minutes either way, as the vendors have it.
fn check_clock(state: &State, then: Option<Timestamp>) -> Result<(), Failure> {
    let Some(then) = then else { return Err(Failure::new(403, "AccessDenied", "a valid date is required")) };
    let now = state.now();
    let fits = (now.as_second() - then.as_second()).abs() <= 900;
    if fits { Ok(()) } else { Err(skewed(state, then)) }
}

/// A time that is too far off, in the vendor's words.
fn skewed(state: &State, then: Timestamp) -> Failure {
    let (status, code) = state.dialect.rules().skewed;
    let text = "The difference between the request time and the current time is too large.";
    Failure::new(status, code, text)
        .with("RequestTime", then.to_string())
        .with("ServerTime", state.now().to_string())
}

fn basic_time(text: &str) -> Option<Timestamp> {
    let date = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|time| time.timestamp())
}

/// `key1=value1, key2=value2` after the algorithm's name.
fn fields(authorization: &str) -> Vec<(&str, &str)> {
    let rest = authorization.split_once(' ').map_or("", |(_, rest)| rest);
    rest.split(',').filter_map(|field| field.trim().split_once('=')).collect()
}

fn field<'a>(fields: &[(&str, &'a str)], name: &str) -> &'a str {
    fields.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

fn derive(secret: String, scope: &[&str]) -> Vec<u8> {
    scope.iter().fold(secret.into_bytes(), |key, part| hmac256(&key, part.as_bytes()))
}

fn canonical_query(target: &Target, always_equals: bool) -> String {
    let mut pairs: Vec<(String, String)> = target
        .query
        .iter()
        .map(|(name, value)| (encode(name.as_bytes(), false), encode(value.as_bytes(), false)))
        .collect();
    pairs.sort();
    let shown = pairs.iter().map(|(name, value)| {
        if value.is_empty() && !always_equals { name.clone() } else { format!("{name}={value}") }
    });
    shown.collect::<Vec<_>>().join("&")
}

fn http_time(text: &str) -> Option<Timestamp> {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
    parsed.ok()
}

#[cfg(test)]
mod known {
    //! Requests of the vendors' published examples.

    use super::{Parts, Target, query};

    pub(super) fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    pub(super) fn target(bucket: &str, key: &str, text: &str, method: &str) -> Target {
        Target { method: method.parse().unwrap(), bucket: bucket.into(), key: key.into(), query: query(text) }
    }
}
