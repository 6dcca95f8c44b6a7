//! Objects in archive classes, which have to be restored before they can be read: how they stand, and how they are
//! asked for.

use std::fmt;

use async_trait::async_trait;
use conf::job::{EndpointType, RestoreTier};
use proto::ObjectKey;

use crate::error::Result;

/// A service that has archived objects. Keys are relative to the endpoint's prefix.
#[async_trait]
pub trait Archive: fmt::Debug + Send + Sync {
    /// How the object stands. Asks the object alone; nothing is changed.
    async fn stand(&self, key: &ObjectKey) -> Result<Stand>;

    /// Asks for an object that is [`Stand::Archived`].
    async fn restore(&self, key: &ObjectKey, wish: &Wish<'_>) -> Result<Asked>;
}

/// How an object stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stand {
    /// It can be read.
    Readable,
    /// It was asked for and cannot be read yet.
    Restoring,
    /// Nobody asked for it, or what was restored is gone again.
    Archived {
        /// As the service calls it.
        class: String,
        /// A tier of a class that moves objects by itself: it comes back for good, not for days.
        automatic: bool,
    },
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The object's class.
    pub class: &'a str,
    /// See [`Stand::Archived`].
    pub automatic: bool,
    /// How fast.
    pub tier: RestoreTier,
    /// How long the copy is to stay.
    pub days: u32,
}

/// The answer to a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It will be restored; or somebody asked before.
    Restoring,
    /// Not now: the service asks to come again later. Nobody waits for it meanwhile.
    Later,
    /// It can be read already.
    Readable,
}

/// Are objects of this class, as a listing names it, not to be read before they were asked about?
///
/// Sources: Amazon S3 user guide, "Storage classes" (Glacier Instant Retrieval is readable); OSS, "Overview of storage
/// classes"; COS, "Storage class overview"; Azure, "Access tiers for blob data". Services that speak S3 have words of
/// their own; one that is missing here costs a read that is refused.
pub fn is_archived(kind: EndpointType, class: &str) -> bool {
    let classes: &[&str] = match kind {
        EndpointType::S3 => {
            &["GLACIER", "DEEP_ARCHIVE", "ARCHIVE", "COLD_ARCHIVE", "DEEP_COLD_ARCHIVE", "DEEPCOLDARCHIVE"]
        }
        EndpointType::Oss => &["Archive", "ColdArchive", "DeepColdArchive"],
        EndpointType::Cos => &["ARCHIVE", "DEEP_ARCHIVE", "MAZ_ARCHIVE"],
        EndpointType::Azure => &["Archive"],
        _ => &[],
    };
    classes.iter().any(|archived| archived.eq_ignore_ascii_case(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_can_be_read_are_no_archives() {
        for (kind, class, archived) in [
            (EndpointType::S3, "GLACIER", true),
            (EndpointType::S3, "COLD_ARCHIVE", true),
            (EndpointType::S3, "GLACIER_IR", false),
            (EndpointType::S3, "INTELLIGENT_TIERING", false),
            (EndpointType::Oss, "archive", true),
            (EndpointType::Oss, "IA", false),
            (EndpointType::Azure, "Archive", true),
            (EndpointType::Azure, "Cold", false),
            (EndpointType::Local, "GLACIER", false),
        ] {
            assert_eq!(is_archived(kind, class), archived, "{class}");
        }
    }
}
