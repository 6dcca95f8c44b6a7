//! Tags, access lists and links: what belongs to an object beside its bytes and headers. Refused as the vendors
//! refuse it: too many tags, signs that a tag cannot hold, access lists that there are not, and OSS's list at the
//! begin of a multipart upload, where its API has none.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::Response;
use http::request::Parts;

use super::object::own_header;
use super::reply::{Failure, Outgoing, document, ok, set};
use super::state::State;
use super::{Dialect, Target, sign, xml};

/// By bucket and key.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<BTreeMap<(String, Vec<u8>), Beside>>);

/// Tags and the canned access list of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// Names and values.
    pub tags: Vec<(String, String)>,
    /// As it was written; empty: none was.
    pub acl: String,
}

impl Kept {
    pub(crate) fn get(&self, bucket: &str, key: &[u8]) -> Beside {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&(bucket.to_owned(), key.to_vec())).cloned().unwrap_or_default()
    }

    pub(crate) fn set(&self, bucket: &str, key: &[u8], beside: Beside) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert((bucket.to_owned(), key.to_vec()), beside);
    }
}

fn refused(code: &'static str, text: &str) -> Failure {
    Failure::new(400, code, text)
}

/// Keeps what a write brings. Before the write itself: a refusal leaves all as it was.
pub(crate) fn take(state: &State, target: &Target, parts: &Parts) -> Result<(), Failure> {
    let oss = state.dialect == Dialect::Oss;
    let upload = target.has("uploadId");
    let begin = target.method == "POST" && target.has("uploads");
    let completes = target.method == "POST" && upload;
    let whole = target.method == "PUT" && !upload && (target.query.is_empty() || target.has("symlink"));
    if !(begin || whole || completes && oss) {
        return Ok(());
    }
    let tags = own_header(state, parts, "tagging");
    let acl = own_header(state, parts, if oss { "object-acl" } else { "acl" });
    if oss && begin && acl.is_some() {
        return Err(refused("InvalidArgument", "InitiateMultipartUpload has no x-oss-object-acl."));
    }
    let acl = acl.unwrap_or_default();
    if !acl.is_empty() && !canned(state.dialect).contains(&acl.as_str()) {
        return Err(refused("InvalidArgument", "no such canned access list"));
    }
    if completes {
        let before = state.beside.get(&target.bucket, &target.key);
        state.beside.set(&target.bucket, &target.key, Beside { acl, ..before });
        return Ok(());
    }
    let tags = tags.map_or(Ok(Vec::new()), |text| parse(state.dialect, &text))?;
    state.beside.set(&target.bucket, &target.key, Beside { tags, acl });
    Ok(())
}

fn canned(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Oss => &["default", "private", "public-read", "public-read-write"],
        _ => &[
            "private",
            "public-read",
            "public-read-write",
            "authenticated-read",
            "aws-exec-read",
            "bucket-owner-read",
            "bucket-owner-full-control",
        ],
    }
}

fn parse(dialect: Dialect, text: &str) -> Result<Vec<(String, String)>, Failure> {
    let tags = sign::query(text);
    let signs = if dialect == Dialect::Oss { "+-=._:/ " } else { "+-=._:/@ " };
    let fits = |text: &str, most: usize| {
        text.chars().count() <= most && text.chars().all(|c| c.is_alphanumeric() || signs.contains(c))
    };
    let mut names: Vec<&String> = tags.iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    if tags.len() > 10 || names.len() != tags.len() {
        return Err(refused("BadRequest", "Object tags cannot be greater than 10, and have one name each."));
    }
    if !tags.iter().all(|(name, value)| !name.is_empty() && fits(name, 128) && fits(value, 256)) {
        return Err(refused("InvalidTag", "The TagKey or TagValue you have provided is invalid"));
    }
    Ok(tags)
}

/// `GET ?tagging`, `GET ?acl` and `GET ?symlink`; nothing where it is something else.
pub(crate) fn answer(state: &State, target: &Target) -> Option<Result<Response<Outgoing>, Failure>> {
    let asks = ["tagging", "acl", "symlink"].into_iter().find(|name| target.has(name));
    let asked = asks.filter(|_| target.method == "GET")?;
    let Some(object) = state.object(&target.bucket, &target.key) else {
        return Some(Err(Failure::new(404, "NoSuchKey", "The specified key does not exist.")));
    };
    let beside = state.beside.get(&target.bucket, &target.key);
    let answer = match asked {
        "tagging" => {
            let tag = |(name, value): &(String, String)| {
                format!("<Tag>{}{}</Tag>", xml::element("Key", name), xml::element("Value", value))
            };
            let tags: String = beside.tags.iter().map(tag).collect();
            document(xml::document("Tagging", &format!("<TagSet>{tags}</TagSet>")))
        }
        "acl" => document(xml::document("AccessControlPolicy", &policy(state.dialect, &beside.acl))),
        _ if object.kind != "Symlink" => {
            return Some(Err(refused("NotSymlink", "The object is not symlink.")));
        }
        _ => {
            let mut response = ok(200);
            set(&mut response, "x-oss-symlink-target", &sign::encode(&object.data, false));
            set(&mut response, "etag", &format!("\"{}\"", object.etag));
            response
        }
    };
    Some(Ok(answer))
}

fn policy(dialect: Dialect, acl: &str) -> String {
    let owner = "<Owner><ID>1</ID><DisplayName>1</DisplayName></Owner>";
    if dialect == Dialect::Oss {
        let acl = if acl.is_empty() { "default" } else { acl };
        return format!("{owner}<AccessControlList>{}</AccessControlList>", xml::element("Grant", acl));
    }
    let grant = |grantee: &str, permission: &str| {
        format!("<Grant>{grantee}<Permission>{permission}</Permission></Grant>")
    };
    let xsi = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"";
    let me = format!("<Grantee {xsi} xsi:type=\"CanonicalUser\"><ID>1</ID></Grantee>");
    let group = |name: &str| {
        let uri = format!("http://acs.amazonaws.com/groups/global/{name}");
        format!("<Grantee {xsi} xsi:type=\"Group\">{}</Grantee>", xml::element("URI", &uri))
    };
    let mut grants = grant(&me, "FULL_CONTROL");
    let everybody: &[&str] = match acl {
        "public-read" => &["READ"],
        "public-read-write" => &["READ", "WRITE"],
        _ => &[],
    };
    everybody.iter().for_each(|permission| grants += &grant(&group("AllUsers"), permission));
    if acl == "authenticated-read" {
        grants += &grant(&group("AuthenticatedUsers"), "READ");
    }
    format!("{owner}<AccessControlList>{grants}</AccessControlList>")
}
