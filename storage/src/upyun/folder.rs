//! The items of one folder, sorted as an object store sorts keys, in little memory: one block of names and 24 bytes
//! an item, so that a folder of a million takes some tens of megabytes. The service sorts by time, so that a whole
//! folder has to be read before its first key can be given out.
//!
//! A folder that is larger than that is not held: it is given out as it comes, and whoever sorts keys sees that they
//! are not sorted (the scan then sorts on disk). Listings of parts of one large folder share it: it is read once. A
//! reading that broke off goes on where it was when somebody asks for the folder again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Client;
use super::list::Item;
use crate::error::{Error, ErrorKind, Op, Result};
use crate::retry;

/// Bytes of listings that one walk holds at most.
pub(super) const MOST: usize = 64 << 20;

/// Pages without an item, one after the other, of a listing that stands still.
const EMPTY_PAGES: u32 = 1000;

/// Readings that broke off and are kept.
const BROKEN: usize = 4;

/// What a folder holds, in key order: a folder's name carries its `/`, so that plain byte order is key order.
#[derive(Debug, Default)]
pub(super) struct Listing {
    bytes: Vec<u8>,
    sorted: Vec<Name>,
}

/// One item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// A folder's ends in `/`.
    pub(super) name: &'a [u8],
    pub(super) size: u64,
    pub(super) modified_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Name {
    size: u64,
    at: u32,
    modified_s: u32,
    len: u16,
}

/// A folder, or the begin of one that is too large to hold.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) listing: Arc<Listing>,
    /// Where it goes on.
    pub(super) more: Option<String>,
}

/// The folders of a service that somebody reads now.
#[derive(Debug, Default)]
pub(super) struct Folders(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// One reads, the others wait for it.
    turns: HashMap<Vec<u8>, Weak<tokio::sync::Mutex<()>>>,
    /// Folders of more than one page, as long as somebody has them.
    held: HashMap<Vec<u8>, Weak<Listing>>,
    broken: Vec<(Vec<u8>, Broken)>,
}

/// A reading that broke off.
#[derive(Debug, Default)]
struct Broken {
    listing: Listing,
    next: Option<String>,
    pages: u32,
}

// === impl Listing ===

impl Listing {
    pub(super) fn push(&mut self, item: &Item) {
        // `Client::folder` stops long before the end of the numbers, and `list` lets no long name through.
        let at = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(item.name.as_bytes());
        if item.is_folder {
            self.bytes.push(b'/');
        }
        let len = u16::try_from(item.name.len() + usize::from(item.is_folder)).unwrap_or(u16::MAX);
        self.sorted.push(Name { size: item.size, at, modified_s: item.modified_s, len });
    }

    /// After the last `push`. Of a name that came twice, because it was written meanwhile, the last one counts.
    pub(super) fn sort(&mut self) {
        let Listing { bytes, sorted } = self;
        sorted.sort_unstable_by(|a, b| a.of(bytes).cmp(b.of(bytes)).then(a.at.cmp(&b.at)));
        sorted.dedup_by(|next, kept| {
            let same = next.of(bytes) == kept.of(bytes);
            if same {
                *kept = *next;
            }
            same
        });
        sorted.shrink_to_fit();
        bytes.shrink_to_fit();
    }

    pub(super) fn get(&self, at: usize) -> Option<Found<'_>> {
        let name = self.sorted.get(at)?;
        let modified_ms = (name.modified_s > 0).then(|| i64::from(name.modified_s) * 1000);
        Some(Found { name: name.of(&self.bytes), size: name.size, modified_ms })
    }

    /// The place of the first name that is not `before`.
    pub(super) fn first_not(&self, mut before: impl FnMut(&[u8]) -> bool) -> usize {
        self.sorted.partition_point(|name| before(name.of(&self.bytes)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Bytes that it takes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.len() + self.sorted.len() * size_of::<Name>()
    }
}

impl Name {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let at = self.at as usize;
        bytes.get(at..at + usize::from(self.len)).unwrap_or_default()
    }
}

// === impl Folders ===

impl Folders {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, path: &[u8]) -> Arc<tokio::sync::Mutex<()>> {
        let turns = &mut self.state().turns;
        if let Some(turn) = turns.get(path).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(path.to_vec(), Arc::downgrade(&turn));
        turn
    }

    fn held(&self, path: &[u8]) -> Option<Arc<Listing>> {
        self.state().held.get(path)?.upgrade()
    }

    fn hold(&self, path: &[u8], listing: &Arc<Listing>) {
        let held = &mut self.state().held;
        held.retain(|_, listing| listing.strong_count() > 0);
        held.insert(path.to_vec(), Arc::downgrade(listing));
    }

    fn take_broken(&self, path: &[u8]) -> Option<Broken> {
        let broken = &mut self.state().broken;
        let at = broken.iter().position(|(known, _)| known == path)?;
        Some(broken.remove(at).1)
    }

    fn keep_broken(&self, path: &[u8], reading: Broken) {
        let broken = &mut self.state().broken;
        if broken.len() >= BROKEN {
            broken.remove(0);
        }
        broken.push((path.to_vec(), reading));
    }
}

impl Client {
    /// Pages of one folder from `more` on.
    pub(super) fn page_size(&self) -> u32 {
        self.endpoint.list_page.clamp(1, 1000)
    }

    /// Reads the folder of this path (with the prefix; empty, or ends in `/`), as far as it takes `most` bytes.
    /// `None`: there is none.
    pub(super) async fn folder(&self, path: &[u8], most: usize) -> Result<Option<Loaded>> {
        let turn = self.folders.turn(path);
        let _turn = turn.lock().await;
        if let Some(listing) = self.folders.held(path) {
            return Ok(Some(Loaded { listing, more: None }));
        }
        let mut reading = self.folders.take_broken(path).unwrap_or_default();
        let mut empty = 0;
        loop {
            let page = match self.list_page(path, reading.next.as_deref(), self.page_size()).await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(None),
                Err(error) => {
                    if reading.next.is_some() && may_go_on(&error) {
                        self.folders.keep_broken(path, reading);
                    }
                    return Err(error);
                }
            };
            empty = if page.items.is_empty() { empty + 1 } else { 0 };
            page.items.iter().for_each(|item| reading.listing.push(item));
            reading.pages += 1;
            reading.next = page.next;
            if empty > EMPTY_PAGES {
                let text = "the listing stands still: page after page is empty";
                return Err(Error::new(ErrorKind::Protocol, Op::List, text));
            }
            if reading.next.is_none() || reading.listing.memory() > most {
                break;
            }
        }
        let Broken { mut listing, next, pages } = reading;
        listing.sort();
        let listing = Arc::new(listing);
        if pages > 1 && next.is_none() {
            self.folders.hold(path, &listing);
        }
        Ok(Some(Loaded { listing, more: next }))
    }
}

/// The service was away; what it said before still holds.
fn may_go_on(error: &Error) -> bool {
    retry::is_transient(error.kind()) || error.kind() == ErrorKind::Throttled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, is_folder: bool, size: u64, modified_s: u32) -> Item {
        Item { name: name.to_owned(), is_folder, size, modified_s }
    }

    #[test]
    fn items_come_in_the_order_of_the_keys_behind_them_and_the_last_of_a_name_counts() {
        let mut listing = Listing::default();
        for (name, is_folder) in [("a0", false), ("a", true), ("a.b", false), ("a-b", false), ("a", false)] {
            listing.push(&item(name, is_folder, 1, 10));
        }
        listing.push(&item("a.b", false, 2, 20));
        listing.sort();
        let names: Vec<_> = (0..).map_while(|at| listing.get(at)).collect();
        let names: Vec<(&str, u64)> =
            names.iter().map(|found| (std::str::from_utf8(found.name).unwrap(), found.size)).collect();
        assert_eq!(names, [("a", 1), ("a-b", 1), ("a.b", 2), ("a/", 1), ("a0", 1)]);
        assert_eq!(listing.first_not(|name| name < b"a.".as_slice()), 2);
    }

    #[test]
    fn a_million_items_take_some_tens_of_megabytes() {
        let mut listing = Listing::default();
        (0..1_000_000).for_each(|n| listing.push(&item(&format!("photo-{n:012}.jpeg"), false, n, 1)));
        assert!(listing.memory() < MOST, "{} bytes", listing.memory());
        listing.sort();
        assert_eq!(listing.get(999_999).unwrap().size, 999_999);
    }

    #[test]
    fn a_large_folder_is_held_only_while_somebody_lists_it() {
        let folders = Folders::default();
        let listing = Arc::new(Listing::default());
        folders.hold(b"a/", &listing);
        assert!(folders.held(b"a/").is_some() && folders.held(b"b/").is_none());
        drop(listing);
        assert!(folders.held(b"a/").is_none());
    }
}
