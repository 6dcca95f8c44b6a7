//! Planned faults: which requests, how often, and what happens to them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::BodyExt;

use super::Target;
use super::reply::{Failure, Outgoing, set, stalled, stream};
use super::state::State;

/// A fault for the next requests that fit.
#[derive(Debug, Clone)]
pub struct Fault {
    /// `GET`, `PUT`, …; empty: any.
    pub method: &'static str,
    /// A text in the key or in the query; empty: any.
    pub contains: String,
    /// How many fitting requests pass first.
    pub skip: u32,
    /// How many fitting requests fail then.
    pub times: u32,
    /// What happens to them.
    pub action: Action,
}

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Action {
    /// This status and code instead of an answer, with `Retry-After` seconds where given.
    Status(u16, &'static str, Option<u32>),
    /// The connection closes without an answer and without effect.
    Reset,
    /// The request takes effect, and the connection closes without an answer.
    LoseAnswer,
    /// The answer's body ends after this many bytes, its length unchanged.
    Truncate(usize),
    /// One bit of the answer's body differs.
    FlipByte(usize),
    /// The answer waits this long before it begins.
    Delay(Duration),
    /// The request takes effect, and its answer waits this long.
    DelayAnswer(Duration),
    /// 200 with an error document (Complete, Copy).
    ErrorIn200(&'static str),
    /// Somebody else does this first; then the request is answered as it should be.
    Then(Change),
    /// The request is answered; somebody else does this before the answer is sent.
    AnswerThen(Change),
    /// Somebody else does this after so many bytes of the body, and the rest is of what is there then: a service
    /// before plain files.
    ThenMidBody(usize, Change),
    /// The answer's body stops after this many bytes, and the connection stays open.
    StallBody(usize),
    /// The answer is this much shorter than the object, and its length says so: a lie that looks whole.
    Shorten(usize),
    /// This status, and another endpoint in the document.
    Redirect(u16, &'static str),
    /// A read of a range is answered with 200 and the whole object.
    IgnoreRange,
    /// A read of a range is answered with another one, so many bytes further.
    OtherRange(u64),
    /// One byte of what is stored differs; the answer states the checksums of what is stored.
    StoreWrong(usize),
    /// One byte of what is stored differs, and everything that the service states is of what was sent.
    StoreWrongAndLie(usize),
    /// A page of a listing that is not what it should be.
    Listing(Lie),
}

/// What is wrong with a page of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Its keys come in reverse.
    OutOfOrder,
    /// Each key comes twice.
    Doubled,
    /// No keys, "there is more", and a token that goes on where this page would have begun.
    Empty,
    /// The token of the request again, as if there were always more.
    StandsStill,
    /// The document ends in its middle.
    Cut,
    /// A key that is not below the prefix.
    Foreign,
    /// A key that is before the place from which the page was asked for.
    Before,
}

/// What somebody else does in the middle.
#[derive(Clone)]
pub struct Change(Arc<dyn Fn() + Send + Sync>);

impl Change {
    /// To be run by the server at the planned request.
    pub fn new(change: impl Fn() + Send + Sync + 'static) -> Change {
        Change(Arc::new(change))
    }

    /// Somebody does it now.
    pub(crate) fn run(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Change")
    }
}

/// Ends the connection.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut by plan")
    }
}

impl std::error::Error for Cut {}

/// Before the request takes effect.
pub(crate) async fn before(action: Option<&Action>) -> Result<Option<Failure>, Cut> {
    match action {
        Some(Action::Status(status, code, after)) => {
            Ok(Some(Failure::new(*status, code, "planned by the test").retry_after(*after)))
        }
        Some(Action::ErrorIn200(code)) => Ok(Some(Failure::new(200, code, "planned by the test"))),
        Some(Action::Redirect(status, endpoint)) => {
            let text =
                "The bucket you are attempting to access must be addressed using the specified endpoint.";
            let failure = Failure::new(*status, "PermanentRedirect", text);
            Ok(Some(failure.with("Endpoint", (*endpoint).to_owned())))
        }
        Some(Action::Reset) => Err(Cut),
        Some(Action::Then(Change(change))) => {
            change();
            Ok(None)
        }
        Some(Action::Delay(long)) => {
            tokio::time::sleep(*long).await;
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// The request itself, before it is answered.
pub(crate) fn twist(action: Option<&Action>, parts: &mut Parts) {
    match action {
        Some(Action::IgnoreRange) => {
            parts.headers.remove("range");
        }
        Some(Action::OtherRange(by)) => {
            let range = parts.headers.get("range").and_then(|range| range.to_str().ok()).unwrap_or_default();
            let numbers = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
            let numbers = numbers.and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)));
            if let Some((first, last)) = numbers
                && let Ok(other) = format!("bytes={}-{}", first + by, last + by).parse()
            {
                parts.headers.insert("range", other);
            }
        }
        _ => {}
    }
}

/// After it took effect.
pub(crate) async fn after(
    action: Option<Action>,
    response: Response<Outgoing>,
    state: &State,
    target: &Target,
) -> Result<Response<Outgoing>, Cut> {
    match action {
        Some(Action::StallBody(at)) => {
            let (mut parts, body) = response.into_parts();
            let bytes = whole(body).await;
            parts.headers.insert("content-length", bytes.len().into());
            Ok(Response::from_parts(parts, stalled(bytes.slice(..at.min(bytes.len())))))
        }
        Some(Action::Shorten(by)) => {
            let (mut parts, body) = response.into_parts();
            let bytes = whole(body).await;
            let bytes = bytes.slice(..bytes.len().saturating_sub(by));
            parts.headers.insert("content-length", bytes.len().into());
            Ok(Response::from_parts(parts, stream(bytes, false)))
        }
        Some(Action::StoreWrong(at)) if response.status().is_success() => {
            let mut response = response;
            if let Some(stored) = state.damage(target, at) {
                for (name, value) in stored.stated(state.dialect) {
                    if response.headers().contains_key(name) {
                        set(&mut response, name, &value);
                    }
                }
            }
            Ok(response)
        }
        Some(Action::StoreWrongAndLie(at)) if response.status().is_success() => {
            state.damage(target, at);
            Ok(response)
        }
        Some(Action::Listing(lie)) if response.status().is_success() => {
            let (mut parts, body) = response.into_parts();
            let text = String::from_utf8_lossy(&whole(body).await).into_owned();
            let bytes = Bytes::from(page(lie, text, target));
            parts.headers.insert("content-length", bytes.len().into());
            Ok(Response::from_parts(parts, stream(bytes, false)))
        }
        Some(Action::LoseAnswer) => Err(Cut),
        Some(Action::AnswerThen(Change(change))) => {
            change();
            Ok(response)
        }
        Some(Action::ThenMidBody(at, Change(change))) => {
            let (parts, body) = response.into_parts();
            let before = whole(body).await;
            let start = parts.headers.get("content-range").and_then(|range| range.to_str().ok());
            let start = start.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
            change();
            let now = state.object(&target.bucket, &target.key).map(|object| object.data).unwrap_or_default();
            let now = now.slice(start.unwrap_or(0).min(now.len())..);
            let (end, at) = (before.len().min(now.len()), at.min(before.len()));
            let bytes = Bytes::from([&before[..at], &now[at.min(end)..end]].concat());
            let cut = bytes.len() < before.len();
            Ok(Response::from_parts(parts, stream(bytes, cut)))
        }
        Some(Action::DelayAnswer(long)) => {
            tokio::time::sleep(long).await;
            Ok(response)
        }
        Some(Action::Truncate(at)) => {
            let (mut parts, body) = response.into_parts();
            let bytes = whole(body).await;
            parts.headers.insert("content-length", bytes.len().into());
            Ok(Response::from_parts(parts, stream(bytes.slice(..at.min(bytes.len())), true)))
        }
        Some(Action::FlipByte(at)) => {
            let (parts, body) = response.into_parts();
            let mut bytes = whole(body).await.to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1;
            }
            Ok(Response::from_parts(parts, stream(bytes.into(), false)))
        }
        _ => Ok(response),
    }
}

/// The page as the lie has it.
fn page(lie: Lie, text: String, target: &Target) -> String {
    let Some(begin) = text.find("<Contents>") else { return text };
    let end = text.rfind("</Contents>").map_or(text.len(), |at| at + "</Contents>".len());
    let (head, contents, tail) = (&text[..begin], &text[begin..end], &text[end..]);
    let each: Vec<&str> = contents.split_inclusive("</Contents>").collect();
    let with = |contents: String| format!("{head}{contents}{tail}");
    let token = target.query("continuation-token").unwrap_or_default();
    match lie {
        Lie::OutOfOrder => with(each.iter().rev().copied().collect()),
        Lie::Doubled => with(each.iter().flat_map(|one| [*one, *one]).collect()),
        Lie::Cut => text[..begin + contents.len() / 2].to_owned(),
        Lie::Empty => {
            let start = target.query("start-after").map(hex::encode).unwrap_or_default();
            let from = [token.to_owned(), start].into_iter().find(|from| !from.is_empty());
            more(&format!("{head}{tail}"), &from.unwrap_or_else(|| "00".to_owned()))
        }
        Lie::StandsStill => more(&text, if token.is_empty() { "00" } else { token }),
        Lie::Foreign => with(renamed(each[0], "outside/of-the-prefix") + contents),
        Lie::Before => with(contents.to_owned() + &renamed(each[0], "small/a-key-before-all-others")),
    }
}

/// One `<Contents>` under another key.
fn renamed(one: &str, key: &str) -> String {
    let from = one.find("<Key>").map_or(0, |at| at + "<Key>".len());
    let to = one.find("</Key>").unwrap_or(from);
    format!("{}{key}{}", &one[..from], &one[to..])
}

/// The page says that there is more, from `token` on.
fn more(text: &str, token: &str) -> String {
    let text = text.replace("<IsTruncated>false<", "<IsTruncated>true<");
    let name = "<NextContinuationToken>";
    let text = match (text.find(name), text.find("</NextContinuationToken>")) {
        (Some(from), Some(to)) => format!("{}{}", &text[..from], &text[to + name.len() + 1..]),
        _ => text,
    };
    text.replace("</IsTruncated>", &format!("</IsTruncated>{name}{token}</NextContinuationToken>"))
}

async fn whole(body: Outgoing) -> Bytes {
    body.collect().await.map(|body| body.to_bytes()).unwrap_or_default()
}
