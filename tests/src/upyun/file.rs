//! Files: writing, looking, reading, deleting.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};

use super::reply::{Failure, bytes};
use super::state::{File, State};
use super::{Target, folder, header, md5_of};
use crate::family::reply::{Outgoing, ok, set};

const META: &str = "x-upyun-meta-";

/// Metadata of a request. Web servers drop headers with `_` in their names.
pub(crate) fn meta(parts: &Parts) -> Vec<(String, String)> {
    let one = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let name = name.as_str().strip_prefix(META).filter(|name| !name.contains('_'))?;
        Some((name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
    };
    parts.headers.iter().filter_map(one).collect()
}

pub(crate) fn put(
    state: &State,
    target: &Target,
    parts: &Parts,
    data: Bytes,
) -> Result<Response<Outgoing>, Failure> {
    if target.path.is_empty() {
        return Err(Failure::new(40600001, "dir not acceptable"));
    }
    let given = header(parts, "content-type");
    // "By default the type is told from the name's ending."
    let content_type = if given.is_empty() { "text/plain" } else { given }.to_owned();
    let file = File {
        etag: md5_of(&data),
        data,
        content_type,
        meta: meta(parts),
        modified: state.now(),
        in_parts: false,
        order: state.next_order(),
    };
    let etag = file.etag.clone();
    state.within(&target.bucket, |bucket| bucket.write(&target.path, file))?;
    let mut response = bytes(200, Bytes::new());
    if state.states_etags() {
        set(&mut response, "etag", &format!("\"{etag}\""));
        set(&mut response, "content-md5", &etag);
    }
    Ok(response)
}

/// HEAD and GET, of a file or of a folder.
pub(crate) fn look(state: &State, target: &Target, parts: &Parts) -> Result<Response<Outgoing>, Failure> {
    if target.query == "usage" {
        let sum = |bucket: &mut super::state::Bucket| -> usize {
            bucket.files.values().map(|file| file.data.len()).sum()
        };
        return Ok(bytes(200, state.within(&target.bucket, sum).to_string().into()));
    }
    match state.file(&target.bucket, &target.path) {
        Some(file) if target.method == Method::HEAD => {
            let mut response = described(&file);
            set(&mut response, "x-upyun-file-type", "file");
            set(&mut response, "x-upyun-file-size", &file.data.len().to_string());
            set(&mut response, "x-upyun-file-date", &file.modified.as_second().to_string());
            Ok(response)
        }
        Some(file) => given(&file, parts),
        None => folder::look(state, target, parts),
    }
}

/// The headers of a file, without its bytes.
fn described(file: &File) -> Response<Outgoing> {
    let mut response = ok(200);
    set(&mut response, "content-type", &file.content_type);
    set(&mut response, "etag", &format!("\"{}\"", file.etag));
    set(&mut response, "content-md5", &md5_of(&file.data));
    set(&mut response, "last-modified", &file.modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    for (name, value) in &file.meta {
        set(&mut response, &format!("{META}{name}"), value);
    }
    response
}

/// A file's bytes, all or a range.
pub(crate) fn given(file: &File, parts: &Parts) -> Result<Response<Outgoing>, Failure> {
    let (head, _) = described(file).into_parts();
    let mut response = match range(parts, file.data.len()) {
        Some(Err(())) => return Err(Failure::new(41600000, "requested range not satisfiable")),
        Some(Ok((from, to))) => {
            let mut response = bytes(206, file.data.slice(from..to));
            let span = format!("bytes {from}-{}/{}", to - 1, file.data.len());
            set(&mut response, "content-range", &span);
            response
        }
        None => bytes(200, file.data.clone()),
    };
    for (name, value) in &head.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(response)
}

fn range(parts: &Parts, len: usize) -> Option<Result<(usize, usize), ()>> {
    let (from, to) = header(parts, "range").strip_prefix("bytes=")?.split_once('-')?;
    let from: usize = from.parse().ok()?;
    let to = to.parse::<usize>().map_or(len, |last| (last + 1).min(len));
    Some(if from < to { Ok((from, to)) } else { Err(()) })
}

/// A file, or an empty folder.
pub(crate) fn delete(state: &State, target: &Target) -> Result<Response<Outgoing>, Failure> {
    let below = [target.path.as_slice(), b"/"].concat();
    state.within(&target.bucket, |bucket| {
        let inside = |path: &Vec<u8>| path.starts_with(&below);
        if bucket.files.remove(&target.path).is_some() {
            return Ok(ok(200));
        }
        if bucket.files.keys().any(inside) || bucket.folders.keys().any(inside) {
            return Err(Failure::new(40300005, "directory not empty"));
        }
        match bucket.folders.remove(&target.path) {
            Some(_) => Ok(ok(200)),
            None => Err(Failure::new(40400001, "file or directory not found")),
        }
    })
}
