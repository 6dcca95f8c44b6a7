//! Listing: V2, or V1 where a server lacks it; keys decoded, below the prefix, in the order of the service.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::StreamExt;
use http::Method;
use proto::ObjectKey;
use proto::manifest::Entry;

use super::request::Call;
use super::{Client, headers, xml};
use crate::dialect::{Dialect, Encoding};
use crate::error::{Error, ErrorKind, Op, Result};
use crate::meter::RequestKind;
use crate::source::{ListRequest, Page, Pages};

/// The service was seen to encode keys (`Client::encoding`).
const HONEST: u8 = 1;
/// The service was seen to send keys as they are, whatever it says.
const PLAIN: u8 = 2;

/// Bytes of an object; sums of sizes stay numbers.
const LARGEST: u64 = 1 << 53;
/// Bytes of a key. Services have 1,024 or fewer; a task of 50,000 such keys still fits into memory.
const LONGEST_KEY: usize = 4096;

/// What needs not be found out: these services do as they say.
pub(super) fn known_encoding(dialect: &Dialect, host: &str) -> u8 {
    match dialect.listing.encoding {
        Encoding::Honest => HONEST,
        Encoding::Without => PLAIN,
        Encoding::Unsure if host.contains(".amazonaws.com") => HONEST,
        Encoding::Unsure => 0,
    }
}

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// The service's own mark.
    Token(String),
    /// After this key (with the endpoint's prefix).
    After(Vec<u8>),
}

struct State {
    client: Arc<Client>,
    request: ListRequest,
    next: Option<Next>,
    first: bool,
}

/// The pages of a listing.
pub(super) fn pages(client: Arc<Client>, request: ListRequest) -> Pages {
    let state = State { client, request, next: None, first: true };
    futures::stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        if !state.first && state.next.is_none() {
            return None;
        }
        let most = state.client.endpoint.list_page.clamp(1, 1000);
        let page =
            state.client.page(&state.request, state.request.after.as_ref(), state.next.as_ref(), most).await;
        match page {
            Ok((page, next)) => {
                if next.is_some() && next == state.next {
                    let text = "the listing stands still: the service gives the same continuation again";
                    return Some((Err(Error::new(ErrorKind::Protocol, Op::List, text)), None));
                }
                let reached = reached(&page, state.request.until.as_ref());
                state.next = next.filter(|_| !reached);
                state.first = false;
                Some((Ok(page), Some(state)))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

/// Everything that was asked for has come.
fn reached(page: &Page, until: Option<&ObjectKey>) -> bool {
    let last = page.entries.last().map(|entry| &entry.key).max(page.prefixes.last());
    matches!((until, last), (Some(until), Some(last)) if last >= until)
}

impl Client {
    /// One page, and where the next one begins.
    pub(super) async fn page(
        &self,
        request: &ListRequest,
        after: Option<&ObjectKey>,
        next: Option<&Next>,
        most: u32,
    ) -> Result<(Page, Option<Next>)> {
        if self.list_v1.load(Ordering::Relaxed) {
            return self.page_of(request, after, next, most, false).await;
        }
        match self.page_of(request, after, next, most, true).await {
            Err(error) if next.is_none() && lacks_v2(&error) => {
                let page = self.page_of(request, after, None, most, false).await?;
                self.list_v1.store(true, Ordering::Relaxed);
                Ok(page)
            }
            other => other,
        }
    }

    async fn page_of(
        &self,
        request: &ListRequest,
        after: Option<&ObjectKey>,
        next: Option<&Next>,
        most: u32,
        v2: bool,
    ) -> Result<(Page, Option<Next>)> {
        let call = self.list_call(request, after, next, most, v2)?;
        let mut listing = self.listing(&call).await?;
        if !self.encodes(&call, &listing).await? {
            listing.encoding_type.clear();
        }
        let more = goes_on(&listing, most);
        if v2 && more && listing.next_continuation_token.is_empty() {
            // The server passed over `list-type`: version 1 goes on by a marker.
            self.list_v1.store(true, Ordering::Relaxed);
        }
        let last = last_key(&listing);
        let decoded = |text: &str| decode(text, &listing.encoding_type);
        let next = match (more, v2) {
            (false, _) => None,
            (true, true) if !listing.next_continuation_token.is_empty() => {
                Some(Next::Token(if self.dialect.listing.token_encoded {
                    String::from_utf8_lossy(&decoded(&listing.next_continuation_token)).into_owned()
                } else {
                    listing.next_continuation_token.clone()
                }))
            }
            (true, _) if !listing.next_marker.is_empty() => Some(Next::After(decoded(&listing.next_marker))),
            (true, _) => Some(Next::After(last.map(decoded).ok_or_else(|| {
                call.error(ErrorKind::Protocol, "a page without keys says that there are more, and not where")
            })?)),
        };
        let page = self.read_page(&call, &listing)?;
        Ok((page, next))
    }

    async fn listing(&self, call: &Call<'_>) -> Result<xml::Listing> {
        let (_, body) = self.send_for_xml(call).await?;
        xml::parse(&body).map_err(|why| call.error(ErrorKind::Protocol, why))
    }

    /// Some servers say that keys are encoded and send them plain (s3s-fs). Keys with `+` or `%` tell: the
    /// same page is asked for once without encoding, and the answers are compared. A key read wrongly would
    /// be another object.
    async fn encodes(&self, call: &Call<'_>, listing: &xml::Listing) -> Result<bool> {
        if !listing.encoding_type.eq_ignore_ascii_case("url") {
            return Ok(false);
        }
        match self.encoding.load(Ordering::Relaxed) {
            HONEST => return Ok(true),
            PLAIN => return Ok(false),
            _ => {}
        }
        let telling = |key: &&str| key.contains(['+', '%']);
        if !keys(listing).any(|key| telling(&key)) {
            return Ok(!keys(listing).any(|key| key.contains(|c: char| !c.is_ascii_graphic())));
        }
        let mut plain = call.clone();
        plain.query.retain(|(name, _)| *name != "encoding-type");
        let found = match self.listing(&plain).await {
            Ok(plain) => compare(listing, &plain),
            // Control characters, which plain XML cannot hold.
            Err(error) if error.kind() == ErrorKind::Protocol => Some(HONEST),
            // Nothing was found out: the page is asked for again.
            Err(error) => return Err(error),
        };
        if let Some(found) = found {
            self.encoding.store(found, Ordering::Relaxed);
        }
        Ok(found != Some(PLAIN))
    }

    pub(super) fn list_call(
        &self,
        request: &ListRequest,
        after: Option<&ObjectKey>,
        next: Option<&Next>,
        most: u32,
        v2: bool,
    ) -> Result<Call<'_>> {
        let mut call = Call::new(Op::List, RequestKind::List, Method::GET, None);
        let text = |bytes: Vec<u8>, call: &Call<'_>| {
            String::from_utf8(bytes)
                .map_err(|_| call.error(ErrorKind::InvalidName, "a key to list from is not UTF-8"))
        };
        let prefix = text(self.full_key(&request.under), &call)?;
        let begin = match (next, after) {
            (Some(Next::After(key)), _) => Some(text(key.clone(), &call)?),
            (None, Some(key)) => Some(text(self.full_key(key), &call)?),
            _ => None,
        };
        if v2 {
            call = call.query("list-type", "2");
        }
        if request.folded {
            call = call.query("delimiter", "/");
        }
        if self.dialect.listing.encoding != Encoding::Without {
            call = call.query("encoding-type", "url");
        }
        call = call.query("max-keys", most.to_string());
        if !prefix.is_empty() {
            call = call.query("prefix", prefix);
        }
        if let Some(begin) = begin {
            call = call.query(if v2 { "start-after" } else { "marker" }, begin);
        }
        if let Some(Next::Token(token)) = next {
            call = call.query("continuation-token", token.clone());
        }
        Ok(call)
    }

    fn read_page(&self, call: &Call<'_>, listing: &xml::Listing) -> Result<Page> {
        let mut page = Page::default();
        for contents in &listing.contents {
            let key = self.relative(call, decode(&contents.key, &listing.encoding_type))?;
            let size = contents.size;
            let size = size.filter(|size| *size <= LARGEST);
            let odd =
                || call.error(ErrorKind::Protocol, format!("{key:?} has no size, or one that cannot be"));
            let size = size.ok_or_else(odd)?;
            if size == 0 && key.as_bytes().is_empty() && self.endpoint.prefix.ends_with('/') {
                // The marker of the prefix itself: below the prefix it has no name.
                page.special += 1;
                continue;
            }
            page.entries.push(Entry {
                key,
                size,
                modified_ms: contents
                    .last_modified
                    .parse::<jiff::Timestamp>()
                    .ok()
                    .map(|time| time.as_millisecond()),
                etag: Some(headers::bare_etag(&contents.etag))
                    .filter(|etag| !etag.is_empty())
                    .map(str::to_owned),
                class: headers::plain_class(&contents.storage_class, &contents.kind),
                ..Entry::default()
            });
        }
        for folded in &listing.common_prefixes {
            page.prefixes.push(self.relative(call, decode(&folded.prefix, &listing.encoding_type))?);
        }
        Ok(page)
    }

    /// The key below the endpoint's prefix.
    fn relative(&self, call: &Call<'_>, full: Vec<u8>) -> Result<ObjectKey> {
        let prefix = self.endpoint.prefix.as_bytes();
        if !full.starts_with(prefix) {
            let key = ObjectKey::new(full);
            return Err(call.error(
                ErrorKind::Protocol,
                format!("the listing has {key:?}, which is not below the prefix"),
            ));
        }
        if full.len() > LONGEST_KEY {
            let text = format!("the listing has a key of {} bytes, which no service has", full.len());
            return Err(call.error(ErrorKind::Protocol, text));
        }
        let full = bytes::Bytes::from(full);
        Ok(ObjectKey::new(full.slice(prefix.len()..)))
    }
}

/// Whether there are more pages. A server that does not say it is believed to be at its end only where nothing speaks
/// against that: no mark to go on from, and a page that is not full.
fn goes_on(listing: &xml::Listing, most: u32) -> bool {
    listing.is_truncated.unwrap_or_else(|| {
        let marked = !listing.next_continuation_token.is_empty() || !listing.next_marker.is_empty();
        marked || keys(listing).count() >= most as usize
    })
}

/// "Not implemented" in one of the ways of servers that know only version 1.
fn lacks_v2(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported)
        || (error.kind() == ErrorKind::Refused && error.status() == Some(400))
}

/// What two answers to one request, one of them without encoding, say of the encoding. Objects may have come
/// and gone between the two.
fn compare(encoded: &xml::Listing, plain: &xml::Listing) -> Option<u8> {
    let plain: HashSet<&[u8]> = keys(plain).map(str::as_bytes).collect();
    keys(encoded).find_map(|key| {
        let decoded = decode(key, "url");
        match (plain.contains(key.as_bytes()), plain.contains(&decoded[..])) {
            (true, false) => Some(PLAIN),
            (false, true) => Some(HONEST),
            _ => None,
        }
    })
}

/// All names of a page, as they were sent.
fn keys(listing: &xml::Listing) -> impl Iterator<Item = &str> {
    let objects = listing.contents.iter().map(|contents| contents.key.as_str());
    objects.chain(listing.common_prefixes.iter().map(|folded| folded.prefix.as_str()))
}

fn last_key(listing: &xml::Listing) -> Option<&str> {
    let key = listing.contents.last().map(|contents| contents.key.as_str());
    key.max(listing.common_prefixes.last().map(|folded| folded.prefix.as_str()))
}

/// As a form: `+` is a space, then `%XX`; plain where the service did not encode.
pub(super) fn decode(text: &str, encoding: &str) -> Vec<u8> {
    if !encoding.eq_ignore_ascii_case("url") || !text.contains(['+', '%']) {
        return text.as_bytes().to_vec();
    }
    percent_encoding::percent_decode_str(&text.replace('+', " ")).collect()
}
