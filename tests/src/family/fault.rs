//! Planned faults: which requests, how often, and what happens to them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;

use super::reply::{Failure, Outgoing, stream};
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
}

/// What somebody else does in the middle.
#[derive(Clone)]
pub struct Change(Arc<dyn Fn() + Send + Sync>);

impl Change {
    /// To be run by the server at the planned request.
    pub fn new(change: impl Fn() + Send + Sync + 'static) -> Change {
        Change(Arc::new(change))
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

/// After it took effect.
pub(crate) async fn after(
    action: Option<Action>,
    response: Response<Outgoing>,
    _state: &State,
) -> Result<Response<Outgoing>, Cut> {
    match action {
        Some(Action::LoseAnswer) => Err(Cut),
        Some(Action::AnswerThen(Change(change))) => {
            change();
            Ok(response)
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

async fn whole(body: Outgoing) -> Bytes {
    body.collect().await.map(|body| body.to_bytes()).unwrap_or_default()
}
