//! One listing in key order, through failures: after an error it goes on with a new stream.
//!
//! A new stream starts a little before the last key and must meet it. So it is known that the service goes
//! on from the same place of the same sequence, and that nothing between was skipped.

use std::sync::Arc;

use futures::StreamExt;
use proto::ObjectKey;
use proto::manifest::Entry;
use storage::{Error, ErrorKind, ListRequest, Op, Pages, Source};

use super::context::{Halt, Patience};
use super::ledger::Progress;
use super::order::Order;

/// A service that gives so many truncated pages without a key stands still.
const EMPTY_PAGES: u32 = 10_000;

/// How often a gap is looked at again before it counts: the source may be written to meanwhile.
const LOOKS: u32 = 8;

/// Where a listing begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Start {
    /// The listing is asked for what is after it.
    pub(crate) after: Option<ObjectKey>,
    /// A key that it must meet; what comes up to it has been seen before.
    pub(crate) meet: Option<ObjectKey>,
}

/// A listing under way.
pub(crate) struct Walk {
    source: Arc<dyn Source>,
    patience: Patience,
    progress: Option<Arc<Progress>>,
    start: Start,
    /// The last key given and one before it.
    last: Option<ObjectKey>,
    back: Option<ObjectKey>,
    pages: Option<Pages>,
    order: Order,
    special: u64,
    duplicates: u64,
    empty: u32,
}

// === impl Walk ===

impl Walk {
    /// Pages are counted in `progress` where there is one.
    pub(crate) fn new(
        source: Arc<dyn Source>,
        patience: Patience,
        progress: Option<Arc<Progress>>,
        start: Start,
    ) -> Self {
        Walk {
            source,
            patience,
            progress,
            last: start.meet.clone(),
            back: None,
            start,
            pages: None,
            order: Order::default(),
            special: 0,
            duplicates: 0,
            empty: 0,
        }
    }

    /// The next entries, never none of them; `None` at the end. Each key is larger than all before.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Entry>>, Halt> {
        loop {
            let Some(pages) = &mut self.pages else {
                self.open();
                continue;
            };
            match pages.next().await {
                None => {
                    self.meet(None).await?;
                    return Ok(None);
                }
                Some(Err(error)) => {
                    self.pages = None;
                    self.patience.wait(error).await?;
                }
                Some(Ok(page)) => {
                    if let Some(progress) = &self.progress {
                        progress.add_page();
                    }
                    self.special += page.special;
                    let entries = self.admit(page.entries).await?;
                    if !entries.is_empty() {
                        return Ok(Some(entries));
                    }
                }
            }
        }
    }

    /// Things that are no objects, since the last call.
    pub(crate) fn take_special(&mut self) -> u64 {
        std::mem::take(&mut self.special)
    }

    /// Keys that came twice.
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// A new stream from a little before the last key.
    fn open(&mut self) {
        if self.last.is_some() && self.last != self.start.meet {
            // Keys of this run: start before the last of them.
            let after =
                self.back.take().or_else(|| self.start.meet.take()).or_else(|| self.start.after.clone());
            self.start = Start { after, meet: self.last.clone() };
        }
        self.order = Order::after(self.start.after.clone());
        let request = ListRequest { after: self.start.after.clone(), ..ListRequest::default() };
        self.pages = Some(self.source.list(request));
    }

    async fn admit(&mut self, mut entries: Vec<Entry>) -> Result<Vec<Entry>, Halt> {
        let before = self.order.duplicates();
        let repeated = entries.first().map(|entry| &entry.key) == self.start.after.as_ref();
        self.order.admit(&mut entries).map_err(|error| Halt::Disorder(error.to_string()))?;
        self.duplicates += (self.order.duplicates() - before).saturating_sub(u64::from(repeated));
        if let Some(meet) = &self.start.meet {
            let known = entries.partition_point(|entry| entry.key <= *meet);
            if known > 0 && entries[known - 1].key == *meet {
                self.start.meet = None;
            }
            entries.drain(..known);
        }
        let Some(first) = entries.first() else {
            self.empty += 1;
            return if self.empty < EMPTY_PAGES { Ok(entries) } else { Err(stands_still().into()) };
        };
        let first = first.key.clone();
        self.meet(Some(first)).await?;
        self.empty = 0;
        self.patience.reset();
        if let [.., before, _] = &entries[..] {
            self.back = Some(before.key.clone());
        } else {
            self.back = self.last.take();
        }
        self.last = entries.last().map(|entry| entry.key.clone());
        Ok(entries)
    }

    /// The stream is at `next`, behind the key that it had to meet. If that one is gone meanwhile, a
    /// listing from it must give the same `next`.
    async fn meet(&mut self, next: Option<ObjectKey>) -> Result<(), Halt> {
        let Some(gone) = self.start.meet.take() else { return Ok(()) };
        let Some(after) = self.start.after.clone() else {
            // From the very beginning nothing can be skipped.
            return Ok(());
        };
        let direct = first_beyond(&self.source, &mut self.patience, Some(gone.clone()), &gone).await?;
        if direct == next {
            return Ok(());
        }
        agree(&self.source, &self.patience, Some(after), &gone).await
    }
}

/// Do a listing that starts after `below` and one that starts after `border` give the same key first beyond
/// `border`? Only answers of one moment are compared, and more than once.
pub(crate) async fn agree(
    source: &Arc<dyn Source>,
    patience: &Patience,
    below: Option<ObjectKey>,
    border: &ObjectKey,
) -> Result<(), Halt> {
    for _ in 0..LOOKS {
        let (mut one, mut other) = (patience.anew(), patience.anew());
        let (through, direct) = tokio::join!(
            first_beyond(source, &mut one, below.clone(), border),
            first_beyond(source, &mut other, Some(border.clone()), border),
        );
        if through? == direct? {
            return Ok(());
        }
    }
    Err(Halt::Disorder(format!(
        "a listing that starts after {border} does not go on where one before it does"
    )))
}

/// The first key beyond `border` of a listing that starts after `after`; `None` when there is none.
async fn first_beyond(
    source: &Arc<dyn Source>,
    patience: &mut Patience,
    after: Option<ObjectKey>,
    border: &ObjectKey,
) -> Result<Option<ObjectKey>, Halt> {
    'anew: loop {
        let request = ListRequest { after: after.clone(), ..ListRequest::default() };
        let mut pages = source.list(request);
        let mut order = Order::after(after.clone());
        let mut empty = 0;
        while let Some(page) = pages.next().await {
            let mut entries = match page {
                Ok(page) => page.entries,
                Err(error) => {
                    patience.wait(error).await?;
                    continue 'anew;
                }
            };
            order.admit(&mut entries).map_err(|error| Halt::Disorder(error.to_string()))?;
            if let Some(entry) = entries.into_iter().find(|entry| entry.key > *border) {
                return Ok(Some(entry.key));
            }
            empty += 1;
            if empty > EMPTY_PAGES {
                return Err(stands_still().into());
            }
        }
        return Ok(None);
    }
}

/// The error of a listing that never moves.
pub(crate) fn stands_still() -> Error {
    Error::new(
        ErrorKind::Protocol,
        Op::List,
        "the service gives page after page without anything new: its listing stands still",
    )
}
