//! The bytes of an answer to a read: all, a range or a part, and what is stated of them.

use bytes::Bytes;
use http::Response;
use http::request::Parts;

use super::object::header;
use super::reply::{Failure, Outgoing, set, stream};
use super::state::Object;
use super::sums::state_sums;
use super::{Dialect, Target};

/// First and last byte.
type Range = (usize, usize);

/// OSS answers an unsatisfiable range with 200 and everything, unless `x-oss-range-behavior: standard`.
pub(crate) fn send(
    dialect: Dialect,
    target: &Target,
    parts: &Parts,
    object: &Object,
    mut response: Response<Outgoing>,
) -> Result<Response<Outgoing>, Failure> {
    let length = object.data.len();
    let asked = header(parts, "x-amz-checksum-mode").is_some();
    let lenient =
        dialect == Dialect::Oss && header(parts, "x-oss-range-behavior").as_deref() != Some("standard");
    let range = match target.query("partNumber").filter(|_| dialect == Dialect::S3) {
        Some(number) => Some(part(object, number, &mut response)),
        None => header(parts, "range").map(|text| parse(&text, length)),
    };
    match range {
        Some(None) if !lenient => {
            return Err(Failure::new(416, "InvalidRange", "The requested range is not satisfiable"));
        }
        Some(Some((from, to))) => {
            *response.status_mut() = http::StatusCode::PARTIAL_CONTENT;
            set(&mut response, "content-range", &format!("bytes {from}-{to}/{length}"));
            let data = object.data.slice(from..=to);
            state_of_range(&mut response, dialect, object, (from, to), asked);
            *response.body_mut() = stream(data, false);
        }
        _ => {
            state_sums(&mut response, dialect, object, asked);
            *response.body_mut() = stream(object.data.clone(), false);
        }
    }
    Ok(response)
}

/// Amazon states the checksum of a part where the range is one, and else none (S3 user guide, "Checking object
/// integrity", part-level checksums). OSS and COS state the whole object's.
fn state_of_range(
    response: &mut Response<Outgoing>,
    dialect: Dialect,
    object: &Object,
    range: Range,
    asked: bool,
) {
    if matches!(dialect, Dialect::Oss | Dialect::Cos) {
        return state_sums(response, dialect, object, asked);
    }
    if bounds(object).any(|part| part == range) {
        let data: Bytes = object.data.slice(range.0..=range.1);
        let part = Object { without_checksum: object.without_checksum, ..Object::new(data) };
        state_sums(response, dialect, &part, asked);
    }
}

/// One part of the upload that made the object (S3 API reference, HeadObject, `partNumber`).
fn part(object: &Object, number: &str, response: &mut Response<Outgoing>) -> Option<Range> {
    if object.parts.is_empty() {
        return Some((0, object.data.len().checked_sub(1)?)).filter(|_| number == "1");
    }
    set(response, "x-amz-mp-parts-count", &object.parts.len().to_string());
    bounds(object).nth(number.parse::<usize>().ok()?.checked_sub(1)?)
}

fn bounds(object: &Object) -> impl Iterator<Item = Range> {
    object.parts.iter().filter(|size| **size > 0).scan(0, |from, size| {
        let part = (*from, *from + size - 1);
        *from += size;
        Some(part)
    })
}

fn parse(text: &str, length: usize) -> Option<Range> {
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
