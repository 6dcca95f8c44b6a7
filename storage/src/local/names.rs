//! The names of one directory, sorted as an object store sorts keys, in little memory: one block of bytes and
//! eight bytes a name, so that a directory of a million entries takes some tens of megabytes. Listings of parts of
//! one large directory share them: it is read once, and held once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Names in key order: a directory's name carries its `/`, so that plain byte order is key order.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    sorted: Vec<Name>,
}

/// What a directory holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files and directories.
    pub(super) names: Names,
    /// What is no object: links, sockets, devices.
    pub(super) special: Names,
}

/// Device and inode.
pub(super) type Identity = (u64, u64);

/// The large directories that somebody lists now.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Vec<(Identity, Weak<Listing>)>>);

/// Smaller directories are read again.
const LARGE: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Name {
    at: u32,
    len: u16,
}

/// A directory whose names do not fit into 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyNames;

impl Names {
    /// Adds a file's name, or a directory's, without `/`.
    pub(super) fn push(&mut self, name: &[u8], is_directory: bool) -> Result<(), TooManyNames> {
        let at = u32::try_from(self.bytes.len()).map_err(|_| TooManyNames)?;
        self.bytes.extend_from_slice(name);
        if is_directory {
            self.bytes.push(b'/');
        }
        let len = u16::try_from(name.len() + usize::from(is_directory)).map_err(|_| TooManyNames)?;
        self.sorted.push(Name { at, len });
        Ok(())
    }

    /// Once, after the last `push`.
    pub(super) fn sort(&mut self) {
        let Names { bytes, sorted, .. } = self;
        sorted.sort_unstable_by(|a, b| a.of(bytes).cmp(b.of(bytes)));
        sorted.shrink_to_fit();
        bytes.shrink_to_fit();
    }

    /// A name by its place in the order; a directory's ends in `/`.
    pub(super) fn get(&self, at: usize) -> Option<&[u8]> {
        self.sorted.get(at).map(|name| name.of(&self.bytes))
    }

    /// The place of the first name that is not `before`.
    pub(super) fn first_not(&self, mut before: impl FnMut(&[u8]) -> bool) -> usize {
        self.sorted.partition_point(|name| before(name.of(&self.bytes)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.sorted.iter().map(|name| name.of(&self.bytes))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}

// === impl Shared ===

impl Shared {
    fn all(&self) -> MutexGuard<'_, Vec<(Identity, Weak<Listing>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As somebody else has it.
    pub(super) fn find(&self, identity: Identity) -> Option<Arc<Listing>> {
        self.all().iter().find(|(one, _)| *one == identity)?.1.upgrade()
    }

    /// For others, as long as the caller keeps it; what somebody else read meanwhile takes its place.
    pub(super) fn share(&self, identity: Identity, listing: Listing) -> Arc<Listing> {
        if listing.names.sorted.len() < LARGE {
            return Arc::new(listing);
        }
        let mut all = self.all();
        all.retain(|(_, listing)| listing.strong_count() > 0);
        if let Some(there) = all.iter().find(|(one, _)| *one == identity).and_then(|(_, it)| it.upgrade()) {
            return there;
        }
        let listing = Arc::new(listing);
        all.push((identity, Arc::downgrade(&listing)));
        listing
    }
}

impl Name {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let at = self.at as usize;
        bytes.get(at..at + usize::from(self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn names_come_in_the_order_of_the_keys_behind_them(
            names in prop::collection::btree_map("[-a./0]{1,4}", any::<bool>(), 0..20)
        ) {
            let mut sorted = Names::default();
            let mut keys = Vec::new();
            for (name, is_directory) in &names {
                let name = name.replace('/', "_");
                sorted.push(name.as_bytes(), *is_directory).unwrap();
                keys.push(if *is_directory { format!("{name}/") } else { name });
            }
            sorted.sort();
            keys.sort();
            for (at, key) in keys.iter().enumerate() {
                prop_assert_eq!(sorted.get(at), Some(key.as_bytes()));
                prop_assert_eq!(sorted.first_not(|name| name < key.as_bytes()), at);
            }
            prop_assert_eq!(sorted.get(keys.len()), None);
        }
    }

    #[test]
    fn a_large_directory_is_held_once_and_only_while_somebody_lists_it() {
        let listing = |count: usize| {
            let mut listing = Listing::default();
            (0..count).for_each(|at| listing.names.push(at.to_string().as_bytes(), false).unwrap());
            listing
        };
        let shared = Shared::default();
        let small = shared.share((1, 1), listing(10));
        assert!(shared.find((1, 1)).is_none() && !small.names.is_empty());
        let large = shared.share((1, 2), listing(LARGE));
        assert!(Arc::ptr_eq(&large, &shared.find((1, 2)).unwrap()));
        assert!(Arc::ptr_eq(&large, &shared.share((1, 2), listing(LARGE))));
        drop(large);
        assert!(shared.find((1, 2)).is_none());
    }
}
