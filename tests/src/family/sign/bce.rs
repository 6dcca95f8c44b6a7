//! Baidu's `bce-auth-v1` (Baidu AI Cloud, "Generate authentication string"; `baidubce/auth/bce_v1_signer.py`).

use http::request::Parts;
use jiff::Timestamp;

use super::{canonical_query, decode, encode, header, hmac256, known_key, mismatch, skewed};
use crate::family::Target;
use crate::family::reply::Failure;
use crate::family::state::State;

/// How the header begins.
pub(super) const SCHEME: &str = "bce-auth-v1/";

/// What is signed where the header names nothing, beside `x-bce-*`.
const DEFAULT: [&str; 4] = ["host", "content-md5", "content-length", "content-type"];

pub(super) fn check(
    state: &State,
    target: &Target,
    parts: &Parts,
    authorization: &str,
) -> Result<(), Failure> {
    let [_, key, time, expiry, signed, given] = authorization.split('/').collect::<Vec<_>>()[..] else {
        return Err(Failure::new(400, "InvalidHTTPAuthHeader", "The HTTP authorization header is invalid."));
    };
    known_key(state, key)?;
    let info = format!("bce-auth-v1/{key}/{time}/{expiry}");
    let canonical = canonical(target, parts, signed);
    if signature(&state.secrets().1, &info, &canonical) != given {
        return Err(mismatch(&canonical));
    }
    let begin: Option<Timestamp> = time.parse().ok();
    let (Some(begin), Ok(expiry)) = (begin, expiry.parse::<i64>()) else {
        return Err(Failure::new(400, "InvalidHTTPAuthHeader", "The HTTP authorization header has no time."));
    };
    let age = state.now().as_second() - begin.as_second();
    if (-900..=expiry).contains(&age) { Ok(()) } else { Err(skewed(state, begin)) }
}

fn signature(secret: &str, info: &str, canonical: &str) -> String {
    let key = hex::encode(hmac256(secret.as_bytes(), info.as_bytes()));
    hex::encode(hmac256(key.as_bytes(), canonical.as_bytes()))
}

fn canonical(target: &Target, parts: &Parts, signed: &str) -> String {
    let named: Vec<&str> = signed.split(';').filter(|name| !name.is_empty()).collect();
    let is_signed = |name: &str| match named.is_empty() {
        true => DEFAULT.contains(&name) || name.starts_with("x-bce-"),
        false => named.contains(&name),
    };
    let mut lines: Vec<String> = parts
        .headers
        .keys()
        .map(|name| (name.as_str(), header(&parts.headers, name.as_str())))
        .filter(|(name, value)| is_signed(name) && !value.is_empty())
        .map(|(name, value)| {
            format!("{}:{}", encode(name.as_bytes(), false), encode(value.as_bytes(), false))
        })
        .collect();
    lines.sort();
    lines.dedup();
    let path = encode(&decode(parts.uri.path()), true);
    format!("{}\n{path}\n{}\n{}", parts.method, canonical_query(target, true), lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::super::known::{request, target};
    use super::*;

    /// The example of Baidu's "Generate authentication string", which several SDKs test against.
    #[test]
    fn the_known_answer_of_the_documentation() {
        let headers = [
            ("host", "bj.bcebos.com"),
            ("date", "Mon, 27 Apr 2015 16:23:49 +0800"),
            ("content-type", "text/plain"),
            ("content-length", "8"),
            ("content-md5", "0a52730597fb4ffa01fc117d9e71e3a9"),
            ("x-bce-date", "2015-04-27T08:23:49Z"),
        ];
        let text = "partNumber=9&uploadId=VXBsb2FkIElpZS5tMnRzIHVwbG9hZA";
        let uri = format!("http://bj.bcebos.com/v1/test/myfolder/readme.txt?{text}");
        let parts = request("PUT", &uri, &headers);
        let target = target("test", "myfolder/readme.txt", text, "PUT");
        let canonical = canonical(&target, &parts, "");
        let info = "bce-auth-v1/0b0f67dfb88244b289b72b142befad0c/2015-04-27T08:23:49Z/1800";
        let wanted = "a19e6386e990691aca1114a20357c83713f1cb4be3d74942bb4ed37469ecdacf";
        assert_eq!(signature("bad522c2126a4618a8125f4b6cf6356f", info, &canonical), wanted, "{canonical}");
    }
}
