//! Keys of `[transfer]` that say what travels on request: refused where an end does not have it.

use super::reader::Reader;
use crate::carry::{Carry, HOT, Symlinks};
use crate::job::{Endpoint, EndpointType, TransferConf};

const SECTION: &str = "transfer";

/// The keys as they are given.
pub(super) fn read(read: &mut Reader<'_>) -> Carry {
    let words = [("read", Symlinks::Read), ("carry", Symlinks::Carry)];
    Carry {
        tags: read.switch(SECTION, "carry_tags").unwrap_or(false),
        acl: read.switch(SECTION, "carry_acl").unwrap_or(false),
        symlinks: read.choice(SECTION, "symlinks", &words).unwrap_or_default(),
        make_markers: false,
        storage_classes: read.pairs(SECTION, "storage_classes").unwrap_or_default().into_iter().collect(),
    }
}

/// `directory_markers`: whether they are carried, and whether those are made that are not there.
pub(super) fn markers(read: &mut Reader<'_>, default: bool) -> (bool, bool) {
    let words = [("true", (true, false)), ("false", (false, false)), ("create", (true, true))];
    if read.raw.get(SECTION, "directory_markers").is_some_and(|given| given.is_text()) {
        return read.choice(SECTION, "directory_markers", &words).unwrap_or((default, false));
    }
    (read.switch(SECTION, "directory_markers").unwrap_or(default), false)
}

/// What was asked for and the two ends do not have.
pub(super) fn fits(
    read: &mut Reader<'_>,
    from: &Endpoint,
    to: &Endpoint,
    transfer: &TransferConf,
    renames: bool,
) {
    let carry = &transfer.carry;
    let mut lacks = |asked: bool, name: &str, what: &str, has: fn(EndpointType) -> bool| {
        for (end, side) in [(from, "source"), (to, "destination")] {
            if asked && !has(end.kind) {
                let kind = end.kind.name();
                read.bad(
                    SECTION,
                    name,
                    &format!("is set, but a {side} of type {kind:?} has no {what}: remove it"),
                );
                return;
            }
        }
    };
    lacks(carry.tags, "carry_tags", "tags that can be carried", EndpointType::has_tags);
    lacks(carry.acl, "carry_acl", "access lists that can be carried", EndpointType::tells_acls);
    lacks(!carry.storage_classes.is_empty(), "storage_classes", "storage classes", EndpointType::has_classes);
    let links = carry.symlinks == Symlinks::Carry;
    lacks(links, "symlinks", "links between objects", |kind| kind == EndpointType::Oss);
    if links && renames {
        read.bad(SECTION, "symlinks", "is \"carry\", and [[rename]] would rename the objects that links lead to, not the links: remove one of them");
    }
    if carry.acl && !to.acl.is_empty() {
        read.bad("destination", "acl", "and transfer.carry_acl are both set: remove one of them");
    }
    let able = matches!(to.kind, EndpointType::S3 | EndpointType::Oss | EndpointType::Cos);
    if carry.make_markers && !(able && to.can_forbid_overwrite()) {
        let what = format!(
            "is \"create\", which type {:?} cannot do without writing over what is there: write true or false",
            to.kind.name()
        );
        read.bad(SECTION, "directory_markers", &what);
    }
    if from.kind != EndpointType::Azure
        && carry.storage_classes.keys().any(|class| class.eq_ignore_ascii_case(HOT))
    {
        let what = format!(
            "names the class {HOT}, which Azure Blob has: the plain class of a source of type {:?} is STANDARD",
            from.kind.name()
        );
        read.bad(SECTION, "storage_classes", &what);
    }
    let words = |text: &String| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if let Some(bad) =
        carry.storage_classes.iter().flat_map(|(from, to)| [from, to]).find(|t| !words(t) || t.is_empty())
    {
        let what =
            format!("has {bad:?} in it: names of classes are letters, digits, _ and -, such as STANDARD_IA");
        read.bad(SECTION, "storage_classes", &what);
    }
}
