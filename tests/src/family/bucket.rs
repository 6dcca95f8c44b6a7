//! Requests on a bucket: make, look, list (V1, V2), list uploads, delete many.

use std::ops::Bound;

use http::Response;
use http::request::Parts;

use super::body::Received;
use super::reply::{Failure, Outgoing, document, ok, set};
use super::state::{Object, State};
use super::sums::check_digest;
use super::xml::listed_time;
use super::{Dialect, Target, sign, xml};

pub(crate) fn list_buckets(state: &State) -> Result<Response<Outgoing>, Failure> {
    let names: Vec<String> = state.buckets().keys().cloned().collect();
    let buckets: String = names
        .iter()
        .map(|name| {
            format!(
                "<Bucket>{}{}</Bucket>",
                xml::element("Name", name),
                xml::element("CreationDate", "2026-01-01T00:00:00.000Z")
            )
        })
        .collect();
    Ok(document(xml::document("ListAllMyBucketsResult", &format!("<Buckets>{buckets}</Buckets>"))))
}

pub(crate) fn answer(
    state: &State,
    target: &Target,
    parts: &Parts,
    body: &Received,
) -> Result<Response<Outgoing>, Failure> {
    check_digest(parts, &body.data)?;
    let known = state.buckets().contains_key(&target.bucket);
    let method = target.method.as_str();
    if method == "PUT" {
        state.make_bucket(&target.bucket);
        return Ok(ok(200));
    }
    if !known {
        return Err(Failure::new(404, "NoSuchBucket", "The specified bucket does not exist."));
    }
    match method {
        "HEAD" => {
            let mut response = ok(200);
            let rules = state.dialect.rules();
            let region = if rules.region.is_empty() { "cn-test" } else { rules.region };
            set(&mut response, &format!("{}bucket-region", rules.prefix), region);
            Ok(response)
        }
        "POST" if target.has("delete") => delete_many(state, target, body),
        "DELETE" => {
            state.buckets().remove(&target.bucket);
            Ok(ok(204))
        }
        "GET" if target.has("uploads") => list_uploads(state, target),
        "GET" if target.has("location") => Ok(document(xml::document("LocationConstraint", "oss-cn-test"))),
        "GET" if target.has("bucketInfo") => {
            let inner = xml::element("Name", &target.bucket) + &xml::element("Location", "oss-cn-test");
            Ok(document(xml::document("BucketInfo", &format!("<Bucket>{inner}</Bucket>"))))
        }
        "GET" => list(state, target),
        _ => Err(Failure::new(
            405,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        )),
    }
}

/// What one page holds: keys and folded prefixes in one order.
pub(crate) enum Item {
    Key(Vec<u8>, Object),
    Prefix(Vec<u8>),
}

fn list(state: &State, target: &Target) -> Result<Response<Outgoing>, Failure> {
    let rules = state.dialect.rules();
    let v2 = rules.list_v2 && target.query("list-type") == Some("2");
    let text = |name: &str| target.query(name).unwrap_or_default().as_bytes().to_vec();
    let most = match target.query("max-keys") {
        None | Some("") => rules.page,
        Some(number) => number.parse::<usize>().map_err(|_| bad_argument("max-keys"))?.min(1000),
    };
    let after = match (v2, target.query("continuation-token")) {
        (true, Some(token)) => hex::decode(token).map_err(|_| bad_argument("continuation-token"))?,
        (true, None) => text("start-after"),
        (false, _) => text("marker"),
    };
    let (prefix, delimiter) = (text("prefix"), text("delimiter"));
    let (items, truncated) = page(state, &target.bucket, &prefix, &delimiter, &after, most);
    let encoded = rules.encodes && target.query("encoding-type") == Some("url");
    Ok(document(render(state, target, &items, truncated, (v2, encoded))))
}

fn bad_argument(name: &str) -> Failure {
    Failure::new(400, "InvalidArgument", &format!("bad {name}"))
}

pub(crate) fn page(
    state: &State,
    bucket: &str,
    prefix: &[u8],
    delimiter: &[u8],
    after: &[u8],
    most: usize,
) -> (Vec<Item>, bool) {
    let buckets = state.buckets();
    let Some(bucket) = buckets.get(bucket) else { return (Vec::new(), false) };
    let mut items: Vec<Item> = Vec::new();
    let from =
        if after > prefix { Bound::Excluded(after.to_vec()) } else { Bound::Included(prefix.to_vec()) };
    for (key, object) in bucket.objects.range((from, Bound::Unbounded)) {
        if !key.starts_with(prefix) {
            break;
        }
        let rest = &key[prefix.len()..];
        let fold = (!delimiter.is_empty())
            .then(|| rest.windows(delimiter.len()).position(|part| part == delimiter))
            .flatten();
        let folded = fold.map(|at| key[..prefix.len() + at + delimiter.len()].to_vec());
        if let Some(folded) = &folded
            && (folded.as_slice() <= after
                || matches!(items.last(), Some(Item::Prefix(last)) if last == folded))
        {
            continue;
        }
        if items.len() == most {
            return (items, true);
        }
        items.push(folded.map_or_else(|| Item::Key(key.clone(), object.clone()), Item::Prefix));
    }
    (items, false)
}

fn render(
    state: &State,
    target: &Target,
    items: &[Item],
    truncated: bool,
    (v2, encoded): (bool, bool),
) -> String {
    let show = |bytes: &[u8]| {
        if encoded { sign::encode(bytes, true) } else { String::from_utf8_lossy(bytes).into_owned() }
    };
    let mut inner = xml::element("Name", &target.bucket);
    inner += &xml::element("Prefix", &show(target.query("prefix").unwrap_or_default().as_bytes()));
    inner += &xml::element("MaxKeys", target.query("max-keys").unwrap_or("1000"));
    inner += &xml::element("Delimiter", &show(target.query("delimiter").unwrap_or_default().as_bytes()));
    inner += &xml::element("IsTruncated", if truncated { "true" } else { "false" });
    if encoded {
        inner += "<EncodingType>url</EncodingType>";
    }
    let last = items.last().map(|item| match item {
        Item::Key(key, _) | Item::Prefix(key) => key.clone(),
    });
    if v2 {
        inner += &xml::element("KeyCount", &items.len().to_string());
        inner +=
            &xml::element("StartAfter", &show(target.query("start-after").unwrap_or_default().as_bytes()));
    } else {
        inner += &xml::element("Marker", &show(target.query("marker").unwrap_or_default().as_bytes()));
    }
    let has_delimiter = target.query("delimiter").is_some_and(|delimiter| !delimiter.is_empty());
    if let (true, Some(last)) = (truncated, &last) {
        inner += &match (v2, state.dialect) {
            (true, _) => xml::element("NextContinuationToken", &hex::encode(last)),
            (false, dialect) if !dialect.rules().next_marker && !has_delimiter => String::new(),
            (false, _) => xml::element("NextMarker", &show(last)),
        };
    }
    for item in items {
        inner += &match item {
            Item::Key(key, object) => contents(&show(key), object, state.dialect),
            Item::Prefix(prefix) => {
                format!("<CommonPrefixes>{}</CommonPrefixes>", xml::element("Prefix", &show(prefix)))
            }
        };
    }
    xml::document("ListBucketResult", &inner)
}

fn contents(key: &str, object: &Object, dialect: Dialect) -> String {
    let mut inner = xml::element("Key", key);
    inner += &xml::element("LastModified", &listed_time(dialect, object.modified));
    inner += &xml::element("ETag", &format!("\"{}\"", object.etag));
    if dialect == Dialect::Oss {
        inner += &xml::element("Type", object.kind);
    }
    inner += &xml::element("Size", &object.data.len().to_string());
    inner += &xml::element("StorageClass", &object.class);
    format!("<Contents>{inner}</Contents>")
}

fn list_uploads(state: &State, target: &Target) -> Result<Response<Outgoing>, Failure> {
    let prefix = target.query("prefix").unwrap_or_default().as_bytes();
    let encoded = state.dialect.rules().encodes && target.query("encoding-type") == Some("url");
    let mut inner = xml::element("Bucket", &target.bucket)
        + "<IsTruncated>false</IsTruncated><NextKeyMarker/><NextUploadIdMarker/>";
    if encoded {
        inner += "<EncodingType>url</EncodingType>";
    }
    let buckets = state.buckets();
    let uploads = buckets.get(&target.bucket).map(|bucket| &bucket.uploads);
    for (id, upload) in uploads.into_iter().flatten().filter(|(_, upload)| upload.key.starts_with(prefix)) {
        let key = if encoded {
            sign::encode(&upload.key, true)
        } else {
            String::from_utf8_lossy(&upload.key).into_owned()
        };
        let shown = xml::element("Key", &key)
            + &xml::element("UploadId", id)
            + &xml::element("Initiated", &listed_time(state.dialect, upload.begun));
        inner += &format!("<Upload>{shown}</Upload>");
    }
    Ok(document(xml::document("ListMultipartUploadsResult", &inner)))
}

fn delete_many(state: &State, target: &Target, body: &Received) -> Result<Response<Outgoing>, Failure> {
    let wanted: xml::Deletion = xml::read(&body.data)?;
    if wanted.object.len() > 1000 {
        return Err(Failure::new(400, "MalformedXML", "more than 1000 keys"));
    }
    let mut inner = String::new();
    let mut buckets = state.buckets();
    for object in wanted.object {
        if let Some(bucket) = buckets.get_mut(&target.bucket) {
            bucket.objects.remove(object.key.as_bytes());
        }
        if !wanted.quiet {
            inner += &format!("<Deleted>{}</Deleted>", xml::element("Key", &object.key));
        }
    }
    Ok(document(xml::document("DeleteResult", &inner)))
}
