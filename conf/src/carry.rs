//! What travels with objects on request, and which types have what of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::EndpointType;

/// What the plain class is called, and what Azure calls it.
const PLAIN: &str = "STANDARD";
/// See [`PLAIN`].
pub(crate) const HOT: &str = "Hot";

/// What a job asks for beside the bytes, the headers and the metadata, which always travel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carry {
    /// Tags: one request more at the source for each object.
    pub tags: bool,
    /// Canned access lists: one request more at the source for each object.
    pub acl: bool,
    /// What becomes of OSS's links.
    pub symlinks: Symlinks,
    /// Make the directory markers that are not there.
    pub make_markers: bool,
    /// Class at the source to class at the destination; a class that is not in it gets the destination's own.
    pub storage_classes: BTreeMap<String, String>,
}

/// What becomes of an object that is a link to another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Symlinks {
    /// The content of its target is moved.
    #[default]
    Read,
    /// The link is made anew.
    Carry,
}

impl Carry {
    /// Whether anything has to be asked of the source beside the object itself.
    pub fn asks(&self) -> bool {
        self.tags || self.acl
    }

    /// The class to write for an object of this class; `None` is the plain one.
    pub fn class_for(&self, class: Option<&str>) -> Option<&str> {
        if self.storage_classes.is_empty() {
            return None;
        }
        let mapped = |class: &str| {
            let found = self.storage_classes.iter().find(|(from, _)| from.eq_ignore_ascii_case(class));
            found.map(|(_, to)| to.as_str())
        };
        match class {
            Some(class) => mapped(class),
            None => mapped(PLAIN).or_else(|| mapped(HOT)),
        }
    }
}

impl EndpointType {
    /// The canned access lists that a write may ask for.
    pub fn canned_acls(self) -> &'static [&'static str] {
        match self {
            // Amazon S3 user guide, "Canned ACL".
            EndpointType::S3 => &[
                "private",
                "public-read",
                "public-read-write",
                "authenticated-read",
                "aws-exec-read",
                "bucket-owner-read",
                "bucket-owner-full-control",
            ],
            // OSS API reference, PutObjectACL.
            EndpointType::Oss => &["default", "private", "public-read", "public-read-write"],
            // COS, PUT Object, x-cos-acl.
            EndpointType::Cos => &["default", "private", "public-read"],
            // BOS and KS3 have these two for objects.
            EndpointType::Bos | EndpointType::Ks3 => &["private", "public-read"],
            _ => &[],
        }
    }

    /// Objects of it have tags that are read and written here.
    pub fn has_tags(self) -> bool {
        matches!(self, EndpointType::S3 | EndpointType::Oss | EndpointType::Cos)
    }

    /// Access lists of it are read here.
    pub fn tells_acls(self) -> bool {
        matches!(self, EndpointType::S3 | EndpointType::Oss | EndpointType::Cos)
    }

    /// Objects of it are kept in classes.
    pub fn has_classes(self) -> bool {
        !matches!(self, EndpointType::Local | EndpointType::Youpai | EndpointType::Http)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_mapped_whatever_its_letter_case_and_the_plain_one_has_a_name() {
        let pairs = [("STANDARD_IA", "IA"), ("Standard", "IA2")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let carry = Carry { storage_classes: pairs.into(), ..Carry::default() };
        assert_eq!(carry.class_for(Some("standard_ia")), Some("IA"));
        assert_eq!(carry.class_for(None), Some("IA2"));
        assert_eq!(carry.class_for(Some("GLACIER")), None);
        let hot = Carry { storage_classes: [("hot".to_owned(), "IA".to_owned())].into(), ..Carry::default() };
        assert_eq!((hot.class_for(None), hot.class_for(Some("Cool"))), (Some("IA"), None));
        assert_eq!(Carry::default().class_for(None), None);
    }
}
