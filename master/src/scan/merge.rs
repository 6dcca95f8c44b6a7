//! Merge-join with the destination's listing: two streams instead of one question an object.

use std::sync::Arc;
use std::vec::IntoIter;

use proto::ObjectKey;
use proto::manifest::{Entry, Existing};
use storage::Source;

use super::context::{Context, Halt};
use super::walk::{Start, Walk};

/// The destination's listing beside one of the source.
pub(crate) struct Join {
    walk: Walk,
    page: IntoIter<Entry>,
    state: State,
    trust_absent: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Listing,
    Over,
    /// It failed or is out of order: nothing is known any more.
    Lost,
}

// === impl Join ===

impl Join {
    /// From what is after `after` on; none when the destination is not listed.
    pub(crate) fn new(context: &Context, after: Option<ObjectKey>) -> Option<Self> {
        context.existing.clone().map(|listing| Join::over(listing, context, after))
    }

    /// Of this listing.
    pub(crate) fn over(listing: Arc<dyn Source>, context: &Context, after: Option<ObjectKey>) -> Self {
        let walk = Walk::new(listing, context.patience(), None, Start { after, meet: None });
        let trust_absent = context.trust_absent;
        Join { walk, page: Vec::new().into_iter(), state: State::Listing, trust_absent }
    }

    /// What the destination has of these entries, whose keys there rise from call to call.
    pub(crate) async fn fill(&mut self, context: &Context, entries: &mut [Entry]) {
        for entry in entries {
            let existing = self.find(context, entry.target()).await;
            entry.existing = existing;
        }
    }

    async fn find(&mut self, context: &Context, key: &ObjectKey) -> Existing {
        while self.state == State::Listing {
            match self.page.as_slice().first() {
                Some(there) if there.key < *key => {
                    let behind = self.page.as_slice().partition_point(|there| there.key < *key);
                    self.page.nth(behind - 1);
                }
                Some(there) if there.key > *key => break,
                Some(_) => {
                    let Some(Entry { size, modified_ms, etag, .. }) = self.page.next() else { continue };
                    return Existing::Present { size, modified_ms, etag };
                }
                None => self.page(context).await,
            }
        }
        let absent = self.state != State::Lost && self.trust_absent;
        if absent { Existing::Absent } else { Existing::Unknown }
    }

    async fn page(&mut self, context: &Context) {
        match self.walk.next().await {
            Ok(Some(entries)) => self.page = entries.into_iter(),
            Ok(None) => self.state = State::Over,
            Err(halt) => {
                self.state = State::Lost;
                let why = match halt {
                    Halt::Disorder(how) => format!("its order is wrong: {how}"),
                    Halt::Failed(error) => error.to_string(),
                    Halt::Stopped => return,
                };
                context.warnings.add(format!("the destination's listing is not used further: {why}"));
            }
        }
    }
}
