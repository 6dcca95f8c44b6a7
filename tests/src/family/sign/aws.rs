//! AWS SigV4 (Amazon S3 API reference, "Authenticating Requests"), which BOS, KS3 and Kodo take as well, each
//! with its own region names.

use http::request::Parts;
use sha2::{Digest, Sha256};

use super::{
    basic_time, canonical_query, check_clock, decode, derive, encode, field, fields, header, hmac256,
    known_key, mismatch,
};
use crate::family::Target;
use crate::family::reply::Failure;
use crate::family::state::State;

pub(super) fn check(
    state: &State,
    target: &Target,
    parts: &Parts,
    authorization: &str,
) -> Result<(), Failure> {
    let fields = fields(authorization);
    let credential: Vec<&str> = field(&fields, "Credential").split('/').collect();
    let [key, date, region, service, _] = credential[..] else {
        return Err(Failure::new(400, "AuthorizationHeaderMalformed", "the credential is malformed"));
    };
    check_scope(state, region, service)?;
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
    let canonical = canonical(target, parts, signed, &payload);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{time}\n{date}/{region}/{service}/aws4_request\n{}",
        hex::encode(Sha256::digest(&canonical))
    );
    let key = derive(format!("AWS4{}", state.secrets().1), &[date, region, service, "aws4_request"]);
    let wanted = hex::encode(hmac256(&key, to_sign.as_bytes()));
    if wanted == field(&fields, "Signature") { Ok(()) } else { Err(mismatch(&canonical)) }
}

fn canonical(target: &Target, parts: &Parts, signed: &str, payload: &str) -> String {
    let headers: String = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", squeeze(&header(&parts.headers, name))))
        .collect();
    format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{payload}",
        parts.method,
        encode(&decode(parts.uri.path()), true),
        canonical_query(target, true),
    )
}

/// The region that the signature names is this server's, where it has one.
fn check_scope(state: &State, region: &str, service: &str) -> Result<(), Failure> {
    let mine = state.dialect.rules().region;
    if service != "s3" || (!mine.is_empty() && region != mine) {
        let text = format!(
            "The authorization header is malformed; the region '{region}' is wrong; expecting '{mine}'"
        );
        let failure = Failure::new(400, "AuthorizationHeaderMalformed", &text);
        return Err(failure.with("Region", mine.to_owned()));
    }
    Ok(())
}

/// Runs of spaces count as one.
fn squeeze(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::known::{request, target};
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn signature(canonical: &str) -> String {
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n{}",
            hex::encode(Sha256::digest(canonical))
        );
        let secret = "AWS4wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let key = derive(secret.into(), &["20130524", "us-east-1", "s3", "aws4_request"]);
        hex::encode(hmac256(&key, to_sign.as_bytes()))
    }

    /// Amazon S3 API reference, "Signature calculations for the Authorization header", examples.
    #[test]
    fn the_known_answers_of_the_documentation() {
        let basic = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", "20130524T000000Z"),
        ];
        let ranged = [&basic[..], &[("range", "bytes=0-9")]].concat();
        let plain = "host;x-amz-content-sha256;x-amz-date";
        let cases = [
            (
                "test.txt",
                "",
                &ranged[..],
                "host;range;x-amz-content-sha256;x-amz-date",
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "",
                "lifecycle=",
                &basic[..],
                plain,
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "",
                "max-keys=2&prefix=J",
                &basic[..],
                plain,
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ];
        for (key, text, headers, signed, wanted) in cases {
            let parts = request("GET", &format!("http://examplebucket.s3.amazonaws.com/{key}"), headers);
            let canonical = canonical(&target("examplebucket", key, text, "GET"), &parts, signed, EMPTY);
            assert_eq!(signature(&canonical), wanted, "{canonical}");
        }
    }
}
