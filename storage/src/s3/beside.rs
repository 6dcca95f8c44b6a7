//! What belongs to an object and is asked for with a request of its own: tags, the access list, links. Only for
//! jobs that carry it.

use http::Method;
use proto::ObjectKey;

use super::request::{Call, encode};
use super::{Client, headers, xml};
use crate::answered::header;
use crate::destination::{PutOptions, Written};
use crate::dialect::Scheme;
use crate::error::{ErrorKind, Op, Result};
use crate::meta::Headers;
use crate::meter::RequestKind;
use crate::source::Link;

impl Client {
    /// `GET ?tagging`.
    pub(super) async fn tags(&self, key: &ObjectKey) -> Result<Vec<(String, String)>> {
        let call = Call::new(Op::Tags, RequestKind::Tags, Method::GET, Some(key)).query("tagging", "");
        let body = match self.send_for_xml(&call).await {
            // "There is no tag set associated with the object": an answer, too (COS, GET Object tagging).
            Err(error) if matches!(error.code(), "NoSuchTagSet" | "NoSuchTagSetError") => {
                return Ok(Vec::new());
            }
            other => other?.1,
        };
        let found: xml::Tagging = xml::parse(&body).map_err(|why| call.error(ErrorKind::Protocol, why))?;
        Ok(found.tag_set.tag.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    /// `GET ?acl`, as the canned list that says the same.
    pub(super) async fn acl(&self, key: &ObjectKey) -> Result<Option<String>> {
        let call = Call::new(Op::Acl, RequestKind::Acl, Method::GET, Some(key)).query("acl", "");
        let (answer, body) = self.send_for_xml(&call).await?;
        let bad = |why| call.error(ErrorKind::Protocol, why);
        if self.dialect.scheme == Scheme::Oss {
            let found: xml::CannedPolicy = xml::parse(&body).map_err(bad)?;
            return Ok(Some(found.access_control_list.grant.trim().to_owned()).filter(|acl| !acl.is_empty()));
        }
        // COS says so where the bucket's list counts (GET Object acl).
        if header(&answer, "x-cos-acl") == "default" {
            return Ok(Some("default".to_owned()));
        }
        let found: xml::Policy = xml::parse(&body).map_err(bad)?;
        Ok(canned(&found).map(str::to_owned))
    }

    /// `GET ?symlink` (OSS API reference, GetSymlink): the target is URL-encoded.
    pub(super) async fn link(&self, key: &ObjectKey) -> Result<Option<Link>> {
        let call = Call::new(Op::Link, RequestKind::Link, Method::GET, Some(key)).query("symlink", "");
        let answer = self.send_for_headers(&call).await?;
        let text = header(&answer, "x-oss-symlink-target");
        if text.is_empty() {
            return Err(call.error(ErrorKind::Protocol, "the answer names no target"));
        }
        let target: Vec<u8> = percent_encoding::percent_decode_str(&text).collect();
        let below = target.strip_prefix(self.endpoint.prefix.as_bytes());
        let user = headers::user(self.dialect, self.carries, &answer, &mut Vec::new());
        Ok(below.map(|below| Link { target: ObjectKey::new(below.to_vec()), user }))
    }

    /// `PUT ?symlink` (OSS API reference, PutSymlink).
    pub(super) async fn put_link(
        &self,
        key: &ObjectKey,
        target: &ObjectKey,
        options: &PutOptions,
    ) -> Result<Written> {
        let mut call = Call::new(Op::PutLink, RequestKind::Link, Method::PUT, Some(key)).query("symlink", "");
        let own = Headers { user: options.headers.user.clone(), ..Headers::default() };
        let (pairs, not_carried) =
            self.carries.encode(&own).map_err(|why| call.error(ErrorKind::Refused, why))?;
        for (name, value) in &pairs {
            call = call.header(name, value);
        }
        let mut text = String::new();
        encode(&mut text, &self.full_key(target), false);
        call = call.header("x-oss-symlink-target", &text);
        call = self.class_and_acl(call, options, true);
        call = self.no_overwrite(call, options.keep_standing)?;
        let answer = self.send_for_headers(&call).await?;
        Ok(Written { etag: headers::etag(&answer), not_carried, ..Written::default() })
    }
}

/// The canned list that grants the same (Amazon S3 user guide, "Canned ACL"): the owner everything, and a group
/// something.
fn canned(policy: &xml::Policy) -> Option<&'static str> {
    let (mut owner, mut rest) = (false, Vec::new());
    for grant in &policy.access_control_list.grant {
        let group = grant.grantee.uri.rsplit('/').next().unwrap_or_default();
        if !policy.owner.id.is_empty() && grant.grantee.id == policy.owner.id && group.is_empty() {
            owner |= grant.permission == "FULL_CONTROL";
        } else {
            rest.push((group, grant.permission.as_str()));
        }
    }
    rest.sort_unstable();
    match rest.as_slice() {
        _ if !owner => None,
        [] => Some("private"),
        [("AllUsers", "READ")] => Some("public-read"),
        [("AllUsers", "READ"), ("AllUsers", "WRITE")] => Some("public-read-write"),
        [("AuthenticatedUsers", "READ")] => Some("authenticated-read"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(grants: &str) -> xml::Policy {
        let text = format!(
            "<AccessControlPolicy>\n <Owner><ID>me</ID></Owner>\n <AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
        );
        xml::parse(text.as_bytes()).unwrap()
    }

    fn user(id: &str, permission: &str) -> String {
        format!(
            "<Grant>\n <Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"><ID>{id}</ID></Grantee><Permission>{permission}</Permission></Grant>"
        )
    }

    fn group(name: &str, permission: &str) -> String {
        let uri = format!("http://acs.amazonaws.com/groups/global/{name}");
        format!("<Grant><Grantee><URI>{uri}</URI></Grantee><Permission>{permission}</Permission></Grant>")
    }

    #[test]
    fn lists_are_recognised_by_what_they_grant() {
        let me = user("me", "FULL_CONTROL");
        for (grants, acl) in [
            (me.clone(), Some("private")),
            (group("AllUsers", "READ") + &me, Some("public-read")),
            (
                me.clone() + &group("AllUsers", "WRITE") + &group("AllUsers", "READ"),
                Some("public-read-write"),
            ),
            (me.clone() + &group("AuthenticatedUsers", "READ"), Some("authenticated-read")),
            (me.clone() + &user("another", "READ"), None),
            (me.clone() + &group("LogDelivery", "READ"), None),
            (me + &group("AllUsers", "READ_ACP"), None),
            (user("me", "READ"), None),
            (String::new(), None),
        ] {
            assert_eq!(canned(&policy(&grants)), acl, "{grants}");
        }
    }

    #[test]
    fn tags_and_the_lists_of_oss_are_read_as_the_services_write_them() {
        let text = "<?xml version=\"1.0\"?>\n<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n <TagSet>\n  <Tag><Key>a&amp;b</Key><Value> c </Value></Tag>\n  <Tag><Key>d</Key><Value></Value></Tag>\n </TagSet>\n</Tagging>";
        let found: xml::Tagging = xml::parse(text.as_bytes()).unwrap();
        let pairs: Vec<(&str, &str)> =
            found.tag_set.tag.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
        assert_eq!(pairs, [("a&b", " c "), ("d", "")]);
        let text = "<AccessControlPolicy><Owner><ID>1</ID></Owner><AccessControlList>\n<Grant>public-read</Grant></AccessControlList></AccessControlPolicy>";
        let found: xml::CannedPolicy = xml::parse(text.as_bytes()).unwrap();
        assert_eq!(found.access_control_list.grant, "public-read");
    }
}
