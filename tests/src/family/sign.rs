//! Checks signatures: AWS SigV4 (Amazon S3 API reference, "Authenticating Requests"), OSS V4 and V1 (OSS API
//! reference, "Signature version 4", "Include signatures in the Authorization header").
//!
//! The path is decoded and encoded again in the canonical way, because clients differ in what they leave
//! unencoded (`a%2F%2Fb` and `a//b` are the same key).

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use http::request::Parts;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::reply::Failure;
use super::state::State;
use super::{Dialect, Target};

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
    if authorization.is_empty() && target.has("Signature") {
        return Err(Failure::new(400, "NotImplemented", "presigned requests are not part of this server"));
    }
    if authorization.is_empty() {
        return Err(Failure::new(403, "AccessDenied", "Anonymous access is forbidden for this operation."));
    }
    match state.dialect {
        Dialect::S3 => check_aws(state, target, parts, &authorization),
        Dialect::Oss if authorization.starts_with("OSS4-HMAC-SHA256") => {
            check_oss_v4(state, target, parts, &authorization)
        }
        Dialect::Oss => check_oss_v1(state, target, parts, &authorization),
    }
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

/// 15 minutes either way, as both vendors have it.
fn check_clock(state: &State, then: Option<Timestamp>) -> Result<(), Failure> {
    let Some(then) = then else { return Err(Failure::new(403, "AccessDenied", "a valid date is required")) };
    let now = state.now();
    if (now.as_second() - then.as_second()).abs() <= 900 {
        return Ok(());
    }
    let text = "The difference between the request time and the current time is too large.";
    Err(Failure::new(403, "RequestTimeTooSkewed", text)
        .with("RequestTime", then.to_string())
        .with("ServerTime", now.to_string()))
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

fn check_aws(state: &State, target: &Target, parts: &Parts, authorization: &str) -> Result<(), Failure> {
    let fields = fields(authorization);
    let credential: Vec<&str> = field(&fields, "Credential").split('/').collect();
    let [key, date, region, service, _] = credential[..] else {
        return Err(Failure::new(400, "AuthorizationHeaderMalformed", "the credential is malformed"));
    };
    known_key(state, key)?;
    let time = header(&parts.headers, "x-amz-date");
    check_clock(state, basic_time(&time))?;
    let payload = header(&parts.headers, "x-amz-content-sha256");
    if payload.is_empty() {
        return Err(Failure::new(
            400,
            "InvalidRequest",
            "Missing required header for this request: x-amz-content-sha256",
        ));
    }
    let signed = field(&fields, "SignedHeaders");
    for name in parts.headers.keys().filter(|name| name.as_str().starts_with("x-amz-")) {
        if !signed.split(';').any(|signed| signed == name.as_str()) {
            return Err(Failure::new(
                403,
                "AccessDenied",
                "There were headers present in the request which were not signed",
            ));
        }
    }
    let headers: String = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", squeeze(&header(&parts.headers, name))))
        .collect();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{payload}",
        parts.method,
        encode(&decode(parts.uri.path()), true),
        canonical_query(target, true),
    );
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{time}\n{date}/{region}/{service}/aws4_request\n{}",
        hex::encode(Sha256::digest(&canonical))
    );
    let key = derive(format!("AWS4{}", state.secrets().1), &[date, region, service, "aws4_request"]);
    let wanted = hex::encode(hmac256(&key, to_sign.as_bytes()));
    if wanted == field(&fields, "Signature") { Ok(()) } else { Err(mismatch(&canonical)) }
}

/// Runs of spaces count as one.
fn squeeze(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn check_oss_v4(state: &State, target: &Target, parts: &Parts, authorization: &str) -> Result<(), Failure> {
    let fields = fields(authorization);
    let credential: Vec<&str> = field(&fields, "Credential").split('/').collect();
    let [key, date, region, "oss", "aliyun_v4_request"] = credential[..] else {
        return Err(Failure::new(
            403,
            "InvalidCredential",
            "Invalid signing product or scope in Authorization header.",
        ));
    };
    known_key(state, key)?;
    let time = header(&parts.headers, "x-oss-date");
    check_clock(state, basic_time(&time))?;
    let canonical = oss_v4_canonical(target, parts, field(&fields, "AdditionalHeaders"));
    let to_sign = format!(
        "OSS4-HMAC-SHA256\n{time}\n{date}/{region}/oss/aliyun_v4_request\n{}",
        hex::encode(Sha256::digest(&canonical))
    );
    let key = derive(format!("aliyun_v4{}", state.secrets().1), &[date, region, "oss", "aliyun_v4_request"]);
    let wanted = hex::encode(hmac256(&key, to_sign.as_bytes()));
    if wanted == field(&fields, "Signature") { Ok(()) } else { Err(mismatch(&canonical)) }
}

fn oss_v4_canonical(target: &Target, parts: &Parts, additional: &str) -> String {
    let extra: Vec<&str> = additional.split(';').filter(|name| !name.is_empty()).collect();
    let mut names: Vec<String> = parts
        .headers
        .keys()
        .map(|name| name.as_str().to_owned())
        .filter(|name| {
            name.starts_with("x-oss-")
                || name == "content-type"
                || name == "content-md5"
                || extra.contains(&name.as_str())
        })
        .collect();
    names.sort();
    names.dedup();
    let headers: String =
        names.iter().map(|name| format!("{name}:{}\n", header(&parts.headers, name))).collect();
    let mut resource = Vec::from(&b"/"[..]);
    if !target.bucket.is_empty() {
        resource.extend(target.bucket.as_bytes());
        resource.push(b'/');
        resource.extend(&target.key);
    }
    format!(
        "{}\n{}\n{}\n{headers}\n{}\n{}",
        parts.method,
        encode(&resource, true),
        canonical_query(target, false),
        extra.join(";"),
        header(&parts.headers, "x-oss-content-sha256"),
    )
}

/// Query parameters that OSS V1 signs (oss-py `oss2/auth.py`).
const SUB_RESOURCES: &[&str] = &[
    "acl",
    "append",
    "asyncFetch",
    "bucketInfo",
    "callback",
    "callback-var",
    "comp",
    "continuation-token",
    "cors",
    "delete",
    "encryption",
    "endTime",
    "img",
    "inventory",
    "lifecycle",
    "live",
    "location",
    "logging",
    "metaQuery",
    "objectMeta",
    "partNumber",
    "policy",
    "position",
    "publicAccessBlock",
    "qos",
    "qosInfo",
    "referer",
    "replication",
    "requestPayment",
    "resourceGroup",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "security-token",
    "sequential",
    "startTime",
    "stat",
    "status",
    "style",
    "styleName",
    "symlink",
    "tagging",
    "transferAcceleration",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "vod",
    "website",
    "worm",
    "wormExtend",
    "wormId",
    "x-oss-process",
    "x-oss-traffic-limit",
];

fn check_oss_v1(state: &State, target: &Target, parts: &Parts, authorization: &str) -> Result<(), Failure> {
    let given = authorization.strip_prefix("OSS ").and_then(|rest| rest.split_once(':'));
    let (key, signature) =
        given.ok_or_else(|| Failure::new(403, "AccessDenied", "unknown kind of authorization"))?;
    known_key(state, key)?;
    let oss_date = header(&parts.headers, "x-oss-date");
    let date = if oss_date.is_empty() { header(&parts.headers, "date") } else { oss_date };
    check_clock(state, http_time(&date))?;
    let to_sign = oss_v1_to_sign(target, parts, &date);
    if oss_v1_sign(&state.secrets().1, &to_sign) == signature { Ok(()) } else { Err(mismatch(&to_sign)) }
}

fn http_time(text: &str) -> Option<Timestamp> {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
    parsed.ok()
}

fn oss_v1_sign(secret: &str, to_sign: &str) -> String {
    use base64::Engine;
    let Ok(mut mac) = Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(to_sign.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

fn oss_v1_to_sign(target: &Target, parts: &Parts, date: &str) -> String {
    let mut names: Vec<&str> =
        parts.headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("x-oss-")).collect();
    names.sort_unstable();
    names.dedup();
    let headers: String =
        names.iter().map(|name| format!("{name}:{}\n", header(&parts.headers, name))).collect();
    let mut signed: Vec<&(String, String)> = target
        .query
        .iter()
        .filter(|(name, _)| SUB_RESOURCES.contains(&name.as_str()) || name.starts_with("x-oss-"))
        .collect();
    signed.sort();
    let pairs: Vec<String> = signed
        .iter()
        .map(|(name, value)| if value.is_empty() { name.clone() } else { format!("{name}={value}") })
        .collect();
    let question = if pairs.is_empty() { "" } else { "?" };
    let bucket = if target.bucket.is_empty() { String::new() } else { format!("{}/", target.bucket) };
    format!(
        "{}\n{}\n{}\n{date}\n{headers}/{bucket}{}{question}{}",
        parts.method,
        header(&parts.headers, "content-md5"),
        header(&parts.headers, "content-type"),
        String::from_utf8_lossy(&target.key),
        pairs.join("&"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn target(bucket: &str, key: &str, text: &str, method: &str) -> Target {
        Target { method: method.parse().unwrap(), bucket: bucket.into(), key: key.into(), query: query(text) }
    }

    #[test]
    fn oss_v1_known_answers_of_the_vendors_sdk() {
        let headers = [
            ("content-md5", "eB5eJF1ptWaXm4bijSPyxw=="),
            ("content-type", "text/html"),
            ("x-oss-date", "Wed, 28 Dec 2022 10:27:41 GMT"),
            ("x-oss-meta-author", "alice"),
            ("x-oss-meta-magic", "abracadabra"),
        ];
        let date = "Wed, 28 Dec 2022 10:27:41 GMT";
        for (text, wanted) in [("", "kSHKmLxlyEAKtZPkJhG9bZb5k7M="), ("acl", "/afkugFbmWDQ967j1vr6zygBLQk=")]
        {
            let parts = request("PUT", "http://examplebucket.h/nelson", &headers);
            let to_sign = oss_v1_to_sign(&target("examplebucket", "nelson", text, "PUT"), &parts, date);
            assert_eq!(oss_v1_sign("sk", &to_sign), wanted, "{to_sign}");
        }
    }

    #[test]
    fn oss_v4_known_answer_of_the_vendors_sdk() {
        let text = "%2Bparam1=value3&%2Bparam2&%7Cparam1=value4&%7Cparam2&param1=value1&param2";
        let headers = [
            ("content-type", "text/plain"),
            ("x-oss-head1", "value"),
            ("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
            ("x-oss-date", "20231216T162057Z"),
            ("abc", "value"),
        ];
        let parts = request("PUT", "http://bucket.h/1234+-/123/1.txt", &headers);
        let canonical = oss_v4_canonical(&target("bucket", "1234+-/123/1.txt", text, "PUT"), &parts, "");
        let to_sign = format!(
            "OSS4-HMAC-SHA256\n20231216T162057Z\n20231216/cn-hangzhou/oss/aliyun_v4_request\n{}",
            hex::encode(Sha256::digest(&canonical))
        );
        let key = derive("aliyun_v4sk".into(), &["20231216", "cn-hangzhou", "oss", "aliyun_v4_request"]);
        let wanted = "e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe";
        assert_eq!(hex::encode(hmac256(&key, to_sign.as_bytes())), wanted, "{canonical}");
    }
}
