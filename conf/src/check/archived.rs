//! What a source does with archived objects.

use super::reader::Reader;
use crate::job::{Endpoint, EndpointType, OnArchived, RestoreTier};

const SECTION: &str = "source";

/// Types whose objects can be restored from here.
const RESTORING: [EndpointType; 4] =
    [EndpointType::S3, EndpointType::Oss, EndpointType::Cos, EndpointType::Azure];

pub(super) fn check(read: &mut Reader<'_>, end: &mut Endpoint) {
    let words = [("fail", OnArchived::Fail), ("skip", OnArchived::Skip), ("restore", OnArchived::Restore)];
    let tiers = [
        ("expedited", RestoreTier::Expedited),
        ("standard", RestoreTier::Standard),
        ("bulk", RestoreTier::Bulk),
    ];
    end.on_archived = read.choice(SECTION, "on_archived", &words).unwrap_or_default();
    end.restore_tier = read.choice(SECTION, "restore_tier", &tiers).unwrap_or_default();
    end.restore_days = read.small(SECTION, "restore_days", 1, 365, end.restore_days);
    if end.on_archived == OnArchived::Restore {
        if !RESTORING.contains(&end.kind) {
            let what = format!(
                "is \"restore\", which is there for s3, oss, cos and azure only, and not for {}: write \"fail\" or \"skip\", \
                 and restore the objects with the provider's own tool",
                end.kind.name()
            );
            read.bad(SECTION, "on_archived", &what);
        }
        if end.kind == EndpointType::Azure {
            azure(read, end);
        }
        return;
    }
    for name in ["restore_tier", "restore_days"] {
        if read.raw.get(SECTION, name).is_some_and(|given| !given.is_empty()) {
            read.odd(SECTION, name, "does nothing without on_archived = \"restore\": remove it, or add that");
        }
    }
}

/// Blobs come back for good, with two priorities ("Blob rehydration from the archive tier").
fn azure(read: &mut Reader<'_>, end: &Endpoint) {
    if end.restore_tier == RestoreTier::Bulk {
        read.bad(
            SECTION,
            "restore_tier",
            "is \"bulk\", which azure does not have: write \"standard\" or \"expedited\"",
        );
    }
    if read.raw.get(SECTION, "restore_days").is_some_and(|given| !given.is_empty()) {
        read.odd(
            SECTION,
            "restore_days",
            "does nothing at azure, where blobs come back to the tier Hot for good: remove it",
        );
    }
}
