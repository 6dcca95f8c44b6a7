//! COS `q-sign` (COS documentation, "Request signature"; `qcloud_cos/cos_auth.py`).

use http::request::Parts;
use jiff::Timestamp;
use sha1::{Digest, Sha1};

use super::{decode, encode, header, hmac1, known_key, mismatch, skewed};
use crate::family::Target;
use crate::family::reply::Failure;
use crate::family::state::State;

/// What the header says.
struct Given<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Given<'a> {
    fn of(authorization: &'a str) -> Self {
        Given(authorization.split('&').filter_map(|pair| pair.split_once('=')).collect())
    }

    fn get(&self, name: &str) -> &'a str {
        self.0.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    fn list(&self, name: &str) -> Vec<&'a str> {
        self.get(name).split(';').filter(|name| !name.is_empty()).collect()
    }
}

pub(super) fn check(
    state: &State,
    target: &Target,
    parts: &Parts,
    authorization: &str,
) -> Result<(), Failure> {
    let given = Given::of(authorization);
    if given.get("q-sign-algorithm") != "sha1" {
        return Err(Failure::new(403, "AccessDenied", "the signature is of no known kind"));
    }
    known_key(state, given.get("q-ak"))?;
    let wanted = signature(&state.secrets().1, target, parts, &given);
    if wanted.1 != given.get("q-signature") {
        return Err(mismatch(&wanted.0));
    }
    for name in ["q-key-time", "q-sign-time"] {
        check_window(state, given.get(name))?;
    }
    Ok(())
}

/// `begin;end` in seconds has to be around now.
fn check_window(state: &State, window: &str) -> Result<(), Failure> {
    let ends =
        window.split_once(';').and_then(|(a, b)| Some((a.parse::<i64>().ok()?, b.parse::<i64>().ok()?)));
    let Some((begin, end)) = ends else {
        return Err(Failure::new(403, "AccessDenied", "the signature names no time"));
    };
    let now = state.now().as_second();
    let fits = begin <= now && now <= end;
    if fits { Ok(()) } else { Err(skewed(state, Timestamp::from_second(begin).unwrap_or_default())) }
}

/// The text that is signed, and the signature.
fn signature(secret: &str, target: &Target, parts: &Parts, given: &Given<'_>) -> (String, String) {
    let name_of = |name: &str| encode(name.as_bytes(), false).to_lowercase();
    let params: Vec<String> = given
        .list("q-url-param-list")
        .iter()
        .map(|name| {
            let pair = target.query.iter().find(|(key, _)| name_of(key) == *name);
            format!("{name}={}", encode(pair.map_or("", |(_, value)| value).as_bytes(), false))
        })
        .collect();
    let headers: Vec<String> = given
        .list("q-header-list")
        .iter()
        .map(|name| format!("{name}={}", encode(header(&parts.headers, name).as_bytes(), false)))
        .collect();
    let request = format!(
        "{}\n{}\n{}\n{}\n",
        parts.method.as_str().to_lowercase(),
        String::from_utf8_lossy(&decode(parts.uri.path())),
        params.join("&"),
        headers.join("&"),
    );
    let digest = hex::encode(Sha1::digest(&request));
    let to_sign = format!("sha1\n{}\n{digest}\n", given.get("q-sign-time"));
    let key = hex::encode(hmac1(secret.as_bytes(), given.get("q-key-time").as_bytes()));
    (request, hex::encode(hmac1(key.as_bytes(), to_sign.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::super::known::{request, target};
    use super::*;

    /// `auth_test.go` of cos-go-sdk-v5.
    #[test]
    fn the_known_answer_of_the_vendors_go_sdk() {
        let headers = [
            ("host", "testbucket-125000000.cos.ap-guangzhou.myqcloud.com"),
            ("x-cos-content-sha1", "db8ac1c259eb89d4a131b253bacfca5f319d54f2"),
            ("x-cos-stroage-class", "nearline"),
        ];
        let parts =
            request("PUT", "http://testbucket-125000000.cos.ap-guangzhou.myqcloud.com/testfile2", &headers);
        let text = "q-key-time=1480932292;1481012292&q-sign-time=1480932292;1481012292\
            &q-header-list=host;x-cos-content-sha1;x-cos-stroage-class&q-url-param-list=";
        let target = target("testbucket-125000000", "testfile2", "", "PUT");
        let (request, signature) =
            signature("AKIDZfbOA78asKUYBcXFrJD0a1ICvR98JM", &target, &parts, &Given::of(text));
        assert_eq!(signature, "ce4ac0ecbcdb30538b3fee0a97cc6389694ce53a", "{request}");
    }
}
