//! The listing of all folders in the order of an object store, resumable after any key: only the folders on the way
//! to the current one are held. What is outside of the wanted range is not asked for.

use std::sync::Arc;

use futures::{StreamExt, stream};
use proto::manifest::Entry;

use super::folder::{Listing, Loaded};
use super::{Client, names};
use crate::error::{Error, Result};
use crate::source::{ListRequest, Page, Pages};
use crate::span::Span;

/// After so many folders what was found goes out, although the page is not full: it is remembered how far it came.
const FOLDERS: u32 = 16;

/// A listing under way.
#[derive(Debug)]
struct Walker {
    client: Arc<Client>,
    range: Span,
    page_size: usize,
    begun: bool,
    /// The folders from the first one to the current one.
    frames: Vec<Frame>,
    /// The path of the current folder; empty, or ends in `/`.
    path: Vec<u8>,
    page: Page,
    /// Folders read since the last page.
    folders: u32,
    /// What comes after the page that is on its way.
    failed: Option<Error>,
}

#[derive(Debug)]
struct Frame {
    listing: Arc<Listing>,
    /// The place of the next item.
    next: usize,
    /// Of a folder too large to hold: where it goes on.
    more: Option<String>,
    path_len: usize,
}

/// The pages of a listing.
pub(super) fn pages(client: Arc<Client>, request: &ListRequest) -> Pages {
    let walker = Walker::new(client, request);
    stream::unfold(Some(walker), |walker| async move {
        let mut walker = walker?;
        match walker.next_page().await {
            Ok(page) => page.map(|page| (Ok(page), Some(walker))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

impl Walker {
    fn new(client: Arc<Client>, request: &ListRequest) -> Self {
        Walker {
            range: Span::new(client.endpoint.prefix.as_bytes(), request),
            page_size: client.page_size() as usize,
            client,
            begun: false,
            frames: Vec::new(),
            path: Vec::new(),
            page: Page::default(),
            folders: 0,
            failed: None,
        }
    }

    /// The next page; none after the last one.
    async fn next_page(&mut self) -> Result<Option<Page>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        loop {
            let found = self.page.entries.len() + self.page.prefixes.len();
            if found >= self.page_size || (found > 0 && self.folders >= FOLDERS) {
                break;
            }
            match self.step().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if found == 0 => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        self.folders = 0;
        let page = std::mem::take(&mut self.page);
        Ok((!page.entries.is_empty() || !page.prefixes.is_empty()).then_some(page))
    }

    /// One item further; false when there is nothing left.
    async fn step(&mut self) -> Result<bool> {
        if !self.begun {
            self.begun = true;
            self.begin().await?;
            return Ok(true);
        }
        let Some(frame) = self.frames.last_mut() else { return Ok(false) };
        self.path.truncate(frame.path_len);
        let Some(found) = frame.listing.get(frame.next) else {
            match frame.more.take() {
                Some(more) => self.go_on(more).await?,
                None => drop(self.frames.pop()),
            }
            return Ok(true);
        };
        frame.next += 1;
        self.path.extend_from_slice(found.name);
        let (size, modified_ms) = (found.size, found.modified_ms);
        if !self.path.ends_with(b"/") {
            if self.range.wants_file(&self.path) {
                self.list(size, modified_ms);
            }
        } else if self.range.wants_directory(&self.path) {
            if self.range.folded {
                self.page.prefixes.push(self.range.key(&self.path));
            } else {
                self.enter(modified_ms).await?;
            }
        }
        Ok(true)
    }

    /// The deepest folder that holds all keys under the wanted prefix. Where there is none, there are no keys.
    async fn begin(&mut self) -> Result<()> {
        let depth = self.range.under.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let start = self.range.under[..depth].to_vec();
        let is_path = start.is_empty() || names::check(&start, false).is_ok();
        if !is_path || !self.range.reaches(&start) {
            return Ok(());
        }
        self.path = start;
        self.enter(None).await
    }

    fn list(&mut self, size: u64, modified_ms: Option<i64>) {
        let key = self.range.key(&self.path);
        self.page.entries.push(Entry { key, size, modified_ms, ..Entry::default() });
    }

    /// Reads the folder at the current path: it becomes the current one, or a marker when it is empty.
    async fn enter(&mut self, modified_ms: Option<i64>) -> Result<()> {
        self.folders += 1;
        let held: usize = self.frames.iter().map(|frame| frame.listing.memory()).sum();
        let loaded = self.client.folder(&self.path, self.client.held_most.saturating_sub(held)).await?;
        // It went away since its name was read.
        let Some(Loaded { listing, more }) = loaded else { return Ok(()) };
        let is_empty = listing.is_empty() && more.is_none();
        if is_empty && self.path.len() > self.range.prefix_len && self.range.wants_file(&self.path) {
            self.list(0, modified_ms);
        }
        self.push(listing, more);
        Ok(())
    }

    fn push(&mut self, listing: Arc<Listing>, more: Option<String>) {
        let mut key = self.path.clone();
        let path_len = key.len();
        let next = listing.first_not(|name| {
            key.truncate(path_len);
            key.extend_from_slice(name);
            self.range.is_behind(&key)
        });
        self.frames.push(Frame { listing, next, more, path_len });
    }

    /// The next page of a folder too large to hold takes the place of what was read of it. After a failure the walk
    /// is over, as every listing is.
    async fn go_on(&mut self, from: String) -> Result<()> {
        self.folders += 1;
        let page = self.client.list_page(&self.path, Some(&from), self.client.page_size()).await?;
        self.frames.pop();
        let page = page.unwrap_or_default();
        let mut listing = Listing::default();
        page.items.iter().for_each(|item| listing.push(item));
        listing.sort();
        self.push(Arc::new(listing), page.next);
        Ok(())
    }
}
