//! Listing. Pages go on by an opaque mark; only services of version 2026-02-06 and later can start at a name
//! (`startFrom`). At the others what comes before is read and left out, from the nearest page whose mark is known.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use http::Method;
use proto::ObjectKey;
use proto::manifest::Entry;

use super::xml::{self, Item, Listing};
use super::{Client, headers};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::meter::RequestKind;
use crate::s3::{Call, bare_etag, http_time};
use crate::source::{ListRequest, Page, Pages};

/// The first version with `startFrom` (change log of Microsoft's libraries, 2026-01).
const START_VERSION: &str = "2026-02-06";
/// Marks that are kept at most: one a page of a long listing, thinned out.
const MARKS: usize = 4096;
/// Bytes of an object; sums of sizes stay numbers.
const LARGEST: u64 = 1 << 53;

/// Nobody asked whether a listing can start at a name.
const UNKNOWN: u8 = 0;
const ANYWHERE: u8 = 1;
const AT_THE_BEGIN: u8 = 2;

/// Where listings can start.
#[derive(Debug, Default)]
pub(super) struct Starts {
    known: AtomicU8,
    /// What follows a name: of listings of everything, where nothing can be started at a name.
    marks: Mutex<BTreeMap<Vec<u8>, String>>,
}

impl Starts {
    /// Until the first page has come, nobody knows better.
    pub(super) fn anywhere(&self) -> bool {
        self.known.load(Ordering::Relaxed) != AT_THE_BEGIN
    }

    fn learn(&self, anywhere: bool) {
        self.known.store(if anywhere { ANYWHERE } else { AT_THE_BEGIN }, Ordering::Relaxed);
    }

    fn marks(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, String>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, last: Vec<u8>, mark: String) {
        let mut marks = self.marks();
        if marks.len() >= MARKS {
            let mut odd = false;
            marks.retain(|_, _| {
                odd = !odd;
                odd
            });
        }
        marks.insert(last, mark);
    }

    /// The nearest one that leaves out nothing after this name, and the name that it is behind.
    fn before(&self, name: &[u8]) -> Option<(Vec<u8>, String)> {
        let marks = self.marks();
        let nearest = marks.range::<[u8], _>((Bound::Unbounded, Bound::Included(name))).next_back();
        nearest.map(|(last, mark)| (last.clone(), mark.clone()))
    }
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Begin,
    Mark(String),
}

struct State {
    client: Arc<Client>,
    request: ListRequest,
    /// `None` at the end.
    at: Option<At>,
    /// The name that the listing starts at, by the service. It goes with every mark.
    from: Option<String>,
    skip: Skip,
}

/// What comes before the start of a listing and is left out. What the service lists out of order is not: whoever
/// listens has to see that.
#[derive(Debug, Default)]
enum Skip {
    #[default]
    Nothing,
    /// The very key, which the service includes.
    Only(ObjectKey),
    /// Everything up to it, as long as keys rise from the last one.
    UpTo(ObjectKey, ObjectKey),
}

impl Skip {
    fn leaves_out(&mut self, key: &ObjectKey) -> bool {
        match self {
            Skip::Nothing => false,
            Skip::Only(start) => key == start,
            Skip::UpTo(start, last) => {
                let out = *key <= *start && *key >= *last;
                if out {
                    *last = key.clone();
                } else {
                    *self = Skip::Nothing;
                }
                out
            }
        }
    }
}

/// Is the container there, and may it be listed?
pub(super) async fn look(client: &Arc<Client>) -> Result<()> {
    let call = client.list_call(&ListRequest::default(), &At::Begin, None, 1)?;
    client.listing(&call).await.map(|_| ())
}

/// The pages of a listing.
pub(super) fn pages(client: Arc<Client>, request: ListRequest) -> Pages {
    let state = State { client, request, at: Some(At::Begin), from: None, skip: Skip::Nothing };
    futures::stream::unfold((state, true), |(mut state, first)| async move {
        let at = state.at.take()?;
        match state.next(at, first).await {
            Ok(page) => Some((Ok(page), (state, false))),
            Err(error) => {
                state.at = None;
                Some((Err(error), (state, false)))
            }
        }
    })
    .boxed()
}

impl State {
    /// The next page that holds anything, or the last one.
    async fn next(&mut self, at: At, first: bool) -> Result<Page> {
        let (mut at, mut answer) = match (&self.request.after, first) {
            (Some(after), true) => self.start(&after.clone()).await?,
            _ => {
                let listing = self.page(&at).await?;
                (at, listing)
            }
        };
        loop {
            let next = Some(std::mem::take(&mut answer.next)).filter(|mark| !mark.is_empty()).map(At::Mark);
            if next.as_ref() == Some(&at) {
                let text = "the listing stands still: the service gives the same mark again";
                return Err(Error::new(ErrorKind::Protocol, Op::List, text));
            }
            self.learn(&answer, next.as_ref()).await;
            let page = self.read(&answer)?;
            let skipped = self.request.after.is_some() && page == Page::default();
            match next {
                // What is left out is no page without anything new.
                Some(next) if skipped => {
                    answer = self.page(&next).await?;
                    at = next;
                }
                next => {
                    self.at = next.filter(|_| !reached(&page, self.request.until.as_ref()));
                    return Ok(page);
                }
            }
        }
    }

    async fn page(&self, at: &At) -> Result<Listing> {
        let most = self.client.endpoint.list_page.clamp(1, 5000);
        let call = self.client.list_call(&self.request, at, self.from.as_deref(), most)?;
        self.client.listing(&call).await
    }

    /// The first page of a listing that starts after a key.
    async fn start(&mut self, after: &ObjectKey) -> Result<(At, Listing)> {
        let client = self.client.clone();
        let starts = &client.starts;
        let name = client.full_name(after)?;
        if starts.anywhere() {
            self.from = Some(name.clone());
            self.skip = Skip::Only(after.clone());
            match self.page(&At::Begin).await {
                Ok(listing) if listing.items.first().is_none_or(|item| item.name >= name) => {
                    return Ok((At::Begin, listing));
                }
                // It was passed over.
                Ok(_) => starts.learn(false),
                Err(error) if is_unknown(&error) => starts.learn(false),
                Err(error) => return Err(error),
            }
        }
        self.from = None;
        let mark = if self.is_everything() { starts.before(name.as_bytes()) } else { None };
        let (last, at) = mark.map_or((Vec::new(), At::Begin), |(last, mark)| (last, At::Mark(mark)));
        let last = last.strip_prefix(client.endpoint.prefix.as_bytes()).unwrap_or_default().to_vec();
        self.skip = Skip::UpTo(after.clone(), ObjectKey::new(last));
        let listing = self.page(&at).await?;
        Ok((at, listing))
    }

    /// Marks belong to the parameters of their listing.
    fn is_everything(&self) -> bool {
        self.request.under.as_bytes().is_empty() && !self.request.folded
    }

    /// What a page with more behind it tells of where listings can start.
    async fn learn(&self, listing: &Listing, next: Option<&At>) {
        let starts = &self.client.starts;
        let Some(At::Mark(mark)) = next.filter(|_| self.is_everything()) else { return };
        let [first, .., last] = &listing.items[..] else { return };
        if starts.known.load(Ordering::Relaxed) == UNKNOWN && first.name < last.name {
            // One question a listing of more than a page: does it start there?
            match self.client.starts_at(&last.name).await {
                Ok(anywhere) => starts.learn(anywhere),
                Err(error) => tracing::debug!(%error, "cannot see whether listings can start at a name"),
            }
        }
        if !starts.anywhere() {
            starts.keep(last.name.clone().into_bytes(), mark.clone());
        }
    }

    /// Without what comes before the start.
    fn read(&mut self, listing: &Listing) -> Result<Page> {
        let mut page = self.client.read_page(listing)?;
        page.entries.retain(|entry| !self.skip.leaves_out(&entry.key));
        if let Some(after) = &self.request.after {
            page.prefixes.retain(|prefix| prefix > after);
        }
        Ok(page)
    }
}

/// Everything that was asked for has come.
fn reached(page: &Page, until: Option<&ObjectKey>) -> bool {
    let last = page.entries.last().map(|entry| &entry.key).max(page.prefixes.last());
    matches!((until, last), (Some(until), Some(last)) if last >= until)
}

/// A version or parameter that the service does not know.
fn is_unknown(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Refused | ErrorKind::Unsupported)
}

impl Client {
    async fn listing(&self, call: &Call<'_>) -> Result<Listing> {
        let (_, body) = self.send_for_body(call).await?;
        xml::listing(&body).map_err(|why| call.error(ErrorKind::Protocol, call.hidden.out_of(why)))
    }

    /// The name on the wire: below the endpoint's prefix.
    fn full_name(&self, key: &ObjectKey) -> Result<String> {
        let bytes = [self.endpoint.prefix.as_bytes(), key.as_bytes()].concat();
        let why = "a key to list from is not UTF-8";
        String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidName, Op::List, why))
    }

    fn list_call(
        &self,
        request: &ListRequest,
        at: &At,
        from: Option<&str>,
        most: u32,
    ) -> Result<Call<'static>> {
        let mut call = Call::new(Op::List, RequestKind::List, Method::GET, None).query("comp", "list");
        if request.folded {
            call = call.query("delimiter", "/");
        }
        // Only metadata tells directories of a hierarchical namespace from empty blobs.
        call = call.query("include", "metadata");
        if let At::Mark(mark) = at {
            call = call.query("marker", mark.clone());
        }
        call = call.query("maxresults", most.to_string());
        let prefix = self.full_name(&request.under)?;
        if !prefix.is_empty() {
            call = call.query("prefix", prefix);
        }
        call = call.query("restype", "container");
        if let Some(name) = from {
            call = call.query("startFrom", name).header("x-ms-version", START_VERSION);
        }
        Ok(call)
    }

    /// Does a listing that is to start at this name, which is not the first one, start there?
    async fn starts_at(&self, name: &str) -> Result<bool> {
        let call = self.list_call(&ListRequest::default(), &At::Begin, Some(name), 2)?;
        match self.listing(&call).await {
            Ok(listing) => Ok(listing.items.first().is_some_and(|item| item.name.as_str() >= name)),
            Err(error) if is_unknown(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read_page(&self, listing: &Listing) -> Result<Page> {
        let mut page = Page::default();
        for item in &listing.items {
            let prefix = &self.endpoint.prefix;
            let wrong = |why: &str| {
                let text = format!("the listing has {:?}, which {why}", ObjectKey::from(item.name.as_str()));
                Error::new(ErrorKind::Protocol, Op::List, text)
            };
            let key = item.name.strip_prefix(prefix).ok_or_else(|| wrong("is not below the prefix"))?;
            if item.folded {
                page.prefixes.push(key.into());
            } else if item.past {
                // An older version.
                page.special += 1;
            } else {
                let size = item.size.filter(|size| *size <= LARGEST);
                let size = size.ok_or_else(|| wrong("has no size, or one that cannot be"))?;
                if size == 0 && key.is_empty() && prefix.ends_with('/') {
                    // The marker of the prefix itself: below the prefix it has no name.
                    page.special += 1;
                    continue;
                }
                page.entries.push(entry(item, key, size));
            }
        }
        Ok(page)
    }
}

fn entry(item: &Item, key: &str, size: u64) -> Entry {
    // A directory is a marker, as other stores have them.
    let marker = item.directory && size == 0 && !key.ends_with('/');
    let key = if marker { format!("{key}/") } else { key.to_owned() };
    Entry {
        key: key.as_str().into(),
        size,
        modified_ms: http_time(&item.modified).map(|time| time.as_millisecond()),
        etag: Some(bare_etag(&item.etag)).filter(|etag| !etag.is_empty()).map(str::to_owned),
        class: headers::class(&item.tier),
        ..Entry::default()
    }
}
