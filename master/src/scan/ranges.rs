//! The table of key ranges: who lists which, how far, and where an idle lister takes over.
//!
//! The ranges always tile the key space. A lister reports each page under the table's lock and learns there
//! how much of it still lies in its range; so a range can be cut in two behind its position at any time.
//! When two neighbours have met at their border, both must have seen the same key first behind it: then
//! nothing of the service's sequence lies between them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::ObjectKey;
use proto::manifest::Entry;
use tokio::sync::Notify;

use super::keys::Alphabet;
use super::ledger::{RangeState, Seen};

/// A range with less than this many pages left is not cut.
const PAGES_LEFT: f64 = 2.0;
/// What is left is believed to be at most so many times what all listers have read so far.
const GROWTH: f64 = 8.0;
/// Borders wait to be checked again when a neighbour has gone on.
type Key = Option<ObjectKey>;

/// All ranges of a scan.
#[derive(Debug)]
pub(crate) struct Table {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// By lower bound; `None` is the first.
    slots: BTreeMap<Key, Slot>,
    next_range: u32,
    alphabet: Alphabet,
    /// Known prefixes, sorted: good borders.
    hints: Vec<ObjectKey>,
    /// Keys that were read by this run, and the most that came in one page.
    keys: u64,
    full: u64,
    splits: u64,
    /// Ranges are not cut: the source cannot start in the middle.
    whole: bool,
}

#[derive(Debug, Default)]
struct Slot {
    state: RangeState,
    work: Work,
    /// The first and the last key that were read by this run, and how many.
    read: Option<(ObjectKey, ObjectKey)>,
    keys: u64,
    /// The last key that was read, and one before it.
    position: Key,
    back: Key,
    /// There are more pages to come.
    open: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Work {
    #[default]
    Waiting,
    Running,
    Ended,
}

/// A range that a lister has taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The lower bound: the range's name.
    pub(crate) after: Key,
    /// What is in tasks already.
    pub(crate) at: Key,
    /// A key shortly before `at`.
    pub(crate) back: Key,
}

/// How much of a page lies in the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// So many entries from the front.
    pub(crate) within: usize,
    /// The range is at its end.
    pub(crate) over: bool,
}

/// Two neighbours that do not agree on what comes first behind their border.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Border {
    /// The key at which one ends and the other starts.
    pub(crate) key: ObjectKey,
    /// From where the lower one's listing comes.
    pub(crate) anchor: Key,
}

/// Where a range stands when a task is cut.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// The range.
    pub(crate) after: Key,
    /// Everything up to it is in tasks.
    pub(crate) at: Key,
    /// A key before `at`, where one is known.
    pub(crate) back: Key,
    /// All of the range is.
    pub(crate) done: bool,
}

// === impl Table ===

impl Table {
    /// As it was stored; a new scan has one range.
    pub(crate) fn new(ranges: Vec<RangeState>, next_range: u32) -> Self {
        let mut inner = Inner { next_range, ..Inner::default() };
        let fresh = ranges.is_empty().then(RangeState::default);
        inner.next_range = inner.next_range.max(1);
        for state in ranges.into_iter().chain(fresh) {
            let work = if state.done { Work::Ended } else { Work::Waiting };
            let slot = Slot { work, position: state.at.clone(), back: state.back.clone(), ..Slot::default() };
            inner.slots.insert(state.after.clone(), Slot { state, ..slot });
        }
        Table { inner: Mutex::new(inner), changed: Notify::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A range to list, as soon as there is one; none when all are listed.
    pub(crate) async fn claim(&self) -> Option<Claim> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut inner = self.inner();
                if let Some(claim) = inner.waiting().or_else(|| inner.split()) {
                    return Some(claim);
                }
                if inner.slots.values().all(|slot| slot.work == Work::Ended) {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// No range is cut any more: the source is read from the begin to get anywhere.
    pub(crate) fn keep_whole(&self) {
        self.inner().whole = true;
    }

    /// The range has more pages: it may be cut.
    pub(crate) fn opened(&self, after: &Key) {
        let mut inner = self.inner();
        if let Some(slot) = inner.slots.get_mut(after).filter(|slot| slot.read.is_some() && !slot.open) {
            slot.open = true;
            self.changed.notify_waiters();
        }
    }

    /// A page was read. It rises and is not empty; `fresh` when the listing began at the lower bound.
    pub(crate) fn page(&self, after: &Key, entries: &[Entry], fresh: bool) -> Cut {
        let mut inner = self.inner();
        let inner = &mut *inner;
        inner.full = inner.full.max(entries.len() as u64);
        let step = (entries.len() / 8).max(1);
        entries.iter().step_by(step).chain(entries.last()).for_each(|entry| inner.alphabet.learn(&entry.key));
        let Some(slot) = inner.slots.get_mut(after) else { return Cut { within: 0, over: true } };
        if fresh && slot.state.first == Seen::Unknown {
            slot.state.first = entries.first().map_or(Seen::Unknown, |entry| Seen::Key(entry.key.clone()));
        }
        let upto = slot.state.upto.as_ref();
        let within = upto.map_or(entries.len(), |upto| entries.partition_point(|entry| entry.key <= *upto));
        if let Some(entry) = entries.get(within) {
            slot.state.beyond = Seen::Key(entry.key.clone());
        }
        if let [first, .., last] | [first @ last] = &entries[..within] {
            slot.back = match &entries[..within] {
                [.., before, _] => Some(before.key.clone()),
                _ => slot.position.take(),
            };
            slot.open |= slot.read.is_some();
            slot.keys += within as u64;
            inner.keys += within as u64;
            let begin = slot.read.take().map_or_else(|| first.key.clone(), |(begin, _)| begin);
            slot.read = Some((begin, last.key.clone()));
            slot.position = Some(last.key.clone());
        }
        let over = within < entries.len();
        if over {
            slot.work = Work::Ended;
        }
        self.changed.notify_waiters();
        Cut { within, over }
    }

    /// The listing ended inside the range.
    pub(crate) fn end(&self, after: &Key, fresh: bool) {
        let mut inner = self.inner();
        if let Some(slot) = inner.slots.get_mut(after) {
            if fresh && slot.state.first == Seen::Unknown {
                slot.state.first = Seen::End;
            }
            slot.state.beyond = Seen::End;
            slot.work = Work::Ended;
        }
        self.changed.notify_waiters();
    }

    /// Joins neighbours that agree on their border; gives those that do not.
    pub(crate) fn borders(&self) -> Vec<Border> {
        self.inner().borders()
    }

    /// The border was looked at again, and it holds.
    pub(crate) fn join(&self, key: &ObjectKey) {
        if let Some(slot) = self.inner().slots.get_mut(&Some(key.clone())) {
            slot.state.joined = true;
        }
    }

    /// More good borders.
    pub(crate) fn hint(&self, prefixes: Vec<ObjectKey>) {
        let mut inner = self.inner();
        inner.hints.extend(prefixes);
        inner.hints.sort_unstable();
        inner.hints.dedup();
        self.changed.notify_waiters();
    }

    /// Waits until a range is known to be longer than a page; false when the scan ends before.
    pub(crate) async fn long(&self) -> bool {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let inner = self.inner();
                if inner.slots.values().any(|slot| slot.open && slot.work == Work::Running) {
                    return true;
                }
                if inner.slots.values().all(|slot| slot.work == Work::Ended) {
                    return false;
                }
            }
            changed.await;
        }
    }

    /// Tasks were cut up to here.
    pub(crate) fn mark(&self, mark: Mark) {
        let mut inner = self.inner();
        let Some(slot) = inner.slots.get_mut(&mark.after) else { return };
        if mark.at.is_some() {
            let before = std::mem::replace(&mut slot.state.at, mark.at);
            slot.state.back = mark.back.or(before);
        }
        slot.state.done |= mark.done;
    }

    /// For the store. Neighbours that are done and joined become one; nobody asks for them again.
    pub(crate) fn snapshot(&self) -> (Vec<RangeState>, u32) {
        let mut inner = self.inner();
        let mut slots: BTreeMap<Key, Slot> = BTreeMap::new();
        for (after, slot) in std::mem::take(&mut inner.slots) {
            match slots.last_entry() {
                Some(mut before) if before.get().state.done && slot.state.done && slot.state.joined => {
                    before.get_mut().absorb(slot);
                }
                _ => drop(slots.insert(after, slot)),
            }
        }
        inner.slots = slots;
        (inner.slots.values().map(|slot| slot.state.clone()).collect(), inner.next_range)
    }
}

// === impl Slot ===

impl Slot {
    /// The range behind it, which is done as well and whose border is checked.
    fn absorb(&mut self, next: Slot) {
        let (before, next_state) = (&mut self.state, next.state);
        before.upto = next_state.upto;
        before.beyond = next_state.beyond;
        if next_state.at.is_some() {
            // The key before the only one of a range is the last one of the range before.
            before.back = next_state.back.or_else(|| before.at.take());
            before.at = next_state.at;
        }
        if next.position.is_some() {
            self.back = next.back.or_else(|| self.position.take());
            self.position = next.position;
        }
    }
}

// === impl Inner ===

impl Inner {
    fn waiting(&mut self) -> Option<Claim> {
        let slot = self.slots.values_mut().find(|slot| slot.work == Work::Waiting)?;
        slot.work = Work::Running;
        let RangeState { after, at, back, .. } = slot.state.clone();
        Some(Claim { after, at, back })
    }

    /// The upper half of the range with most left, where there is enough of it. Every full page that was read
    /// allows one cut: so a scan never asks for more than about twice the pages that one lister would.
    fn split(&mut self) -> Option<Claim> {
        if self.whole || self.splits >= self.keys / self.full.max(1) {
            return None;
        }
        let mut best: Option<(f64, &Key)> = None;
        for (after, slot) in &self.slots {
            let left = self.left(slot);
            if left >= PAGES_LEFT && best.is_none_or(|(most, _)| left > most) {
                best = Some((left, after));
            }
        }
        let (left, after) = best.map(|(left, after)| (left, after.clone()))?;
        let border = self.slots.get(&after).and_then(|slot| self.border(slot, left));
        let slot = self.slots.get_mut(&after)?;
        let Some(border) = border else {
            // Nothing fits between its position and its end: until the next page.
            slot.open = false;
            return self.split();
        };
        let upto = slot.state.upto.replace(border.clone());
        let beyond = std::mem::take(&mut slot.state.beyond);
        let state = RangeState {
            id: self.next_range,
            after: Some(border.clone()),
            upto,
            beyond,
            ..RangeState::default()
        };
        self.next_range += 1;
        self.splits += 1;
        self.slots.insert(Some(border.clone()), Slot { state, work: Work::Running, ..Slot::default() });
        Some(Claim { after: Some(border), at: None, back: None })
    }

    /// About how many pages a range has left.
    fn left(&self, slot: &Slot) -> f64 {
        let Some((first, last)) = slot.read.as_ref().filter(|_| slot.work == Work::Running && slot.open)
        else {
            return 0.0;
        };
        let most = (self.pages(self.keys) * GROWTH).max(16.0);
        let counted = match &slot.state.upto {
            Some(upto) if last >= upto => return 0.0,
            Some(upto) => (self.alphabet.ratio(first, last, upto) * self.pages(slot.keys)).min(most),
            None => most,
        };
        counted.max(self.inside(slot).len() as f64)
    }

    fn pages(&self, keys: u64) -> f64 {
        keys as f64 / self.full.max(1) as f64
    }

    /// Known prefixes inside what a range has left.
    fn inside(&self, slot: &Slot) -> &[ObjectKey] {
        let Some(position) = &slot.position else { return &[] };
        let from = self.hints.partition_point(|hint| hint <= position);
        let upto = slot.state.upto.as_ref();
        let to = upto.map_or(self.hints.len(), |upto| self.hints.partition_point(|hint| hint < upto));
        self.hints.get(from..to).unwrap_or(&[])
    }

    fn border(&self, slot: &Slot, left: f64) -> Option<ObjectKey> {
        let hints = self.inside(slot);
        if let Some(hint) = hints.get(hints.len() / 2) {
            return Some(hint.clone());
        }
        let (first, last) = slot.read.as_ref()?;
        let end = slot.state.upto.clone().or_else(|| self.alphabet.far().filter(|far| far > last));
        let near = self.alphabet.beyond(first, last, left / 2.0 / self.pages(slot.keys));
        let near = near.filter(|near| end.as_ref().is_none_or(|end| near < end));
        near.or_else(|| self.alphabet.middle(last, end.as_ref()?))
    }

    fn borders(&mut self) -> Vec<Border> {
        let mut open = Vec::new();
        let mut joined = Vec::new();
        let mut before: Option<&Slot> = None;
        for (after, slot) in &self.slots {
            let pair = before.replace(slot).zip(after.as_ref()).filter(|_| !slot.state.joined);
            let Some((before, key)) = pair else { continue };
            let (left, right) = (&before.state.beyond, &slot.state.first);
            if *left == Seen::Unknown || *right == Seen::Unknown || before.work != Work::Ended {
                continue;
            }
            if left == right {
                joined.push(key.clone());
            } else {
                let anchor = before.back.clone().or_else(|| before.state.after.clone());
                open.push(Border { key: key.clone(), anchor });
            }
        }
        for key in joined {
            if let Some(slot) = self.slots.range_mut((Bound::Included(Some(key)), Bound::Unbounded)).next() {
                slot.1.state.joined = true;
            }
        }
        open
    }
}
