//! Qiniu's tokens: `Qiniu` and `QBox` for the management API, `UpToken` for uploads, and signed addresses for
//! downloads (Kodo documentation, "Management token", "Upload token", "Download token"; `qiniu/auth.py`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use http::request::Parts;
use serde::Deserialize;

use super::{basic_time, check_clock, header, hmac1};
use crate::family::reply::Failure;
use crate::family::state::State;

/// What an upload token allows.
#[derive(Debug, Deserialize)]
pub(crate) struct Policy {
    /// `bucket` or `bucket:key`; with the key, what is there may be written over.
    pub(crate) scope: String,
    deadline: i64,
}

fn refused(text: &str) -> Failure {
    Failure::new(401, "BadToken", text)
}

fn sign(secret: &str, data: &[u8]) -> String {
    URL_SAFE.encode(hmac1(secret.as_bytes(), data))
}

/// `key:signature` over these bytes.
fn check_pair(state: &State, pair: &str, data: &[u8]) -> Result<(), Failure> {
    let (access, secret) = state.secrets();
    if pair == format!("{access}:{}", sign(&secret, data)) { Ok(()) } else { Err(refused("bad token")) }
}

/// A request of the management API.
pub(crate) fn check_management(state: &State, parts: &Parts, body: &[u8]) -> Result<(), Failure> {
    let authorization = header(&parts.headers, "authorization");
    if let Some(pair) = authorization.strip_prefix("Qiniu ") {
        let time = header(&parts.headers, "x-qiniu-date");
        if !time.is_empty() {
            check_clock(state, basic_time(&time))?;
        }
        return check_pair(state, pair, &management(parts, body));
    }
    let Some(pair) = authorization.strip_prefix("QBox ") else { return Err(refused("bad token")) };
    let form = header(&parts.headers, "content-type") == "application/x-www-form-urlencoded";
    let mut data = format!("{}\n", path_and_query(parts)).into_bytes();
    data.extend_from_slice(if form { body } else { b"" });
    check_pair(state, pair, &data)
}

fn path_and_query(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("/", |path| path.as_str())
}

fn management(parts: &Parts, body: &[u8]) -> Vec<u8> {
    let mut text =
        format!("{} {}\nHost: {}", parts.method, path_and_query(parts), header(&parts.headers, "host"));
    let kind = header(&parts.headers, "content-type");
    if !kind.is_empty() {
        text += &format!("\nContent-Type: {kind}");
    }
    let mut names: Vec<&str> =
        parts.headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("x-qiniu-")).collect();
    names.sort_unstable();
    for name in names {
        text += &format!("\n{}: {}", capitals(name), header(&parts.headers, name));
    }
    let mut data = (text + "\n\n").into_bytes();
    if !kind.is_empty() && kind != "application/octet-stream" {
        data.extend_from_slice(body);
    }
    data
}

/// `X-Qiniu-Date`.
fn capitals(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// An upload token: what it allows, if it is good and not over.
pub(crate) fn check_upload(state: &State, token: &str) -> Result<Policy, Failure> {
    let Some((pair, encoded)) = token.rsplit_once(':') else { return Err(refused("bad token")) };
    check_pair(state, pair, encoded.as_bytes())?;
    let policy = URL_SAFE.decode(encoded).ok().and_then(|raw| serde_json::from_slice::<Policy>(&raw).ok());
    let policy = policy.ok_or_else(|| refused("bad token"))?;
    if policy.deadline < state.now().as_second() { Err(refused("expired token")) } else { Ok(policy) }
}

/// A download address: `http://domain/key?e=deadline&token=key:signature`, signed without its last parameter.
pub(super) fn check_download(state: &State, parts: &Parts) -> Result<(), Failure> {
    let address = format!("http://{}{}", header(&parts.headers, "host"), path_and_query(parts));
    let Some((signed, token)) = address.rsplit_once("&token=") else { return Err(refused("bad token")) };
    check_pair(state, token, signed.as_bytes())?;
    let deadline = signed.rsplit_once("e=").and_then(|(_, deadline)| deadline.parse::<i64>().ok());
    let good = deadline.is_some_and(|deadline| deadline >= state.now().as_second());
    if good { Ok(()) } else { Err(refused("token out of date")) }
}

#[cfg(test)]
mod tests {
    use super::super::known::request;
    use super::*;

    /// Kodo documentation, "Download token".
    #[test]
    fn the_known_answer_of_the_documentation() {
        let address = "http://78re52.com1.z0.glb.clouddn.com/resource/flower.jpg?e=1451491200";
        assert_eq!(sign("MY_SECRET_KEY", address.as_bytes()), "438dd8pXocjYuF-6dTcKMtETB2g=");
    }

    /// What `QiniuMacAuth.token_of_request` of qiniu 7.18.0 gives for this request.
    #[test]
    fn the_answer_of_the_vendors_sdk() {
        let headers = [
            ("host", "rs.example.com"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-qiniu-date", "20221228T102741Z"),
        ];
        let parts = request("POST", "http://rs.example.com/stat/YTpi?x=1", &headers);
        assert_eq!(sign("1234567890", &management(&parts, b"a=1&b=2")), "9BvbvT5KxsmNtXCo_A_loICpvsc=");
    }
}
