//! Copies inside the service.

use http::Response;
use http::request::Parts;
use jiff::Timestamp;

use super::object::{check_overwrite, kept_headers, own_header};
use super::reply::{Failure, Outgoing, document};
use super::state::State;
use super::sums::{etag, state_sums};
use super::xml::listed_time;
use super::{Dialect, Target, sign, xml};

/// `/bucket/key` of a copy's source.
pub(crate) fn copy_source(state: &State, parts: &Parts) -> Option<(String, Vec<u8>)> {
    let text = own_header(state, parts, "copy-source")?;
    let path = sign::decode(text.split('?').next().unwrap_or_default());
    let path = path.strip_prefix(b"/").unwrap_or(&path);
    let at = path.iter().position(|b| *b == b'/')?;
    let bucket = String::from_utf8_lossy(&path[..at]).into_owned();
    // COS names the host of the source (COS, "PUT Object - Copy").
    let bucket = match state.dialect {
        Dialect::Cos => bucket.split('.').next().unwrap_or_default().to_owned(),
        _ => bucket,
    };
    Some((bucket, path[at + 1..].to_vec()))
}

pub(crate) fn copy(state: &State, target: &Target, parts: &Parts) -> Result<Response<Outgoing>, Failure> {
    let missing = || Failure::new(404, "NoSuchKey", "The specified key does not exist.");
    let (bucket, key) = copy_source(state, parts).ok_or_else(missing)?;
    let mut object = state.object(&bucket, &key).ok_or_else(missing)?;
    let condition = own_header(state, parts, "copy-source-if-match");
    if condition.is_some_and(|given| !given.trim_matches('"').eq_ignore_ascii_case(&object.etag)) {
        return Err(Failure::new(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold.",
        ));
    }
    check_overwrite(state, target, parts)?;
    // `REPLACE`; COS says `Replaced`, BOS `replace`.
    let directive = own_header(state, parts, "metadata-directive").unwrap_or_default();
    if directive.to_ascii_uppercase().starts_with("REPLACE") {
        object.headers = kept_headers(state.dialect, parts)?;
    }
    object.modified = Timestamp::now();
    object.etag = etag(state.dialect, &object.data);
    object.kind = "Normal";
    let mut inner = xml::element("ETag", &format!("\"{}\"", object.etag));
    inner += &xml::element("LastModified", &listed_time(state.dialect, object.modified));
    let mut response = document(xml::document("CopyObjectResult", &inner));
    state_sums(&mut response, state.dialect, &object, false);
    state.insert(&target.bucket, &target.key, object);
    Ok(response)
}
