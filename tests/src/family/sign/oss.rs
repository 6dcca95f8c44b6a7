//! OSS V4 and V1 (OSS API reference, "Signature version 4", "Include signatures in the Authorization header").

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use sha2::{Digest, Sha256};

use super::{
    basic_time, canonical_query, check_clock, derive, encode, field, fields, header, hmac1, hmac256,
    http_time, known_key, mismatch,
};
use crate::family::Target;
use crate::family::reply::Failure;
use crate::family::state::State;

pub(super) fn check_v4(
    state: &State,
    target: &Target,
    parts: &Parts,
    authorization: &str,
) -> Result<(), Failure> {
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
    let canonical = v4_canonical(target, parts, field(&fields, "AdditionalHeaders"));
    let to_sign = format!(
        "OSS4-HMAC-SHA256\n{time}\n{date}/{region}/oss/aliyun_v4_request\n{}",
        hex::encode(Sha256::digest(&canonical))
    );
    let key = derive(format!("aliyun_v4{}", state.secrets().1), &[date, region, "oss", "aliyun_v4_request"]);
    let wanted = hex::encode(hmac256(&key, to_sign.as_bytes()));
    if wanted == field(&fields, "Signature") { Ok(()) } else { Err(mismatch(&canonical)) }
}

fn v4_canonical(target: &Target, parts: &Parts, additional: &str) -> String {
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

pub(super) fn check_v1(
    state: &State,
    target: &Target,
    parts: &Parts,
    authorization: &str,
) -> Result<(), Failure> {
    let given = authorization.strip_prefix("OSS ").and_then(|rest| rest.split_once(':'));
    let (key, signature) =
        given.ok_or_else(|| Failure::new(403, "AccessDenied", "unknown kind of authorization"))?;
    known_key(state, key)?;
    let oss_date = header(&parts.headers, "x-oss-date");
    let date = if oss_date.is_empty() { header(&parts.headers, "date") } else { oss_date };
    check_clock(state, http_time(&date))?;
    let to_sign = v1_to_sign(target, parts, &date);
    if v1_sign(&state.secrets().1, &to_sign) == signature { Ok(()) } else { Err(mismatch(&to_sign)) }
}

fn v1_sign(secret: &str, to_sign: &str) -> String {
    STANDARD.encode(hmac1(secret.as_bytes(), to_sign.as_bytes()))
}

fn v1_to_sign(target: &Target, parts: &Parts, date: &str) -> String {
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
    use super::super::known::{request, target};
    use super::*;

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
            let to_sign = v1_to_sign(&target("examplebucket", "nelson", text, "PUT"), &parts, date);
            assert_eq!(v1_sign("sk", &to_sign), wanted, "{to_sign}");
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
        let canonical = v4_canonical(&target("bucket", "1234+-/123/1.txt", text, "PUT"), &parts, "");
        let to_sign = format!(
            "OSS4-HMAC-SHA256\n20231216T162057Z\n20231216/cn-hangzhou/oss/aliyun_v4_request\n{}",
            hex::encode(Sha256::digest(&canonical))
        );
        let key = derive("aliyun_v4sk".into(), &["20231216", "cn-hangzhou", "oss", "aliyun_v4_request"]);
        let wanted = "e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe";
        assert_eq!(hex::encode(hmac256(&key, to_sign.as_bytes())), wanted, "{canonical}");
    }
}
