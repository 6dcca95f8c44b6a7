//! Uploads in parts: in order, where each answer says which part is next, or in any order. Stages may come together in
//! one request (`initiate,upload`, `upload,complete`), as the vendor's SDKs send them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use serde_json::json;

use super::reply::{Failure, document};
use super::state::{File, State, Upload};
use super::{Target, file, header, md5_of};
use crate::family::reply::{Outgoing, ok, set};

/// "1 MiB when nothing is said, whole MiB, 50 MiB at most."
const STEP: u64 = 1 << 20;
const MOST: u64 = 50 << 20;
/// Parts of one upload at most, and of one page of their list.
const PARTS: u64 = 10_000;
const PAGE: usize = 100;

fn unknown() -> Failure {
    Failure::new(40011058, "x-upyun-multi-uuid not found")
}

impl Upload {
    fn count(&self) -> u64 {
        self.length.div_ceil(self.part_size)
    }

    /// -1 when all are there.
    fn next(&self) -> i64 {
        let missing = (0..self.count()).find(|id| !self.parts.contains_key(id));
        missing.and_then(|id| i64::try_from(id).ok()).unwrap_or(-1)
    }

    fn wrong_id(&self) -> Failure {
        Failure::new(40011061, "part id error").with("x-upyun-next-part-id", self.next().to_string())
    }

    fn add(&mut self, id: u64, data: Bytes) -> Result<(), Failure> {
        if !self.disorder && self.next() < 0 {
            return Err(Failure::new(40011062, "part already complete"));
        }
        if id >= self.count() || (!self.disorder && i64::try_from(id) != Ok(self.next())) {
            return Err(self.wrong_id());
        }
        let size = (self.length - id * self.part_size).min(self.part_size);
        if data.len() as u64 != size {
            return Err(Failure::new(40000025, "file size not match"));
        }
        self.parts.insert(id, data);
        Ok(())
    }
}

pub(crate) fn stage(
    state: &State,
    target: &Target,
    parts: &Parts,
    data: Bytes,
) -> Result<Response<Outgoing>, Failure> {
    let stages: Vec<&str> = header(parts, "x-upyun-multi-stage").split(',').map(str::trim).collect();
    if stages.is_empty() || stages.iter().any(|stage| !matches!(*stage, "initiate" | "upload" | "complete")) {
        return Err(Failure::new(40011055, "invalid multipart stage"));
    }
    let uuid = match stages.contains(&"initiate") {
        true => initiate(state, target, parts)?,
        false => header(parts, "x-upyun-multi-uuid").to_owned(),
    };
    let mut response = ok(204);
    state.within(&target.bucket, |bucket| {
        let upload = bucket.uploads.get_mut(&uuid).filter(|upload| upload.path == target.path);
        let upload = upload.ok_or_else(unknown)?;
        if stages.contains(&"upload") {
            let id = header(parts, "x-upyun-part-id").parse();
            upload.add(id.map_err(|_| Failure::new(40011051, "invalid x-upyun-part-id"))?, data)?;
        }
        set(&mut response, "x-upyun-next-part-id", &upload.next().to_string());
        set(&mut response, "x-upyun-multi-part-size", &upload.part_size.to_string());
        Ok::<(), Failure>(())
    })?;
    if stages.contains(&"complete") {
        response = complete(state, target, parts, &uuid)?;
    }
    set(&mut response, "x-upyun-multi-uuid", &uuid);
    Ok(response)
}

fn initiate(state: &State, target: &Target, parts: &Parts) -> Result<String, Failure> {
    let length: u64 = header(parts, "x-upyun-multi-length")
        .parse()
        .ok()
        .filter(|length| *length > 0)
        .ok_or_else(|| Failure::new(40011052, "invalid x-upyun-multi-length"))?;
    let part_size = match header(parts, "x-upyun-multi-part-size") {
        "" => Some(STEP),
        text => text.parse().ok().filter(|size| (STEP..=MOST).contains(size) && size % STEP == 0),
    };
    let part_size = part_size.ok_or_else(|| Failure::new(40011054, "invalid x-upyun-part-size"))?;
    if length.div_ceil(part_size) > PARTS {
        return Err(Failure::new(40011054, "invalid x-upyun-part-size"));
    }
    let kind = header(parts, "x-upyun-multi-type");
    let upload = Upload {
        path: target.path.clone(),
        length,
        part_size,
        content_type: if kind.is_empty() { "application/octet-stream" } else { kind }.to_owned(),
        meta: file::meta(parts),
        disorder: header(parts, "x-upyun-multi-disorder") == "true",
        parts: std::collections::BTreeMap::new(),
        begun: state.now(),
    };
    state.within(&target.bucket, |bucket| {
        // What cannot become a file is refused at once.
        if bucket.folders.contains_key(&target.path) {
            return Err(Failure::new(40600002, "folder already exists"));
        }
        Ok(())
    })?;
    Ok(state.add_upload(&target.bucket, upload))
}

fn complete(
    state: &State,
    target: &Target,
    parts: &Parts,
    uuid: &str,
) -> Result<Response<Outgoing>, Failure> {
    let (order, now) = (state.next_order(), state.now());
    state.within(&target.bucket, |bucket| {
        let upload = bucket.uploads.get(uuid).filter(|upload| upload.path == target.path);
        let upload = upload.ok_or_else(unknown)?;
        if upload.next() >= 0 {
            return Err(upload.wrong_id());
        }
        let data: Bytes = upload.parts.values().flatten().copied().collect::<Vec<u8>>().into();
        let md5 = header(parts, "x-upyun-multi-md5");
        if !md5.is_empty() && md5 != md5_of(&data) {
            return Err(Failure::new(40011059, "file md5 not match"));
        }
        let file = File {
            // Nothing promises that it is the MD5.
            etag: md5_of(&Bytes::from(uuid.to_owned())),
            data,
            content_type: upload.content_type.clone(),
            meta: upload.meta.clone(),
            modified: now,
            in_parts: true,
            order,
        };
        let (length, kind) = (upload.length, upload.content_type.clone());
        let over = bucket.write(&target.path, file)?;
        bucket.uploads.remove(uuid);
        let mut response = ok(if over { 204 } else { 201 });
        set(&mut response, "x-upyun-multi-length", &length.to_string());
        set(&mut response, "x-upyun-multi-type", &kind);
        Ok(response)
    })
}

/// The parts of one upload, from an id on.
pub(crate) fn parts(state: &State, target: &Target, parts: &Parts) -> Result<Response<Outgoing>, Failure> {
    let from: u64 = header(parts, "x-upyun-part-id").parse().unwrap_or(0);
    state.within(&target.bucket, |bucket| {
        let upload = bucket.uploads.get(header(parts, "x-upyun-multi-uuid"));
        let upload = upload.filter(|upload| upload.path == target.path).ok_or_else(unknown)?;
        let part = |(id, data): (&u64, &Bytes)| json!({"etag": md5_of(data), "size": data.len(), "id": id});
        let page: Vec<_> = upload.parts.range(from..).take(PAGE).map(part).collect();
        Ok(document(json!({"parts": page}).to_string()))
    })
}

/// Uploads below a prefix.
pub(crate) fn uploads(state: &State, target: &Target, parts: &Parts) -> Result<Response<Outgoing>, Failure> {
    let prefix = STANDARD.decode(header(parts, "x-upyun-list-prefix")).unwrap_or_default();
    let limit = header(parts, "x-upyun-list-limit").parse().unwrap_or(100);
    state.within(&target.bucket, |bucket| {
        let below = bucket.uploads.iter().filter(|(_, upload)| upload.path.starts_with(&prefix));
        let one = |(uuid, upload): (&String, &Upload)| {
            json!({
                "key": String::from_utf8_lossy(&upload.path), "uuid": uuid, "completed": false,
                "created_at": upload.begun.as_second(),
            })
        };
        let files: Vec<_> = below.take(limit).map(one).collect();
        Ok(document(json!({"files": files}).to_string()))
    })
}

/// Throws an upload away. Nothing says what happens where it is not there any more: the worst is that the file goes.
pub(crate) fn cancel(state: &State, target: &Target, parts: &Parts) -> Result<Response<Outgoing>, Failure> {
    let gone = state.within(&target.bucket, |bucket| {
        let uuid = header(parts, "x-upyun-multi-uuid");
        let known = bucket.uploads.get(uuid).is_some_and(|upload| upload.path == target.path);
        known.then(|| bucket.uploads.remove(uuid)).is_some()
    });
    if gone { Ok(ok(200)) } else { file::delete(state, target) }
}
