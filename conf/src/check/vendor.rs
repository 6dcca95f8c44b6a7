//! What vendors are known by.

use super::reader::Reader;
use crate::keys::PROVIDERS;

/// Which service speaks S3; empty: nobody said it.
pub(super) fn provider(read: &mut Reader<'_>, section: &str) -> String {
    let words: Vec<(&str, &str)> = PROVIDERS.iter().map(|name| (*name, *name)).collect();
    read.choice(section, "provider", &words).unwrap_or_default().to_owned()
}
