//! Listers: each takes a range, lists it, hands its pages to the committer, and takes the next.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::poll_immediate;
use proto::ObjectKey;
use proto::manifest::Entry;
use storage::ListRequest;
use tokio::sync::mpsc;

use super::context::{Context, Halt};
use super::merge::Join;
use super::ranges::{Border, Claim, Mark, Table};
use super::walk::{Start, Walk, agree};

/// Requests that the search for prefixes may cost.
const DISCOVERY: u32 = 64;

/// What a lister found: at most one page.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    /// What belongs to the round.
    pub(crate) entries: Vec<Entry>,
    /// Where its range stands after it; none outside of ranges.
    pub(crate) mark: Option<Mark>,
    /// Left out: no objects.
    pub(crate) special: u64,
    /// Lines of the key list up to here.
    pub(crate) lines: u64,
    /// It begins a task: its objects are elsewhere than those before.
    pub(crate) apart: bool,
}

/// One of the listers of a scan. Dropping its future leaves nothing behind.
#[derive(Debug, Clone)]
pub(crate) struct Lister {
    pub(crate) context: Arc<Context>,
    pub(crate) table: Arc<Table>,
    pub(crate) out: mpsc::Sender<Segment>,
}

// === impl Lister ===

impl Lister {
    /// Until every range is listed.
    pub(crate) async fn work(self) -> Result<(), Halt> {
        self.settle().await?;
        while let Some(claim) = self.table.claim().await {
            self.range(claim).await?;
            self.settle().await?;
        }
        Ok(())
    }

    async fn range(&self, claim: Claim) -> Result<(), Halt> {
        let Claim { after, at, back } = claim;
        let fresh = at.is_none();
        let start = match &at {
            Some(_) => Start { after: back.or_else(|| after.clone()), meet: at.clone() },
            None => Start { after: after.clone(), meet: None },
        };
        let progress = Some(self.context.progress.clone());
        let mut walk = Walk::new(self.context.source.clone(), self.context.patience(), progress, start);
        let mut join = Join::new(&self.context, at.or_else(|| after.clone()));
        loop {
            let next = {
                let mut next = pin!(walk.next());
                match poll_immediate(next.as_mut()).await {
                    Some(next) => next,
                    None => {
                        self.may_be_cut();
                        // Another request is under way: there is more, and somebody may help.
                        self.table.opened(&after);
                        next.await
                    }
                }
            };
            let special = walk.take_special();
            self.may_be_cut();
            let Some(mut entries) = next? else {
                self.table.end(&after, fresh);
                let mark = Mark { after, at: None, back: None, done: true };
                self.send(Segment { special, mark: Some(mark), ..Segment::default() }).await?;
                break;
            };
            let cut = self.table.page(&after, &entries, fresh);
            entries.truncate(cut.within);
            let mut mark = Mark { after: after.clone(), at: None, back: None, done: cut.over };
            if let [head @ .., last] = &entries[..] {
                mark.at = Some(last.key.clone());
                mark.back = head.last().map(|entry| entry.key.clone());
            }
            entries.retain(|entry| self.context.filter.keeps(entry));
            if let Some(join) = &mut join {
                join.fill(&self.context, &mut entries).await;
            }
            self.send(Segment { entries, mark: Some(mark), special, ..Segment::default() }).await?;
            if cut.over {
                break;
            }
        }
        warn_doubles(&self.context, walk.duplicates());
        Ok(())
    }

    /// What is only known when pages have come.
    fn may_be_cut(&self) {
        if !self.context.source.starts_anywhere() {
            self.table.keep_whole();
        }
    }

    async fn send(&self, segment: Segment) -> Result<(), Halt> {
        let bytes = segment.entries.iter().map(|entry| entry.size).fold(0, u64::saturating_add);
        self.context.progress.add(segment.entries.len() as u64, bytes);
        self.out.send(segment).await.map_err(|_| Halt::Stopped)
    }

    /// Looks again at borders on which neighbours do not agree: the source may be written to meanwhile.
    async fn settle(&self) -> Result<(), Halt> {
        for Border { key, anchor } in self.table.borders() {
            agree(&self.context.source, &self.context.patience(), anchor, &key).await?;
            self.table.join(&key);
        }
        Ok(())
    }

    /// Looks for common prefixes: good borders. It may fail; borders are found without it as well.
    pub(crate) async fn discover(self, depth: u32) -> Result<(), Halt> {
        if depth == 0 || !self.table.long().await || !self.context.source.starts_anywhere() {
            return Ok(());
        }
        let mut left = DISCOVERY;
        let mut level = VecDeque::from([(ObjectKey::default(), depth)]);
        while let Some((under, depth)) = level.pop_front().filter(|_| left > 0) {
            let prefixes = self.prefixes(under, &mut left).await;
            // A directory that holds nothing but one other is no step.
            let depth = if prefixes.len() == 1 { depth } else { depth - 1 };
            if depth > 0 {
                level.extend(prefixes.iter().cloned().map(|prefix| (prefix, depth)));
                level.truncate(DISCOVERY as usize);
            }
            self.table.hint(prefixes);
        }
        Ok(())
    }

    /// The prefixes right below `under`, as far as `left` requests go.
    async fn prefixes(&self, under: ObjectKey, left: &mut u32) -> Vec<ObjectKey> {
        let request = ListRequest { under, folded: true, ..ListRequest::default() };
        let mut pages = self.context.source.list(request);
        let mut prefixes = Vec::new();
        while *left > 0 {
            *left -= 1;
            let Some(Ok(page)) = pages.next().await else { break };
            self.context.progress.add_page();
            // A flat directory: borders are found better by what its listers see.
            if page.prefixes.is_empty() {
                break;
            }
            prefixes.extend(page.prefixes);
        }
        prefixes
    }
}

/// Says so once when a listing repeated keys.
pub(crate) fn warn_doubles(context: &Context, doubles: u64) {
    if doubles > 0 {
        context.warnings.add("the source listed keys twice; each was taken once".into());
    }
}
