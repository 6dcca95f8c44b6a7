//! Answers: success, the vendor's error document, and what planned faults make of them.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::state::State;
use super::{Target, header};
use crate::family::fault::Cut;
use crate::family::reply::{Outgoing, ok, set, stalled, stream};
use crate::family::{Action, Lie};

/// A refusal. Its code begins with the HTTP status.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u16,
    code: u32,
    msg: String,
    headers: Vec<(&'static str, String)>,
}

impl Failure {
    pub(crate) fn new(code: u32, msg: &str) -> Self {
        let status = u16::try_from(code / 100_000).unwrap_or(500);
        Failure { status, code, msg: msg.to_owned(), headers: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    fn into_response(self, id: &str) -> Response<Outgoing> {
        let text = json!({"msg": self.msg, "code": self.code, "id": id}).to_string();
        let mut response = document(text);
        *response.status_mut() = http::StatusCode::from_u16(self.status).unwrap_or_default();
        for (name, value) in self.headers {
            set(&mut response, name, &value);
        }
        response
    }
}

/// 200 with a JSON document.
pub(crate) fn document(text: String) -> Response<Outgoing> {
    let mut response = ok(200);
    set(&mut response, "content-type", "application/json");
    *response.body_mut() = stream(text.into(), false);
    response
}

/// A file's bytes, or another text.
pub(crate) fn bytes(status: u16, data: Bytes) -> Response<Outgoing> {
    let mut response = ok(status);
    set(&mut response, "content-length", &data.len().to_string());
    *response.body_mut() = stream(data, false);
    response
}

/// The answer with its id; a failure as the vendor's document, without body for HEAD.
pub(crate) fn finish(
    answer: Result<Response<Outgoing>, Failure>,
    id: &str,
    head: bool,
) -> Response<Outgoing> {
    let mut response = answer.unwrap_or_else(|failure| failure.into_response(id));
    set(&mut response, "x-request-id", id);
    set(&mut response, "server", "marco/2.0");
    if head {
        *response.body_mut() = stream(Bytes::new(), false);
        if !response.headers().contains_key("content-length") {
            set(&mut response, "content-length", "0");
        }
    }
    response
}

/// Before the request takes effect.
pub(crate) async fn before(action: Option<&Action>) -> Result<Option<Failure>, Cut> {
    match action {
        Some(Action::Status(status, code, after)) => {
            let mut failure = Failure::new(code.parse().unwrap_or(0), "planned by the test");
            failure.status = *status;
            if let Some(after) = after {
                failure = failure.with("retry-after", after.to_string());
            }
            Ok(Some(failure))
        }
        Some(Action::Reset) => Err(Cut),
        Some(Action::Then(change)) => {
            change.run();
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
    state: &State,
    target: &Target,
    parts: &Parts,
) -> Result<Response<Outgoing>, Cut> {
    match action {
        Some(Action::LoseAnswer) => Err(Cut),
        Some(Action::AnswerThen(change)) => {
            change.run();
            Ok(response)
        }
        Some(Action::DelayAnswer(long)) => {
            tokio::time::sleep(long).await;
            Ok(response)
        }
        Some(Action::StoreWrong(at)) => {
            state.damage(target, at);
            Ok(response)
        }
        Some(Action::Truncate(at)) => {
            twisted(response, |bytes| stream(bytes.slice(..at.min(bytes.len())), true)).await
        }
        Some(Action::StallBody(at)) => {
            twisted(response, |bytes| stalled(bytes.slice(..at.min(bytes.len())))).await
        }
        Some(Action::FlipByte(at)) => {
            twisted(response, |bytes| {
                let mut bytes = bytes.to_vec();
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
                stream(bytes.into(), false)
            })
            .await
        }
        Some(Action::Listing(lie)) => {
            let asked = header(parts, "x-list-iter").to_owned();
            twisted(response, |bytes| stream(page(lie, bytes, &asked), false)).await.map(|mut response| {
                let length = http_body::Body::size_hint(response.body()).exact().unwrap_or_default();
                set(&mut response, "content-length", &length.to_string());
                response
            })
        }
        _ => Ok(response),
    }
}

async fn twisted(
    response: Response<Outgoing>,
    twist: impl FnOnce(&Bytes) -> Outgoing,
) -> Result<Response<Outgoing>, Cut> {
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    parts.headers.insert("content-length", bytes.len().into());
    Ok(Response::from_parts(parts, twist(&bytes)))
}

/// A page of a folder as the lie has it.
fn page(lie: Lie, bytes: &Bytes, asked: &str) -> Bytes {
    let Ok(mut page) = serde_json::from_slice::<Value>(bytes) else { return bytes.clone() };
    let mut files = page["files"].as_array().cloned().unwrap_or_default();
    match lie {
        Lie::OutOfOrder => files.reverse(),
        Lie::Doubled => files = files.iter().flat_map(|file| [file.clone(), file.clone()]).collect(),
        Lie::Foreign | Lie::Before => {
            files.push(json!({"type": "text/plain", "name": "../outside", "length": 1, "last_modified": 1}));
        }
        Lie::StandsStill => page["iter"] = json!(asked),
        Lie::Empty => {
            files.clear();
            page["iter"] = json!(asked);
        }
        Lie::Cut => return bytes.slice(..bytes.len() / 2),
    }
    page["files"] = Value::Array(files);
    page.to_string().into()
}
