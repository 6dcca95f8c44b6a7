//! Folders: making them, and listing them by an iterator.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{Method, Response};
use serde_json::json;

use super::reply::{Failure, bytes, document};
use super::state::{Bucket, State};
use super::{Target, header};
use crate::family::reply::{Outgoing, ok, set};

/// The iterator after the last page.
const END: &str = "g2gCZAAEbmV4dGQAA2VvZg";
/// "100 when nothing is said, 10,000 at most."
const USUAL: usize = 100;
const MOST: usize = 10_000;

struct Item {
    order: u64,
    name: String,
    /// `None`: a folder.
    kind: Option<String>,
    length: usize,
    modified: i64,
}

pub(crate) fn make(state: &State, target: &Target, parts: &Parts) -> Result<Response<Outgoing>, Failure> {
    if header(parts, "folder") != "true" {
        return Err(Failure::new(40000002, "need body"));
    }
    let (order, now) = (state.next_order(), state.now());
    state.within(&target.bucket, |bucket| {
        if bucket.files.contains_key(&target.path) {
            return Err(Failure::new(40600001, "dir not acceptable"));
        }
        if bucket.folders.contains_key(&target.path) {
            return Err(Failure::new(40600002, "folder already exists"));
        }
        bucket.make_way(&[target.path.as_slice(), b"/"].concat(), order, now)
    })?;
    Ok(bytes(200, bytes::Bytes::new()))
}

/// HEAD and GET of what is no file.
pub(crate) fn look(state: &State, target: &Target, parts: &Parts) -> Result<Response<Outgoing>, Failure> {
    let found = state.within(&target.bucket, |bucket| {
        (target.path.is_empty() || bucket.folders.contains_key(&target.path))
            .then(|| items(bucket, &target.path))
    });
    let mut items = found.ok_or_else(|| Failure::new(40400001, "file or directory not found"))?;
    if target.method == Method::HEAD {
        let mut response = ok(200);
        set(&mut response, "x-upyun-file-type", "folder");
        set(&mut response, "x-upyun-file-date", &state.now().as_second().to_string());
        return Ok(response);
    }
    // By time, which the order of writing refines.
    items.sort_by_key(|item| item.order);
    match header(parts, "x-list-order") {
        "" | "asc" => {}
        "desc" => items.reverse(),
        _ => return Err(Failure::new(40300014, "order must be asc or desc")),
    }
    let limit = header(parts, "x-list-limit").parse().unwrap_or(USUAL).clamp(1, MOST);
    let from = begin(&items, header(parts, "x-list-iter"))?;
    let rest = items.get(from..).unwrap_or_default();
    let page = rest.get(..limit.min(rest.len())).unwrap_or_default();
    let iter = match page.last().filter(|_| rest.len() > limit) {
        Some(last) => STANDARD.encode(format!("next:{:016x}", last.order)),
        None => END.to_owned(),
    };
    let mut response = if header(parts, "accept").contains("application/json") {
        let file = |item: &Item| {
            json!({
                "type": item.kind.as_deref().unwrap_or("folder"), "name": item.name, "length": item.length,
                "last_modified": item.modified,
            })
        };
        document(json!({"files": page.iter().map(file).collect::<Vec<_>>(), "iter": iter}).to_string())
    } else {
        let line = |item: &Item| {
            let kind = if item.kind.is_some() { "N" } else { "F" };
            format!("{}\t{kind}\t{}\t{}", item.name, item.length, item.modified)
        };
        bytes(200, page.iter().map(line).collect::<Vec<_>>().join("\n").into())
    };
    set(&mut response, "x-upyun-list-iter", &iter);
    Ok(response)
}

/// The place after the item that the iterator names.
fn begin(items: &[Item], iter: &str) -> Result<usize, Failure> {
    if iter.is_empty() {
        return Ok(0);
    }
    if iter == END {
        return Ok(items.len());
    }
    let decoded = STANDARD.decode(iter).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let order = decoded
        .as_deref()
        .and_then(|text| text.strip_prefix("next:"))
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .ok_or_else(|| Failure::new(40000015, "invalid x-list-iter"))?;
    let descending = items.first().map(|item| item.order) > items.last().map(|item| item.order);
    Ok(items.partition_point(|item| if descending { item.order >= order } else { item.order <= order }))
}

/// What lies right in a folder.
fn items(bucket: &Bucket, path: &[u8]) -> Vec<Item> {
    let below = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
    let name = |path: &Vec<u8>| {
        let name = path.strip_prefix(below.as_slice()).filter(|name| !name.contains(&b'/'))?;
        Some(String::from_utf8_lossy(name).into_owned())
    };
    let files = bucket.files.iter().filter_map(|(path, file)| {
        Some(Item {
            order: file.order,
            name: name(path)?,
            kind: Some(file.content_type.clone()),
            length: file.data.len(),
            modified: file.modified.as_second(),
        })
    });
    let folders = bucket.folders.iter().filter_map(|(path, (order, modified))| {
        let modified = modified.as_second();
        Some(Item { order: *order, name: name(path)?, kind: None, length: 0, modified })
    });
    files.chain(folders).collect()
}
