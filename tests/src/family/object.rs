//! Requests on an object: put, get, head, delete, and the way to copies and multipart.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use jiff::Timestamp;

use super::body::Received;
use super::copy::{copy, copy_source};
use super::reply::{Failure, Outgoing, ok, set};
use super::state::{Object, State};
use super::sums::{check_digest, check_sums, etag, state_sums};
use super::{Dialect, Target, beside, multipart, ranges, restore, sign};

/// Content headers that are kept beside user metadata.
const KEPT: [&str; 6] = [
    "content-type",
    "content-encoding",
    "content-language",
    "content-disposition",
    "cache-control",
    "expires",
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
    if let Some(answer) = beside::answer(state, target) {
        return answer;
    }
    beside::take(state, target, parts)?;
    let upload = target.query("uploadId").map(str::to_owned);
    match (target.method.as_str(), upload) {
        ("POST", None) if target.has("restore") => restore::answer(state, target, &body.data),
        ("POST", None) if target.has("uploads") => multipart::begin(state, target, parts),
        ("PUT", Some(id)) => multipart::part(state, target, parts, &body, &id),
        ("GET", Some(id)) => multipart::list_parts(state, target, &id),
        ("POST", Some(id)) => multipart::complete(state, target, parts, &body, &id),
        ("DELETE", Some(id)) => multipart::abort(state, target, &id),
        ("PUT", None) if target.has("symlink") => put_symlink(state, target, parts),
        ("PUT", None) if copy_source(state, parts).is_some() => copy(state, target, parts),
        ("PUT", None) if target.query.is_empty() => put(state, target, parts, &body),
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
    let names = &dialect.rules().names;
    let refused = |code: &str, text: &str| Err(Failure::new(400, code, text));
    let dots = |key: &[u8]| key.split(|b| *b == b'/').any(|segment| matches!(segment, b"." | b".."));
    let bad = std::str::from_utf8(key).is_err()
        || key.first().is_some_and(|first| names.begin.contains(first))
        || key.iter().any(|byte| names.never.contains(byte))
        || (names.dots && dots(key));
    if bad {
        return refused(names.codes.0, "The specified object name is not valid.");
    }
    if key.len() > names.most { refused(names.codes.1, "Your key is too long") } else { Ok(()) }
}

/// One of the vendor's own headers.
pub(crate) fn own_header(state: &State, parts: &Parts, name: &str) -> Option<String> {
    header(parts, &format!("{}{name}", state.dialect.rules().prefix))
}

pub(crate) fn header(parts: &Parts, name: &str) -> Option<String> {
    parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Content headers and user metadata of a write.
pub(crate) fn kept_headers(dialect: Dialect, parts: &Parts) -> Result<Vec<(String, String)>, Failure> {
    let rules = dialect.rules();
    let prefix = format!("{}meta-", rules.prefix);
    let too_large = || {
        Failure::new(
            400,
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size.",
        )
    };
    let mut kept = Vec::new();
    let mut size = 0;
    for (name, value) in &parts.headers {
        let name = name.as_str();
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if let Some(user) = name.strip_prefix(&prefix) {
            size += user.len() + value.len();
            if user.len() + value.len() > rules.metadata.each {
                return Err(too_large());
            }
            let legal = user.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if rules.metadata.strict && !legal {
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
    if size > rules.metadata.most {
        return Err(too_large());
    }
    if !kept.iter().any(|(name, _)| name == "content-type") {
        kept.push(("content-type".to_owned(), rules.content_type.to_owned()));
    }
    Ok(kept)
}

/// The storage class that the request asks for, if the vendor has it.
pub(crate) fn class(state: &State, parts: &Parts) -> Result<String, Failure> {
    let classes = state.dialect.rules().classes;
    let Some(given) = own_header(state, parts, "storage-class") else { return Ok(classes[0].to_owned()) };
    if classes.contains(&given.as_str()) {
        return Ok(given);
    }
    Err(Failure::new(400, "InvalidStorageClass", "The storage class you specified is not valid"))
}

/// Refuses to write over an object where the request forbids it.
pub(crate) fn check_overwrite(state: &State, target: &Target, parts: &Parts) -> Result<(), Failure> {
    let there = state.object(&target.bucket, &target.key).is_some();
    let rules = state.dialect.rules();
    let forbids = own_header(state, parts, "forbid-overwrite").as_deref() == Some("true");
    if let (true, true, Some((status, code))) = (there, forbids, rules.exists) {
        return Err(Failure::new(
            status,
            code,
            "The object you specified already exists and can not be overwritten.",
        ));
    }
    if there && rules.if_none_match && header(parts, "if-none-match").as_deref() == Some("*") {
        return Err(Failure::new(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        ));
    }
    Ok(())
}

fn put(
    state: &State,
    target: &Target,
    parts: &Parts,
    body: &Received,
) -> Result<Response<Outgoing>, Failure> {
    let checked = check_sums(state.dialect, parts, body)?;
    check_overwrite(state, target, parts)?;
    let object = Object {
        etag: etag(state.dialect, &body.data),
        data: body.data.clone(),
        modified: Timestamp::now(),
        headers: kept_headers(state.dialect, parts)?,
        kind: "Normal",
        class: class(state, parts)?,
        without_checksum: false,
        parts: Vec::new(),
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
    if parts.method == "GET" {
        restore::check_readable(state, target, &object)?;
    }
    check_conditions(parts, &object)?;
    let mut response = ok(200);
    set(&mut response, "etag", &format!("\"{}\"", object.etag));
    set(&mut response, "last-modified", &object.modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    set(&mut response, "accept-ranges", "bytes");
    if state.dialect == Dialect::Oss {
        set(&mut response, "x-oss-object-type", if symlink { "Symlink" } else { object.kind });
        set(&mut response, "x-oss-storage-class", &object.class);
    } else if object.class != "STANDARD" && object.class != "Standard" {
        set(&mut response, &format!("{}storage-class", state.dialect.rules().prefix), &object.class);
    }
    restore::say(state, target, &mut response);
    for (name, value) in &object.headers {
        set(&mut response, name, value);
    }
    ranges::send(state.dialect, target, parts, &object, response)
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
