//! Pages of a listing, in any order.

use std::ops::Bound;

use proto::ObjectKey;
use proto::manifest::Entry;

use super::{MemoryStore, entry};
use crate::source::{ListRequest, Page};

impl MemoryStore {
    /// One page, and the key to go on after.
    pub(super) fn page_after(
        &self,
        request: &ListRequest,
        after: Option<&ObjectKey>,
    ) -> (Page, Option<ObjectKey>) {
        let inner = self.inner();
        let mut entries: Vec<Entry> = inner
            .objects
            .range((Bound::Included(request.under.clone()), Bound::Unbounded))
            .take_while(|(key, _)| key.as_bytes().starts_with(request.under.as_bytes()))
            .map(|(key, stored)| entry(key, stored))
            .collect();
        if let Some(order) = self.order {
            entries.sort_by(|a, b| order(&a.key, &b.key));
            let from =
                after.map_or(0, |after| entries.partition_point(|entry| order(&entry.key, after).is_le()));
            entries.drain(..from);
        } else if let Some(after) = after {
            entries.retain(|entry| entry.key > *after);
        }
        let mut page = Page::default();
        for found in entries {
            if page.entries.len() + page.prefixes.len() == self.page {
                let last =
                    page.entries.last().map(|entry| entry.key.clone()).max(page.prefixes.last().cloned());
                return (page, last);
            }
            let rest = found.key.as_bytes().get(request.under.as_bytes().len()..).unwrap_or_default();
            let slash = rest.iter().position(|byte| *byte == b'/').filter(|_| request.folded);
            match slash {
                Some(at) => {
                    let end = request.under.as_bytes().len() + at + 1;
                    let prefix = ObjectKey::new(found.key.to_bytes().slice(..end));
                    let seen =
                        after.is_some_and(|after| *after >= prefix) || page.prefixes.last() == Some(&prefix);
                    if !seen {
                        page.prefixes.push(prefix);
                    }
                }
                None => page.entries.push(found),
            }
        }
        (page, None)
    }
}
