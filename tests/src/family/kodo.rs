//! Qiniu's native API as far as its SDK needs it to upload, list, look at, copy, delete and download (Kodo
//! documentation, "Form upload", "Multipart upload v2", "stat", "copy", "move", "delete", "list", "Error
//! codes").

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use jiff::Timestamp;
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Value, json};

use super::bucket::{Item, page};
use super::multipart::{assemble, with};
use super::reply::{Failure, Outgoing, ok, set, stream};
use super::sign::qiniu::{Policy, check_management, check_upload};
use super::state::{Object, Part, State, Upload};
use super::sums::qetag;
use super::{Target, xml};

/// Parts of the native multipart upload but the last have this many bytes.
const PART_LEAST: usize = 1 << 20;

type Answer = Result<Response<Outgoing>, Failure>;

/// What a native upload says at its end.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ending {
    parts: Vec<xml::CompletedPart>,
    mime_type: Option<String>,
    metadata: Option<std::collections::BTreeMap<String, String>>,
}

pub(crate) fn answer(state: &State, target: &Target, parts: &Parts, body: &Bytes) -> Answer {
    let path = parts.uri.path().trim_start_matches('/');
    let segments: Vec<&str> = path.split('/').collect();
    let method = parts.method.as_str();
    match (method, &segments[..]) {
        ("POST", [""]) => upload_form(state, parts, body),
        (_, ["buckets", bucket, "objects", key, "uploads", rest @ ..]) => {
            upload_parts(state, parts, body, (bucket, key), rest)
        }
        (_, operation) => {
            check_management(state, parts, body)?;
            manage(state, target, operation)
        }
    }
}

fn manage(state: &State, target: &Target, operation: &[&str]) -> Answer {
    match operation {
        ["list"] => list(state, target),
        ["stat", entry] => {
            let (bucket, key) = entry_of(entry)?;
            Ok(reply(described(&found(state, &bucket, &key)?)))
        }
        ["delete", entry] => {
            let (bucket, key) = entry_of(entry)?;
            found(state, &bucket, &key)?;
            state.remove(&bucket, &key);
            Ok(reply(json!({})))
        }
        [verb @ ("copy" | "move"), from, to, rest @ ..] => {
            let ((bucket, key), (to_bucket, to_key)) = (entry_of(from)?, entry_of(to)?);
            let object = found(state, &bucket, &key)?;
            if rest != ["force", "true"] && state.object(&to_bucket, &to_key).is_some() {
                return Err(Failure::new(614, "FileExists", "file exists"));
            }
            state.insert(&to_bucket, &to_key, Object { modified: Timestamp::now(), ..object });
            if *verb == "move" {
                state.remove(&bucket, &key);
            }
            Ok(reply(json!({})))
        }
        _ => Err(Failure::new(400, "BadRequest", "invalid arguments")),
    }
}

fn reply(value: Value) -> Response<Outgoing> {
    let mut response = ok(200);
    set(&mut response, "content-type", "application/json");
    *response.body_mut() = stream(value.to_string().into(), false);
    response
}

/// The `bucket:key` of an encoded entry.
fn entry_of(text: &str) -> Result<(String, Vec<u8>), Failure> {
    let raw = URL_SAFE.decode(text).unwrap_or_default();
    let at = raw.iter().position(|byte| *byte == b':');
    let at = at.ok_or_else(|| Failure::new(400, "BadRequest", "invalid entry"))?;
    Ok((String::from_utf8_lossy(&raw[..at]).into_owned(), raw[at + 1..].to_vec()))
}

fn no_bucket() -> Failure {
    Failure::new(631, "NoSuchBucket", "no such bucket")
}

fn found(state: &State, bucket: &str, key: &[u8]) -> Result<Object, Failure> {
    if !state.buckets().contains_key(bucket) {
        return Err(no_bucket());
    }
    state.object(bucket, key).ok_or_else(|| Failure::new(612, "NoSuchEntry", "no such file or directory"))
}

fn described(object: &Object) -> Value {
    let kind =
        object.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str());
    let user =
        object.headers.iter().filter_map(|(name, value)| Some((name.strip_prefix("x-amz-meta-")?, value)));
    let user: serde_json::Map<String, Value> =
        user.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    json!({
        "hash": qetag(&object.data),
        "fsize": object.data.len(),
        "putTime": object.modified.as_nanosecond() / 100,
        "mimeType": kind.unwrap_or("application/octet-stream"),
        "type": 0,
        "md5": hex::encode(Md5::digest(&object.data)),
        "x-qn-meta": user,
    })
}

/// The marker is opaque.
fn list(state: &State, target: &Target) -> Answer {
    let text = |name: &str| target.query(name).unwrap_or_default();
    let bucket = text("bucket");
    if !state.buckets().contains_key(bucket) {
        return Err(no_bucket());
    }
    let bad = || Failure::new(640, "InvalidMarker", "invalid list marker");
    let after = match text("marker") {
        "" => Vec::new(),
        marker => {
            let value: Value = URL_SAFE
                .decode(marker)
                .ok()
                .and_then(|raw| serde_json::from_slice(&raw).ok())
                .ok_or_else(bad)?;
            value["k"].as_str().ok_or_else(bad)?.as_bytes().to_vec()
        }
    };
    let most = text("limit").parse::<usize>().unwrap_or(1000).clamp(1, 1000);
    let (items, truncated) =
        page(state, bucket, text("prefix").as_bytes(), text("delimiter").as_bytes(), &after, most);
    let (mut entries, mut prefixes, mut last) = (Vec::new(), Vec::new(), String::new());
    for item in items {
        match item {
            Item::Key(key, object) => {
                last = String::from_utf8_lossy(&key).into_owned();
                let mut entry = described(&object);
                entry["key"] = json!(last);
                entries.push(entry);
            }
            Item::Prefix(prefix) => {
                last = String::from_utf8_lossy(&prefix).into_owned();
                prefixes.push(last.clone());
            }
        }
    }
    let mut page = json!({"items": entries, "commonPrefixes": prefixes});
    if truncated {
        page["marker"] = json!(URL_SAFE.encode(json!({"c": 0, "k": last}).to_string()));
    }
    Ok(reply(page))
}

/// Stores what a token allows to store.
fn store(state: &State, policy: &Policy, bucket: &str, key: &[u8], object: Object) -> Answer {
    let (scope, exact) = match policy.scope.split_once(':') {
        Some((scope, key)) => (scope, Some(key.as_bytes())),
        None => (policy.scope.as_str(), None),
    };
    if scope != bucket || exact.is_some_and(|exact| exact != key) {
        return Err(Failure::new(403, "Forbidden", "key doesn't match with scope"));
    }
    if !state.buckets().contains_key(bucket) {
        return Err(no_bucket());
    }
    let there = state.object(bucket, key).filter(|there| there.data != object.data);
    if exact.is_none() && there.is_some() {
        return Err(Failure::new(614, "FileExists", "file exists"));
    }
    let answer = json!({"hash": qetag(&object.data), "key": String::from_utf8_lossy(key)});
    state.insert(bucket, key, object);
    Ok(reply(answer))
}

fn made(data: Bytes, kind: Option<String>, user: impl IntoIterator<Item = (String, String)>) -> Object {
    let kind = kind.unwrap_or_else(|| "application/octet-stream".to_owned());
    let mut headers = vec![("content-type".to_owned(), kind)];
    let user = user
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("x-qn-meta-")?.to_lowercase(), value)));
    headers.extend(user.map(|(name, value)| (format!("x-amz-meta-{name}"), value)));
    Object { etag: qetag(&data), headers, ..Object::new(data) }
}

fn upload_form(state: &State, parts: &Parts, body: &Bytes) -> Answer {
    let malformed = || Failure::new(400, "BadRequest", "invalid multipart format");
    let kind = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = kind.split_once("boundary=").map(|(_, boundary)| boundary.trim_matches('"'));
    let fields = fields(body, boundary.ok_or_else(malformed)?);
    let field = |name: &str| fields.iter().find(|field| field.name == name);
    let text = |name: &str| field(name).map(|field| String::from_utf8_lossy(&field.data).into_owned());
    let token = text("token").ok_or_else(|| Failure::new(401, "BadToken", "token not specified"))?;
    let policy = check_upload(state, &token)?;
    let file = field("file").ok_or_else(malformed)?;
    let crc = text("crc32").and_then(|crc| crc.parse::<u64>().ok());
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &file.data);
    if crc.is_some_and(|crc| crc != sum) {
        return Err(Failure::new(406, "CrcMismatch", "data unmatched checksum"));
    }
    let bucket = policy.scope.split(':').next().unwrap_or_default().to_owned();
    let key = field("key").map_or_else(|| qetag(&file.data).into_bytes(), |key| key.data.to_vec());
    let user =
        fields.iter().map(|field| (field.name.clone(), String::from_utf8_lossy(&field.data).into_owned()));
    store(state, &policy, &bucket, &key, made(file.data.clone(), file.kind.clone(), user))
}

/// A field of a form.
struct Field {
    name: String,
    kind: Option<String>,
    data: Bytes,
}

fn find(data: &[u8], what: &[u8]) -> Option<usize> {
    data.windows(what.len()).position(|window| window == what)
}

fn fields(body: &Bytes, boundary: &str) -> Vec<Field> {
    let (mut rest, mut found) = (body.clone(), Vec::new());
    let end = format!("\r\n--{boundary}");
    while let Some(at) = find(&rest, b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..at]).into_owned();
        let after = rest.slice(at + 4..);
        let Some(length) = find(&after, end.as_bytes()) else { break };
        let name = head.split_once("name=\"").and_then(|(_, name)| name.split('"').next());
        let lower = head.to_lowercase();
        let kind = lower.find("content-type:").map(|at| {
            head[at + "content-type:".len()..].lines().next().unwrap_or_default().trim().to_owned()
        });
        found.push(Field { name: name.unwrap_or_default().to_owned(), kind, data: after.slice(..length) });
        rest = after.slice(length + 2..);
    }
    found
}

fn upload_parts(
    state: &State,
    parts: &Parts,
    body: &Bytes,
    (bucket, encoded): (&str, &str),
    rest: &[&str],
) -> Answer {
    let given = parts.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = given.strip_prefix("UpToken ").unwrap_or_default();
    let policy = check_upload(state, token)?;
    let key = URL_SAFE.decode(encoded).map_err(|_| Failure::new(400, "BadRequest", "invalid key"))?;
    let target =
        Target { method: parts.method.clone(), bucket: bucket.into(), key: key.clone(), query: Vec::new() };
    let gone = |failure: Failure| failure.status(612);
    match (parts.method.as_str(), rest) {
        ("POST", []) => {
            let id = state.begin_upload(bucket, &key, 0);
            let until = state.now().as_second() + 7 * 86_400;
            Ok(reply(json!({"uploadId": id, "expireAt": until})))
        }
        ("PUT", [id, number]) => {
            let number: u32 =
                number.parse().map_err(|_| Failure::new(400, "BadRequest", "invalid part number"))?;
            check_hex_digest(parts, body)?;
            let part = Part { data: body.clone(), etag: qetag(body), modified: Timestamp::now() };
            let answer = json!({"etag": part.etag, "md5": hex::encode(Md5::digest(body))});
            with(state, &target, id, |upload| {
                upload.parts.insert(number, part);
                Ok(())
            })
            .map_err(gone)?;
            Ok(reply(answer))
        }
        ("POST", [id]) => {
            let ending: Ending = xml::read(body)?;
            let wanted = xml::Completion { part: ending.parts };
            let join = |upload: &mut Upload| assemble(state.dialect, upload, &wanted, PART_LEAST);
            let object = with(state, &target, id, join)?;
            let object = made(object.data, ending.mime_type, ending.metadata.unwrap_or_default());
            let answer = store(state, &policy, bucket, &key, object)?;
            if let Some(bucket) = state.buckets().get_mut(bucket) {
                bucket.uploads.remove(*id);
            }
            Ok(answer)
        }
        ("DELETE", [id]) => {
            with(state, &target, id, |_| Ok(())).map_err(gone)?;
            if let Some(bucket) = state.buckets().get_mut(bucket) {
                bucket.uploads.remove(*id);
            }
            Ok(reply(json!({})))
        }
        _ => Err(Failure::new(400, "BadRequest", "invalid arguments")),
    }
}

/// The native API writes `Content-MD5` in hexadecimal digits.
fn check_hex_digest(parts: &Parts, body: &Bytes) -> Result<(), Failure> {
    let given = parts.headers.get("content-md5").and_then(|value| value.to_str().ok());
    let wanted = hex::encode(Md5::digest(body));
    let fits = given.is_none_or(|given| given.eq_ignore_ascii_case(&wanted));
    if fits { Ok(()) } else { Err(Failure::new(406, "Md5Mismatch", "data unmatched checksum")) }
}
