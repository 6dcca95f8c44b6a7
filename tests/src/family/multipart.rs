//! Multipart uploads, with the vendors' refusals: unknown upload, part out of order, wrong ETag, part too
//! small, wrong whole checksum.

use bytes::{Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use http::Response;
use http::request::Parts;
use jiff::Timestamp;
use md5::{Digest, Md5};

use super::body::Received;
use super::copy::copy_source;
use super::object::{check_overwrite, class, header, kept_headers, own_header};
use super::reply::{Failure, Outgoing, document, ok, set};
use super::state::{Object, Part, State, Upload};
use super::sums::{check_sums, etag, state_sums, sum_text};
use super::xml::listed_time;
use super::{Dialect, Target, sign, xml};

pub(crate) fn begin(state: &State, target: &Target, parts: &Parts) -> Result<Response<Outgoing>, Failure> {
    check_overwrite(state, target, parts)?;
    // "A header you provided implies functionality that is not implemented": CreateMultipartUpload has no conditions.
    if state.dialect.rules().if_none_match && parts.headers.contains_key("if-none-match") {
        return Err(Failure::new(501, "NotImplemented", "If-None-Match implies what is not implemented"));
    }
    let upload = Upload {
        key: target.key.clone(),
        headers: kept_headers(state.dialect, parts)?,
        class: class(state, parts)?,
        parts: Default::default(),
        checksum: header(parts, "x-amz-checksum-algorithm"),
        begun: Timestamp::now(),
    };
    let id = hex::encode_upper(Md5::digest(state.next_request_id()));
    if let Some(bucket) = state.buckets().get_mut(&target.bucket) {
        bucket.uploads.insert(id.clone(), upload);
    }
    let encoded = state.dialect.rules().encodes && target.query("encoding-type") == Some("url");
    let key = if encoded {
        sign::encode(&target.key, true)
    } else {
        String::from_utf8_lossy(&target.key).into_owned()
    };
    let mut inner =
        xml::element("Bucket", &target.bucket) + &xml::element("Key", &key) + &xml::element("UploadId", &id);
    if encoded {
        inner += "<EncodingType>url</EncodingType>";
    }
    Ok(document(xml::document("InitiateMultipartUploadResult", &inner)))
}

fn unknown() -> Failure {
    Failure::new(
        404,
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
    )
}

/// Runs on an upload that exists and is of this key.
pub(crate) fn with<T>(
    state: &State,
    target: &Target,
    id: &str,
    work: impl FnOnce(&mut Upload) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut buckets = state.buckets();
    let bucket = buckets.get_mut(&target.bucket).ok_or_else(unknown)?;
    let upload = bucket.uploads.get_mut(id).filter(|upload| upload.key == target.key).ok_or_else(unknown)?;
    work(upload)
}

pub(crate) fn part(
    state: &State,
    target: &Target,
    parts: &Parts,
    body: &Received,
    id: &str,
) -> Result<Response<Outgoing>, Failure> {
    let number = target.query("partNumber").and_then(|number| number.parse::<u32>().ok());
    let number = number.filter(|number| (1..=10_000).contains(number));
    let number = number.ok_or_else(|| {
        Failure::new(400, "InvalidArgument", "Part number must be an integer between 1 and 10000.")
    })?;
    let checked = check_sums(state.dialect, parts, body)?;
    let copied = part_source(state, parts)?;
    let data = copied.clone().unwrap_or_else(|| body.data.clone());
    let part = Part { etag: etag(state.dialect, &data), data, modified: Timestamp::now() };
    let sum = state.dialect.rules().sum.filter(|sum| !sum.asked).map(|sum| (sum.header, sum.of(&part.data)));
    let tag = format!("\"{}\"", part.etag);
    with(state, target, id, |upload| {
        upload.parts.insert(number, part);
        Ok(())
    })?;
    let mut response = match copied {
        Some(_) => document(xml::document("CopyPartResult", &xml::element("ETag", &tag))),
        None => ok(200),
    };
    set(&mut response, "etag", &tag);
    for (name, value) in sum.into_iter().chain(checked) {
        set(&mut response, name, &value);
    }
    Ok(response)
}

/// The bytes of a part copy.
fn part_source(state: &State, parts: &Parts) -> Result<Option<Bytes>, Failure> {
    let Some((bucket, key)) = copy_source(state, parts) else { return Ok(None) };
    let missing = || Failure::new(404, "NoSuchKey", "The specified key does not exist.");
    let data = state.object(&bucket, &key).ok_or_else(missing)?.data;
    let Some(range) = own_header(state, parts, "copy-source-range") else { return Ok(Some(data)) };
    let bad = || Failure::new(400, "InvalidArgument", "bad copy range");
    let (from, to) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or_else(bad)?;
    let (from, to): (usize, usize) = (from.parse().map_err(|_| bad())?, to.parse().map_err(|_| bad())?);
    if from <= to && to < data.len() { Ok(Some(data.slice(from..=to))) } else { Err(bad()) }
}

pub(crate) fn list_parts(state: &State, target: &Target, id: &str) -> Result<Response<Outgoing>, Failure> {
    let after: u32 = target.query("part-number-marker").and_then(|text| text.parse().ok()).unwrap_or(0);
    let most: usize = target.query("max-parts").and_then(|text| text.parse().ok()).unwrap_or(1000).min(1000);
    let mut inner = xml::element("Bucket", &target.bucket) + &xml::element("UploadId", id);
    with(state, target, id, |upload| {
        let left: Vec<(&u32, &Part)> = upload.parts.range(after + 1..).collect();
        inner += &xml::element("IsTruncated", if left.len() > most { "true" } else { "false" });
        let last = left.iter().take(most).next_back().map_or(0, |(number, _)| **number);
        inner += &xml::element("NextPartNumberMarker", &last.to_string());
        for (number, part) in left.into_iter().take(most) {
            inner += &format!("<Part>{}</Part>", show_part(state.dialect, *number, part));
        }
        Ok(())
    })?;
    Ok(document(xml::document("ListPartsResult", &inner)))
}

fn show_part(dialect: Dialect, number: u32, part: &Part) -> String {
    let mut inner = xml::element("PartNumber", &number.to_string());
    inner += &xml::element("LastModified", &listed_time(dialect, part.modified));
    inner += &xml::element("ETag", &format!("\"{}\"", part.etag));
    if let Some(sum) = dialect.rules().sum.filter(|sum| !sum.part.is_empty()) {
        inner += &xml::element(sum.part, &sum.of(&part.data));
    }
    inner + &xml::element("Size", &part.data.len().to_string())
}

pub(crate) fn complete(
    state: &State,
    target: &Target,
    parts: &Parts,
    body: &Received,
    id: &str,
) -> Result<Response<Outgoing>, Failure> {
    check_overwrite(state, target, parts)?;
    let wanted: xml::Completion = xml::read(&body.data)?;
    let least = state.dialect.rules().part_least;
    let object = with(state, target, id, |upload| assemble(state.dialect, upload, &wanted, least))?;
    let whole = sum_text(CrcAlgorithm::Crc64Nvme, object.crc(CrcAlgorithm::Crc64Nvme));
    let given = header(parts, "x-amz-checksum-crc64nvme").filter(|_| state.dialect == Dialect::S3);
    if given.is_some_and(|given| given != whole) {
        return Err(Failure::new(
            400,
            "BadDigest",
            "The crc64nvme you specified did not match the calculated checksum.",
        ));
    }
    let mut inner = xml::element("Location", "http://test/") + &xml::element("Bucket", &target.bucket);
    inner += &xml::element("Key", &String::from_utf8_lossy(&target.key));
    inner += &xml::element("ETag", &format!("\"{}\"", object.etag));
    if state.dialect == Dialect::S3 {
        inner += &xml::element("ChecksumCRC64NVME", &whole);
        inner += "<ChecksumType>FULL_OBJECT</ChecksumType>";
    }
    let mut response = document(xml::document("CompleteMultipartUploadResult", &inner));
    state_sums(&mut response, state.dialect, &object, false);
    if state.dialect == Dialect::Oss {
        set(&mut response, "etag", &format!("\"{}\"", object.etag));
    }
    state.insert(&target.bucket, &target.key, object);
    if let Some(bucket) = state.buckets().get_mut(&target.bucket) {
        bucket.uploads.remove(id);
    }
    Ok(response)
}

pub(crate) fn assemble(
    dialect: Dialect,
    upload: &Upload,
    wanted: &xml::Completion,
    least: usize,
) -> Result<Object, Failure> {
    if wanted.part.is_empty() {
        return Err(Failure::new(400, "MalformedXML", "no parts"));
    }
    if wanted.part.windows(2).any(|pair| pair[0].part_number >= pair[1].part_number) {
        return Err(Failure::new(400, "InvalidPartOrder", "The list of parts was not in ascending order."));
    }
    let mut data = BytesMut::new();
    let (mut sums, mut parts) = (Vec::new(), Vec::new());
    for (at, given) in wanted.part.iter().enumerate() {
        let bad = || {
            Failure::new(
                400,
                "InvalidPart",
                "One or more of the specified parts could not be found or the specified entity tag might not have matched the part's entity tag.",
            )
        };
        let part = upload.parts.get(&given.part_number).ok_or_else(bad)?;
        if !given.etag.trim_matches('"').eq_ignore_ascii_case(&part.etag) {
            return Err(bad());
        }
        if at + 1 < wanted.part.len() && part.data.len() < least {
            return Err(Failure::new(
                400,
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size.",
            ));
        }
        data.extend_from_slice(&part.data);
        sums.extend(Md5::digest(&part.data));
        parts.push(part.data.len());
    }
    // All but S3: not to be recomputed by a client; here the MD5 of something else, so that nobody relies on it.
    let base = match dialect.rules().etag_of_parts {
        true => hex::encode(Md5::digest(&sums)),
        false => hex::encode_upper(Md5::digest(hex::encode(&sums))),
    };
    Ok(Object {
        data: data.freeze(),
        etag: format!("{base}-{}", wanted.part.len()),
        modified: Timestamp::now(),
        headers: upload.headers.clone(),
        kind: "Multipart",
        class: upload.class.clone(),
        without_checksum: dialect == Dialect::S3 && upload.checksum.is_none(),
        parts,
    })
}

pub(crate) fn abort(state: &State, target: &Target, id: &str) -> Result<Response<Outgoing>, Failure> {
    with(state, target, id, |_| Ok(()))?;
    if let Some(bucket) = state.buckets().get_mut(&target.bucket) {
        bucket.uploads.remove(id);
    }
    Ok(ok(204))
}
