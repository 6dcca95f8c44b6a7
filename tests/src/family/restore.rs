//! Archived objects: reads are refused until a restore was asked for and has come to its end, which the test says.
//!
//! Sources: Amazon S3 API reference, "RestoreObject" (202, 200 when restored before, 409
//! `RestoreAlreadyInProgress`, 403 `InvalidObjectState`; `x-amz-restore`); OSS, "RestoreObject" (Archive: 1 to 7 days
//! and no tier; ColdArchive: 1 to 365 and a tier; the same answers; `x-oss-restore`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Response;

use super::reply::{Failure, Outgoing, ok, set};
use super::state::{Object, State};
use super::{Dialect, Target};

/// Classes that have to be restored before they can be read.
const CLASSES: [&str; 8] = [
    "GLACIER",
    "DEEP_ARCHIVE",
    "Archive",
    "ColdArchive",
    "DeepColdArchive",
    "ARCHIVE",
    "COLD_ARCHIVE",
    "DEEP_COLD_ARCHIVE",
];
const TIERS: [&str; 3] = ["Expedited", "Standard", "Bulk"];

type Place = (String, Vec<u8>);

/// Restores that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Thaws(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// True: it is still going on.
    ongoing: BTreeMap<Place, bool>,
    wishes: Vec<(Place, String)>,
    /// For what had been asked for.
    needless: usize,
}

impl Thaws {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn finish(&self, bucket: &str, key: &[u8]) {
        self.inner().ongoing.insert((bucket.to_owned(), key.to_vec()), false);
    }

    pub(crate) fn forget(&self, bucket: &str, key: &[u8]) {
        self.inner().ongoing.remove(&(bucket.to_owned(), key.to_vec()));
    }

    pub(crate) fn wishes(&self, bucket: &str) -> Vec<(Vec<u8>, String)> {
        let inner = self.inner();
        let of_it = inner.wishes.iter().filter(|((at, _), _)| at == bucket);
        of_it.map(|((_, key), body)| (key.clone(), body.clone())).collect()
    }

    pub(crate) fn needless(&self) -> usize {
        self.inner().needless
    }

    fn ongoing(&self, target: &Target) -> Option<bool> {
        self.inner().ongoing.get(&(target.bucket.clone(), target.key.clone())).copied()
    }
}

/// `COLD` stands for the words of services that speak S3: at OBS it is an archive, at BOS it can be read.
fn is_archived(dialect: Dialect, object: &Object) -> bool {
    CLASSES.contains(&object.class.as_str()) || dialect == Dialect::S3 && object.class == "COLD"
}

/// A read of an archived object that is not restored is refused.
pub(crate) fn check_readable(state: &State, target: &Target, object: &Object) -> Result<(), Failure> {
    if !is_archived(state.dialect, object) || state.thaws.ongoing(target) == Some(false) {
        return Ok(());
    }
    Err(Failure::new(403, "InvalidObjectState", "The operation is not valid for the object's storage class"))
}

/// The header that says how a restore stands.
pub(crate) fn say(state: &State, target: &Target, response: &mut Response<Outgoing>) {
    let name = &format!("{}restore", state.dialect.rules().prefix);
    match state.thaws.ongoing(target) {
        Some(true) => set(response, name, "ongoing-request=\"true\""),
        Some(false) => {
            set(response, name, "ongoing-request=\"false\", expiry-date=\"Fri, 01 Jan 2100 00:00:00 GMT\"");
        }
        None => {}
    }
}

pub(crate) fn answer(state: &State, target: &Target, body: &Bytes) -> Result<Response<Outgoing>, Failure> {
    let object = state
        .object(&target.bucket, &target.key)
        .ok_or_else(|| Failure::new(404, "NoSuchKey", "The specified key does not exist."))?;
    if !is_archived(state.dialect, &object) {
        let text = "Restore is not allowed for the object's current storage class";
        return Err(Failure::new(403, "InvalidObjectState", text));
    }
    let body = String::from_utf8_lossy(body).into_owned();
    check(state.dialect, &object.class, &body).map_err(|why| Failure::new(400, "MalformedXML", &why))?;
    let mut inner = state.thaws.inner();
    let place = (target.bucket.clone(), target.key.clone());
    let ongoing = inner.ongoing.get(&place).copied();
    inner.needless += usize::from(ongoing.is_some());
    match ongoing {
        Some(true) => {
            let text = "Object restore is already in progress";
            return Err(Failure::new(409, "RestoreAlreadyInProgress", text));
        }
        Some(false) => return Ok(ok(200)),
        None => {}
    }
    inner.ongoing.insert(place.clone(), true);
    inner.wishes.push((place, body));
    Ok(ok(202))
}

/// What stands between the tags, and nothing else of that name.
fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner)
}

fn check(dialect: Dialect, class: &str, body: &str) -> Result<(), String> {
    if !body.contains("<RestoreRequest") || !body.ends_with("</RestoreRequest>") {
        return Err("no RestoreRequest".to_owned());
    }
    let days = element(body, "Days").and_then(|days| days.parse::<u32>().ok()).ok_or("no Days")?;
    let most = if class == "Archive" { 7 } else { 365 };
    if !(1..=most).contains(&days) {
        return Err(format!("Days is {days}, and {class} takes 1 to {most}"));
    }
    let parameters = match dialect {
        Dialect::Oss => "JobParameters",
        Dialect::Cos => "CASJobParameters",
        _ => "GlacierJobParameters",
    };
    match element(body, parameters).map(|inner| element(inner, "Tier").unwrap_or_default()) {
        Some(_) if class == "Archive" => Err("Archive has no JobParameters".to_owned()),
        Some(tier) if !TIERS.contains(&tier) => Err(format!("there is no tier {tier:?}")),
        Some("Expedited") if class == "DEEP_ARCHIVE" => Err("DEEP_ARCHIVE has no tier Expedited".to_owned()),
        Some(_) => Ok(()),
        None if body.contains("Tier") => Err("the tier stands in the wrong place".to_owned()),
        None => Ok(()),
    }
}
