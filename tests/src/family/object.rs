//! Requests on an object: put, copy, get, head, delete, and the way to multipart.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use http::Response;
use http::request::Parts;
use jiff::Timestamp;
use md5::{Digest, Md5};

use super::body::Received;
use super::reply::{Failure, Outgoing, document, ok, set, stream};
use super::state::{Object, State};
use super::{Dialect, Target, multipart, sign, xml};

/// Content headers that are kept beside user metadata.
const KEPT: [&str; 6] = [
    "content-type",
    "content-encoding",
    "content-language",
    "content-disposition",
    "cache-control",
    "expires",
];

/// The checksums of S3 that this server knows.
const SUMS: [(&str, CrcAlgorithm); 3] = [
    ("x-amz-checksum-crc64nvme", CrcAlgorithm::Crc64Nvme),
    ("x-amz-checksum-crc32c", CrcAlgorithm::Crc32Iscsi),
    ("x-amz-checksum-crc32", CrcAlgorithm::Crc32IsoHdlc),
];

pub(crate) fn answer(
    state: &State,
    target: &Target,
    parts: &Parts,
    body: Received,
) -> Result<Response<Outgoing>, Failure> {
    if !state.buckets().contains_key(&target.bucket) {
        return Err(Failure::new(404, "NoSuchBucket", "The specified bucket does not exist."));
    }
    check_name(state.dialect, &target.key)?;
    check_digest(parts, &body.data)?;
    let upload = target.query("uploadId").map(str::to_owned);
    match (target.method.as_str(), upload) {
        ("POST", None) if target.has("uploads") => multipart::begin(state, target, parts),
        ("PUT", Some(id)) => multipart::part(state, target, parts, &body, &id),
        ("GET", Some(id)) => multipart::list_parts(state, target, &id),
        ("POST", Some(id)) => multipart::complete(state, target, parts, &body, &id),
        ("DELETE", Some(id)) => multipart::abort(state, target, &id),
        ("PUT", None) if target.has("symlink") => put_symlink(state, target, parts),
        ("PUT", None) if copy_source(state, parts).is_some() => copy(state, target, parts),
        ("PUT", None) if target.query.is_empty() => put(state, target, parts, &body),
        ("GET", None) if target.has("acl") => {
            let owner = "<Owner><ID>1</ID><DisplayName>1</DisplayName></Owner>";
            let grant = "<AccessControlList><Grant>default</Grant></AccessControlList>";
            Ok(document(xml::document("AccessControlPolicy", &format!("{owner}{grant}"))))
        }
        ("GET" | "HEAD", None) => get(state, target, parts),
        ("DELETE", None) => {
            if let Some(bucket) = state.buckets().get_mut(&target.bucket) {
                bucket.objects.remove(&target.key);
            }
            Ok(ok(204))
        }
        _ => Err(Failure::new(
            501,
            "NotImplemented",
            "A header or query you provided implies functionality that is not implemented.",
        )),
    }
}

fn check_name(dialect: Dialect, key: &[u8]) -> Result<(), Failure> {
    let utf8 = std::str::from_utf8(key).is_ok();
    match dialect {
        Dialect::Oss if !utf8 || key.len() > 1023 || key.starts_with(b"/") || key.starts_with(b"\\") => {
            Err(Failure::new(400, "InvalidObjectName", "The specified object is not valid."))
        }
        Dialect::S3 if !utf8 => Err(Failure::new(400, "InvalidURI", "Couldn't parse the specified URI.")),
        Dialect::S3 if key.len() > 1024 => Err(Failure::new(400, "KeyTooLongError", "Your key is too long")),
        _ => Ok(()),
    }
}

/// `Content-MD5` has to fit the body.
pub(crate) fn check_digest(parts: &Parts, data: &Bytes) -> Result<(), Failure> {
    let Some(given) = header(parts, "content-md5") else { return Ok(()) };
    let Some(given) = STANDARD.decode(&given).ok().filter(|raw| raw.len() == 16) else {
        return Err(Failure::new(400, "InvalidDigest", "The Content-MD5 you specified is not valid."));
    };
    if given[..] == Md5::digest(data)[..] {
        return Ok(());
    }
    Err(Failure::new(400, "BadDigest", "The Content-MD5 you specified did not match what we received."))
}

/// S3's checksum headers, and the trailing ones: a wrong one is refused. Answers what was checked.
pub(crate) fn check_sums(parts: &Parts, body: &Received) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut checked = Vec::new();
    for (name, algorithm) in SUMS {
        let trailer = body.trailers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let Some(given) = header(parts, name).or(trailer) else { continue };
        let wanted = sum_text(algorithm, checksum(algorithm, &body.data));
        if given != wanted {
            return Err(Failure::new(
                400,
                "BadDigest",
                &format!("The {name} you specified did not match what we received."),
            ));
        }
        checked.push((name, wanted));
    }
    let sha = header(parts, "x-amz-content-sha256")
        .filter(|sha| sha.len() == 64 && !parts.method.as_str().is_empty());
    if sha.is_some_and(|sha| sha != hex::encode(sha2::Sha256::digest(&body.data))) {
        return Err(Failure::new(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ));
    }
    Ok(checked)
}

/// As S3 writes it: base64 of the big-endian bytes.
pub(crate) fn sum_text(algorithm: CrcAlgorithm, value: u64) -> String {
    match algorithm {
        CrcAlgorithm::Crc64Nvme => STANDARD.encode(value.to_be_bytes()),
        _ => STANDARD.encode((value as u32).to_be_bytes()),
    }
}

pub(crate) fn header(parts: &Parts, name: &str) -> Option<String> {
    parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Content headers and user metadata of a write.
pub(crate) fn kept_headers(dialect: Dialect, parts: &Parts) -> Result<Vec<(String, String)>, Failure> {
    let prefix = if dialect == Dialect::Oss { "x-oss-meta-" } else { "x-amz-meta-" };
    let mut kept = Vec::new();
    let mut size = 0;
    for (name, value) in &parts.headers {
        let name = name.as_str();
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if let Some(user) = name.strip_prefix(prefix) {
            size += user.len() + value.len();
            let legal = user.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if dialect == Dialect::Oss && !legal {
                return Err(Failure::new(
                    400,
                    "InvalidArgument",
                    "metadata names hold letters, digits and hyphens",
                ));
            }
        } else if !KEPT.contains(&name) {
            continue;
        }
        // `aws-chunked` describes the transfer and is not kept (S3 API reference, PutObject).
        let value = if name == "content-encoding" {
            value.replace("aws-chunked", "").trim_matches([',', ' ']).to_owned()
        } else {
            value
        };
        if !value.is_empty() {
            kept.push((name.to_owned(), value));
        }
    }
    let most = if dialect == Dialect::Oss { 8192 } else { 2048 };
    if size > most {
        return Err(Failure::new(
            400,
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size.",
        ));
    }
    if !kept.iter().any(|(name, _)| name == "content-type") {
        let default =
            if dialect == Dialect::Oss { "application/octet-stream" } else { "binary/octet-stream" };
        kept.push(("content-type".to_owned(), default.to_owned()));
    }
    Ok(kept)
}

pub(crate) fn class(dialect: Dialect, parts: &Parts) -> String {
    let (name, default) = match dialect {
        Dialect::Oss => ("x-oss-storage-class", "Standard"),
        Dialect::S3 => ("x-amz-storage-class", "STANDARD"),
    };
    header(parts, name).unwrap_or_else(|| default.to_owned())
}

/// Refuses to write over an object where the request forbids it.
pub(crate) fn check_overwrite(state: &State, target: &Target, parts: &Parts) -> Result<(), Failure> {
    let there = state.object(&target.bucket, &target.key).is_some();
    if there && header(parts, "x-oss-forbid-overwrite").as_deref() == Some("true") {
        return Err(Failure::new(
            409,
            "FileAlreadyExists",
            "The object you specified already exists and can not be overwritten.",
        ));
    }
    if there && header(parts, "if-none-match").as_deref() == Some("*") {
        return Err(Failure::new(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        ));
    }
    Ok(())
}

pub(crate) fn etag(dialect: Dialect, data: &[u8]) -> String {
    let md5 = Md5::digest(data);
    if dialect == Dialect::Oss { hex::encode_upper(md5) } else { hex::encode(md5) }
}

fn put(
    state: &State,
    target: &Target,
    parts: &Parts,
    body: &Received,
) -> Result<Response<Outgoing>, Failure> {
    let checked = check_sums(parts, body)?;
    check_overwrite(state, target, parts)?;
    let object = Object {
        etag: etag(state.dialect, &body.data),
        data: body.data.clone(),
        modified: Timestamp::now(),
        headers: kept_headers(state.dialect, parts)?,
        kind: "Normal",
        class: class(state.dialect, parts),
        without_checksum: false,
    };
    let mut response = ok(200);
    set(&mut response, "etag", &format!("\"{}\"", object.etag));
    state_sums(&mut response, state.dialect, &object, true);
    for (name, value) in checked {
        set(&mut response, name, &value);
    }
    state.insert(&target.bucket, &target.key, object);
    Ok(response)
}

/// What the service states of an object's bytes: OSS always, S3 on writes and where it is asked.
pub(crate) fn state_sums(response: &mut Response<Outgoing>, dialect: Dialect, object: &Object, asked: bool) {
    if object.without_checksum {
        return;
    }
    match dialect {
        Dialect::Oss => set(response, "x-oss-hash-crc64ecma", &object.crc(CrcAlgorithm::Crc64Xz).to_string()),
        Dialect::S3 if asked => {
            set(
                response,
                "x-amz-checksum-crc64nvme",
                &sum_text(CrcAlgorithm::Crc64Nvme, object.crc(CrcAlgorithm::Crc64Nvme)),
            );
            set(response, "x-amz-checksum-type", "FULL_OBJECT");
        }
        Dialect::S3 => {}
    }
}

fn put_symlink(state: &State, target: &Target, parts: &Parts) -> Result<Response<Outgoing>, Failure> {
    let to = header(parts, "x-oss-symlink-target")
        .ok_or_else(|| Failure::new(400, "InvalidArgument", "no target"))?;
    let data = Bytes::from(sign::decode(&to));
    let mut object = Object::new(data);
    object.kind = "Symlink";
    state.insert(&target.bucket, &target.key, object);
    Ok(ok(200))
}

fn get(state: &State, target: &Target, parts: &Parts) -> Result<Response<Outgoing>, Failure> {
    let missing = || Failure::new(404, "NoSuchKey", "The specified key does not exist.");
    let mut object = state.object(&target.bucket, &target.key).ok_or_else(missing)?;
    let symlink = object.kind == "Symlink";
    if symlink {
        let gone = || Failure::new(404, "SymlinkTargetNotExist", "The symlink target object does not exist");
        object = state.object(&target.bucket, &object.data).ok_or_else(gone)?;
    }
    if matches!(object.class.as_str(), "GLACIER" | "DEEP_ARCHIVE" | "Archive" | "ColdArchive")
        && parts.method == "GET"
    {
        return Err(Failure::new(
            403,
            "InvalidObjectState",
            "The operation is not valid for the object's storage class",
        ));
    }
    check_conditions(parts, &object)?;
    let mut response = ok(200);
    set(&mut response, "etag", &format!("\"{}\"", object.etag));
    set(&mut response, "last-modified", &object.modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    set(&mut response, "accept-ranges", "bytes");
    let asked = header(parts, "x-amz-checksum-mode").is_some();
    state_sums(&mut response, state.dialect, &object, asked);
    if state.dialect == Dialect::Oss {
        set(&mut response, "x-oss-object-type", if symlink { "Symlink" } else { object.kind });
        set(&mut response, "x-oss-storage-class", &object.class);
    } else if object.class != "STANDARD" && object.class != "Standard" {
        set(&mut response, "x-amz-storage-class", &object.class);
    }
    for (name, value) in &object.headers {
        set(&mut response, name, value);
    }
    send_range(state.dialect, parts, &object, response)
}

fn check_conditions(parts: &Parts, object: &Object) -> Result<(), Failure> {
    let fits = |given: &str| given == "*" || given.trim_matches('"').eq_ignore_ascii_case(&object.etag);
    let failed = || {
        Failure::new(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold.",
        )
    };
    if header(parts, "if-match").is_some_and(|given| !fits(&given)) {
        return Err(failed());
    }
    if header(parts, "if-none-match").is_some_and(|given| fits(&given)) {
        return Err(Failure::new(304, "NotModified", "not modified"));
    }
    let since = header(parts, "if-unmodified-since")
        .and_then(|text| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok());
    if since.is_some_and(|since| object.modified.as_second() > since.as_second()) {
        return Err(failed());
    }
    Ok(())
}

/// OSS answers an unsatisfiable range with 200 and everything, unless `x-oss-range-behavior: standard`.
fn send_range(
    dialect: Dialect,
    parts: &Parts,
    object: &Object,
    mut response: Response<Outgoing>,
) -> Result<Response<Outgoing>, Failure> {
    let length = object.data.len();
    let lenient =
        dialect == Dialect::Oss && header(parts, "x-oss-range-behavior").as_deref() != Some("standard");
    let range = header(parts, "range").map(|text| parse_range(&text, length));
    match range {
        None => *response.body_mut() = stream(object.data.clone(), false),
        Some(None) if lenient => *response.body_mut() = stream(object.data.clone(), false),
        Some(None) => {
            return Err(Failure::new(416, "InvalidRange", "The requested range is not satisfiable"));
        }
        Some(Some((from, to))) => {
            *response.status_mut() = http::StatusCode::PARTIAL_CONTENT;
            set(&mut response, "content-range", &format!("bytes {from}-{to}/{length}"));
            *response.body_mut() = stream(object.data.slice(from..=to), false);
        }
    }
    Ok(response)
}

fn parse_range(text: &str, length: usize) -> Option<(usize, usize)> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    if from.is_empty() {
        let last = to.parse::<usize>().ok().filter(|n| *n > 0)?.min(length);
        return (length > 0).then(|| (length - last, length - 1));
    }
    let from = from.parse::<usize>().ok()?;
    let to = if to.is_empty() {
        length.checked_sub(1)?
    } else {
        to.parse::<usize>().ok()?.min(length.checked_sub(1)?)
    };
    (from <= to && from < length).then_some((from, to))
}

/// `/bucket/key` of a copy's source.
pub(crate) fn copy_source(state: &State, parts: &Parts) -> Option<(String, Vec<u8>)> {
    let name = if state.dialect == Dialect::Oss { "x-oss-copy-source" } else { "x-amz-copy-source" };
    let text = header(parts, name)?;
    let path = sign::decode(text.split('?').next().unwrap_or_default());
    let path = path.strip_prefix(b"/").unwrap_or(&path);
    let at = path.iter().position(|b| *b == b'/')?;
    Some((String::from_utf8_lossy(&path[..at]).into_owned(), path[at + 1..].to_vec()))
}

fn copy(state: &State, target: &Target, parts: &Parts) -> Result<Response<Outgoing>, Failure> {
    let missing = || Failure::new(404, "NoSuchKey", "The specified key does not exist.");
    let (bucket, key) = copy_source(state, parts).ok_or_else(missing)?;
    let mut object = state.object(&bucket, &key).ok_or_else(missing)?;
    let condition = ["x-oss-copy-source-if-match", "x-amz-copy-source-if-match"]
        .iter()
        .find_map(|name| header(parts, name));
    if condition.is_some_and(|given| !given.trim_matches('"').eq_ignore_ascii_case(&object.etag)) {
        return Err(Failure::new(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold.",
        ));
    }
    check_overwrite(state, target, parts)?;
    let directive =
        ["x-oss-metadata-directive", "x-amz-metadata-directive"].iter().find_map(|name| header(parts, name));
    if directive.as_deref() == Some("REPLACE") {
        object.headers = kept_headers(state.dialect, parts)?;
    }
    object.modified = Timestamp::now();
    object.etag = etag(state.dialect, &object.data);
    object.kind = "Normal";
    let mut inner = xml::element("ETag", &format!("\"{}\"", object.etag));
    inner += &xml::element("LastModified", &object.modified.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string());
    let mut response = document(xml::document("CopyObjectResult", &inner));
    state_sums(&mut response, state.dialect, &object, false);
    state.insert(&target.bucket, &target.key, object);
    Ok(response)
}
