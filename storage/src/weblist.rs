//! A list of URLs as a source. A line names an origin (the begin of a URL) and a key (its end, as it is written);
//! a source [`Source::at`] an origin reads the keys there. Nothing is known of an object before it is read, and
//! nothing is written here.
//!
//! Relies on HTTP alone (RFC 9110): the version of an object is its strong ETag, else its time where that is over;
//! a body ends with its `Content-Length` or its last chunk, or the connection broke. What a server does not say
//! (length, ranges, version) is said to the caller.

mod answer;
mod client;
mod hosts;
pub mod line;
mod list;
mod url;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use conf::Endpoint;
use futures::{StreamExt, stream};
use http::header::TRANSFER_ENCODING;
use http::{StatusCode, Uri};
use http_body::Body as _;
use proto::ObjectKey;

use crate::error::{Error, ErrorKind, Op, Result};
use crate::meta::{ObjectMeta, Version};
use crate::meter::RequestKind;
use crate::open::Context;
use crate::source::{Body, ListRequest, Opened, Pages, Read, Source, slice};
use client::{Answer, Ask, Client};
use url::Base;

pub use list::{fetch, read_line};

/// Lines that the first look tries.
const TRIED: usize = 3;

/// The list, or one origin of it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct WebSource {
    client: Arc<Client>,
    endpoint: Arc<Endpoint>,
    origin: Option<Arc<str>>,
}

impl WebSource {
    /// Sends nothing.
    pub(crate) fn new(endpoint: &Endpoint, context: &Context) -> Self {
        let client = Arc::new(Client::new(endpoint, context));
        WebSource { client, endpoint: Arc::new(endpoint.clone()), origin: None }
    }

    fn uri(&self, op: Op, key: &ObjectKey) -> Result<Uri> {
        let origin = self.origin.as_deref().unwrap_or_default();
        let made = Base::parse(origin).and_then(|base| base.uri(key.as_bytes()));
        made.map_err(|why| Error::new(ErrorKind::Refused, op, why).on(key))
    }

    /// Some object can be read, or the list is empty.
    async fn try_first(&self) -> Result<()> {
        let mut first_error = None;
        for (origin, key) in list::first(&self.client, &self.endpoint, TRIED).await? {
            let place = WebSource { origin: Some(origin.into()), ..self.clone() };
            match place.head(&ObjectKey::new(key)).await {
                // Without a length it can be read all the same.
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Unsupported && error.status().is_none() => {
                    return Ok(());
                }
                Err(error) => first_error.get_or_insert(error),
            };
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Does the host answer at all? Where others do, its objects alone are concerned.
    async fn ask_host(&self, origin: &str) -> Result<()> {
        let ask = Ask { op: Op::Open, kind: RequestKind::Head, key: None, range: Some(0..1), version: None };
        let base = Base::parse(origin).map_err(|why| ask.error(ErrorKind::Refused, why))?;
        let host = base.authority.to_ascii_lowercase();
        let uri = base.uri(b"").map_err(|why| ask.error(ErrorKind::Refused, why))?;
        match self.client.get(uri, &ask).await {
            Err(error) if error.status().is_none() && !self.client.hosts.others_answer(&host) => Err(error),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Source for WebSource {
    async fn check(&self) -> Result<()> {
        match &self.origin {
            Some(origin) => self.ask_host(origin).await,
            None => self.try_first().await,
        }
    }

    fn list(&self, _: ListRequest) -> Pages {
        let text = "a list of URLs is read line by line, not listed";
        stream::iter([Err(Error::new(ErrorKind::Unsupported, Op::List, text))]).boxed()
    }

    /// By its first byte: many servers refuse HEAD, or answer it otherwise.
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        let uri = self.uri(Op::Head, key)?;
        let ask =
            Ask { op: Op::Head, kind: RequestKind::Head, key: Some(key), range: Some(0..1), version: None };
        let found = match self.client.get(uri.clone(), &ask).await {
            // An empty object has no first byte.
            Err(error) if error.status() == Some(416) => {
                self.client.get(uri, &Ask { range: None, ..ask.clone() }).await?
            }
            other => other?,
        };
        let size = extent(&found, &ask)?;
        let size = size.ok_or_else(|| {
            let text = "the server does not say how long it is: that is known when it was read";
            ask.error(ErrorKind::Unsupported, text)
        })?;
        let whole = found.response.status() != StatusCode::PARTIAL_CONTENT;
        Ok(answer::meta(found.response.headers(), size, whole))
    }

    async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>, version: &Version) -> Result<Read> {
        let uri = self.uri(Op::Get, key)?;
        let (op, kind) = (Op::Get, RequestKind::Get);
        let ask = Ask { op, kind, key: Some(key), range: range.clone(), version: Some(version) };
        let expected = range.as_ref().map_or(version.size, |range| range.end - range.start);
        let arriving = self.client.meter.arriving(expected).await;
        let found = self.client.get(uri, &ask).await?;
        let size = extent(&found, &ask)?.unwrap_or(version.size);
        let whole = found.response.status() != StatusCode::PARTIAL_CONTENT;
        let meta = answer::meta(found.response.headers(), size, whole);
        same_version(&ask, version, &meta)?;
        let body = self.body(found, key, arriving);
        let body = match range.filter(|_| whole) {
            Some(range) => slice(body, range.start, range.end - range.start),
            None => body,
        };
        Ok(Read { meta, body })
    }

    async fn open(&self, key: &ObjectKey, large: u64) -> Result<Opened> {
        let uri = self.uri(Op::Get, key)?;
        let ask = Ask { op: Op::Get, kind: RequestKind::Get, key: Some(key), range: None, version: None };
        let found = self.client.get(uri.clone(), &ask).await?;
        let length = extent(&found, &ask)?;
        let headers = found.response.headers();
        let meta = answer::meta(headers, length.unwrap_or(0), true);
        let ends_marked = length.is_some() || headers.contains_key(TRANSFER_ENCODING);
        let ranges = match answer::accepts_ranges(headers) {
            _ if !answer::has_version(headers) || length.is_none_or(|length| length <= large) => false,
            Some(says) => says,
            // Many serve ranges and do not say so.
            None => self.serves_ranges(uri, &ask).await,
        };
        let arriving = self.client.meter.arriving(0).await;
        let body = self.body(found, key, arriving);
        Ok(Opened { meta, length, ranges, ends_marked, body })
    }

    fn at(&self, origin: &str) -> Option<Arc<dyn Source>> {
        Some(Arc::new(WebSource { origin: Some(origin.into()), ..self.clone() }))
    }
}

impl WebSource {
    async fn serves_ranges(&self, uri: Uri, ask: &Ask<'_>) -> bool {
        let ask = Ask { kind: RequestKind::Head, range: Some(0..1), ..ask.clone() };
        let answered = self.client.get(uri, &ask).await;
        answered.is_ok_and(|found| found.response.status() == StatusCode::PARTIAL_CONTENT)
    }

    fn body(&self, found: Answer, key: &ObjectKey, arriving: crate::meter::Arriving) -> Body {
        let on = key.clone();
        let fail =
            move |failure: crate::http::Failure| Error::new(failure.kind, Op::Get, failure.text).on(&on);
        found.http.stream(found.response.into_body(), arriving, fail)
    }
}

/// The size of the whole object, where the server says it; an answer that is not what was asked for is refused.
fn extent(found: &Answer, ask: &Ask<'_>) -> Result<Option<u64>> {
    let wrong = |text: String| ask.error(ErrorKind::Protocol, text);
    let (status, headers) = (found.response.status(), found.response.headers());
    // What hyper takes from Content-Length; a chunked body has none (RFC 9112, 6.3).
    let length = found.response.body().size_hint().exact();
    if status != StatusCode::PARTIAL_CONTENT {
        return Ok(length);
    }
    let Some(range) = &ask.range else {
        return Err(wrong("the whole object was asked for, and a part of it came".to_owned()));
    };
    let given = answer::text(headers, "content-range");
    let (first, last, total) = answer::content_range(headers)
        .ok_or_else(|| wrong(format!("a part came, and Content-Range is {given:?}")))?;
    let wanted = total.map_or(range.end, |total| range.end.min(total)).saturating_sub(1);
    if (first, last) != (range.start, wanted) || length.is_some_and(|length| length != last - first + 1) {
        return Err(wrong(format!("bytes {}-{wanted} were asked for, and {given:?} came", range.start)));
    }
    Ok(total)
}

/// Many servers do not look at conditions.
fn same_version(ask: &Ask<'_>, version: &Version, meta: &ObjectMeta) -> Result<()> {
    let second = |ms: Option<i64>| ms.map(|ms| ms.div_euclid(1000));
    let same = meta.size == version.size
        && match (&version.etag, &meta.etag) {
            (Some(wanted), Some(got)) => wanted == got,
            // The ETag is gone: it was another server, or another object.
            (Some(_), None) => false,
            _ => version.modified_ms.is_none() || second(version.modified_ms) == second(meta.modified_ms),
        };
    if same {
        return Ok(());
    }
    Err(ask.error(ErrorKind::PreconditionFailed, "another version than the one that was begun with is there"))
}

#[cfg(test)]
mod tests;
