//! KS3's own signature, `KSS` (KS3 documentation, "Request signature"; `ks3/auth.py`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;

use super::{check_clock, encode, header, hmac1, http_time, known_key, mismatch};
use crate::family::Target;
use crate::family::reply::Failure;
use crate::family::state::State;

/// How the header begins.
pub(super) const SCHEME: &str = "KSS ";

/// Query parameters that are signed, as far as this server knows them (`qsa_of_interest`).
const SIGNED: [&str; 11] = [
    "acl",
    "delete",
    "lifecycle",
    "location",
    "logging",
    "partNumber",
    "restore",
    "tagging",
    "uploadId",
    "uploads",
    "versioning",
];

pub(super) fn check(
    state: &State,
    target: &Target,
    parts: &Parts,
    authorization: &str,
) -> Result<(), Failure> {
    let given = authorization.strip_prefix(SCHEME).and_then(|rest| rest.split_once(':'));
    let Some((key, given)) = given else {
        return Err(Failure::new(403, "AccessDenied", "the authorization is malformed"));
    };
    known_key(state, key)?;
    let kss_date = header(&parts.headers, "x-kss-date");
    let date = if kss_date.is_empty() { header(&parts.headers, "date") } else { String::new() };
    check_clock(state, http_time(if date.is_empty() { &kss_date } else { &date }))?;
    let to_sign = to_sign(target, parts, &date);
    let wanted = STANDARD.encode(hmac1(state.secrets().1.as_bytes(), to_sign.as_bytes()));
    if wanted == given { Ok(()) } else { Err(mismatch(&to_sign)) }
}

fn to_sign(target: &Target, parts: &Parts, date: &str) -> String {
    let mut names: Vec<&str> =
        parts.headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("x-kss-")).collect();
    names.sort_unstable();
    let headers: String =
        names.iter().map(|name| format!("{name}:{}\n", header(&parts.headers, name))).collect();
    let mut pairs: Vec<&(String, String)> =
        target.query.iter().filter(|(name, _)| SIGNED.contains(&name.as_str())).collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| if value.is_empty() { name.clone() } else { format!("{name}={value}") })
        .collect();
    let bucket = if target.bucket.is_empty() { String::new() } else { format!("{}/", target.bucket) };
    // An empty segment is written `/%2F`, on the wire too.
    let resource = format!("/{bucket}{}", encode(&target.key, true)).replace("//", "/%2F");
    let question = if pairs.is_empty() { "" } else { "?" };
    format!(
        "{}\n{}\n{}\n{date}\n{headers}{resource}{question}{}",
        parts.method,
        header(&parts.headers, "content-md5"),
        header(&parts.headers, "content-type"),
        pairs.join("&"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::known::{request, target};
    use super::*;

    /// What `canonical_string` and `encode` of ks3sdk 1.18.0 (`ks3/auth.py`) give for this request.
    #[test]
    fn the_answer_of_the_vendors_sdk() {
        let headers = [
            ("content-md5", "eB5eJF1ptWaXm4bijSPyxw=="),
            ("content-type", "text/html"),
            ("x-kss-meta-author", "alice"),
            ("x-kss-acl", "private"),
        ];
        let date = "Wed, 28 Dec 2022 10:27:41 GMT";
        let parts = request("PUT", "http://h/bucket/a/%2Fb%20c", &headers);
        let to_sign = to_sign(&target("bucket", "a//b c", "uploadId=U&partNumber=1", "PUT"), &parts, date);
        let signature = STANDARD.encode(hmac1(b"sk", to_sign.as_bytes()));
        assert_eq!(signature, "h+2YoN1/yhPp7Y3SCJrgfFcMAkY=", "{to_sign}");
    }
}
