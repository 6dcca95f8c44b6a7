//! A test server of UPYUN's REST API and of a CDN before it. It keeps files and folders in memory and refuses what the
//! vendor refuses: wrong signatures, clocks that are off, damaged bytes, wrong part ids, files in the place of
//! folders. It is itself checked with the vendor's own SDK (`tests/sdk/check_upyun.py`), so that our client is not
//! the measure of its own server. Where the documentation says nothing, it does what is worst for a client.
//!
//! Faults can be planned ([`Fault`]) and every request is logged ([`Server::requests`]).
//! Sources: UPYUN documentation ("REST API", "Authorization", "API error codes"), the SDKs for Go and Python.

mod cdn;
mod check;
mod file;
mod folder;
mod multi;
mod reply;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

pub use state::File;

use crate::family::fault::Cut;
use crate::family::reply::{Outgoing, set};
use crate::family::{Fault, Logged};
use reply::Failure;
use state::State;

/// A running server; ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    api: SocketAddr,
    cdn: SocketAddr,
    state: Arc<State>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// A request after its first look: where it goes.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) method: Method,
    pub(crate) bucket: String,
    /// Below the bucket, without slashes at its ends; folders and names.
    pub(crate) path: Vec<u8>,
    pub(crate) query: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Api,
    Cdn,
}

impl Server {
    /// On free ports of 127.0.0.1, with one operator and no bucket.
    pub fn start(operator: &str, password: &str) -> Server {
        Server::start_on(operator, password, 0)
    }

    /// With the API on the given port.
    pub fn start_on(operator: &str, password: &str, port: u16) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap_or_else(|error| panic!("no runtime: {error}"));
        let state = Arc::new(State::new(operator, password));
        let listen = |port: u16, door: Door| {
            let listener = runtime
                .block_on(TcpListener::bind(("127.0.0.1", port)))
                .unwrap_or_else(|error| panic!("no port: {error}"));
            let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
            runtime.spawn(accept(listener, state.clone(), door));
            address
        };
        let (api, cdn) = (listen(port, Door::Api), listen(0, Door::Cdn));
        Server { api, cdn, state, runtime: Some(runtime) }
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.api)
    }

    /// The same of the CDN, which keeps copies of what it gave once, of the first bucket.
    pub fn cdn(&self) -> String {
        format!("http://{}", self.cdn)
    }

    /// Makes a bucket ("service").
    pub fn make_bucket(&self, bucket: &str) {
        self.state.make_bucket(bucket);
    }

    /// Puts a file without a request, and the folders that it is in.
    pub fn insert(&self, bucket: &str, path: &str, file: File) {
        self.state.insert(bucket, path.as_bytes(), file);
    }

    /// A file, as it is kept.
    pub fn file(&self, bucket: &str, path: &str) -> Option<File> {
        self.state.file(bucket, path.as_bytes())
    }

    /// The paths of all files, in key order.
    pub fn files(&self, bucket: &str) -> Vec<String> {
        self.state.files(bucket)
    }

    /// The paths of all folders, without the slash at their end.
    pub fn folders(&self, bucket: &str) -> Vec<String> {
        self.state.folders(bucket)
    }

    /// Uploads in parts that are not completed: (path, id).
    pub fn uploads(&self, bucket: &str) -> Vec<(String, String)> {
        self.state.uploads(bucket)
    }

    /// Begins an upload without a request, so many seconds ago; gives its id.
    pub fn begin_upload(&self, bucket: &str, path: &str, ago: i64) -> String {
        self.state.begin_upload(bucket, path.as_bytes(), ago)
    }

    /// Forgets all uploads, as the service does after a day.
    pub fn forget_uploads(&self, bucket: &str) {
        self.state.within(bucket, |bucket| bucket.uploads.clear());
    }

    /// Every request since the start or the last [`Server::forget_requests`], in order of arrival. The `key` is the
    /// path; the `query` has the stage and the part of uploads; the CDN's have no `bucket`.
    pub fn requests(&self) -> Vec<Logged> {
        self.state.requests()
    }

    /// Empties the log of requests.
    pub fn forget_requests(&self) {
        self.state.forget_requests();
    }

    /// Waits until a logged request fits. Wakes on each request; `None` after 60 s.
    pub fn wait_for(&self, fits: impl Fn(&Logged) -> bool, times: usize) -> Option<()> {
        self.state.wait_for(fits, times)
    }

    /// Plans a fault.
    pub fn plan(&self, fault: Fault) {
        self.state.plan(fault);
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        self.state.heal();
    }

    /// The operator that is good from now on.
    pub fn rotate(&self, operator: &str, password: &str) {
        self.state.rotate(operator, password);
    }

    /// The service's clock is ahead by so many seconds (or behind, below zero).
    pub fn set_clock_off(&self, seconds: i64) {
        self.state.set_clock_off(seconds);
    }

    /// The answers to writes state the ETag, which the documentation does not promise.
    pub fn state_etags(&self) {
        self.state.state_etags();
    }

    /// The CDN forgets its copies.
    pub fn purge(&self) {
        self.state.copies().clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, door: Door) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| serve(request, state.clone(), door));
            let mut http = http1::Builder::new();
            // Errors end the connection: the client went away, or a fault cut it.
            let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An error closes the connection without an answer: that is how a planned reset looks.
async fn serve(request: Request<Incoming>, state: Arc<State>, door: Door) -> Result<Response<Outgoing>, Cut> {
    let id = state.next_request_id();
    let (parts, incoming) = request.into_parts();
    let target = Target::of(&parts, door);
    let action = state.log(&target, &parts);
    let answered = match reply::before(action.as_ref()).await? {
        Some(failure) => {
            let _ = incoming.collect().await;
            Err(failure)
        }
        None => answer(&state, &target, &parts, incoming, door).await,
    };
    let mut response = reply::finish(answered, &id, target.method == Method::HEAD);
    set(&mut response, "date", &state.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    reply::after(action, response, &state, &target, &parts).await
}

async fn answer(
    state: &State,
    target: &Target,
    parts: &Parts,
    incoming: Incoming,
    door: Door,
) -> Result<Response<Outgoing>, Failure> {
    let checked = if door == Door::Api { check::request(state, target, parts) } else { Ok(()) };
    let whole = incoming.collect().await;
    checked?;
    let data = whole.map_err(|_| Failure::new(40800001, "read client request timeout"))?.to_bytes();
    if door == Door::Cdn {
        return cdn::answer(state, target, parts);
    }
    check::content(parts, &data)?;
    match (&target.method, header(parts, "x-upyun-multi-stage").is_empty()) {
        (&Method::PUT, false) => multi::stage(state, target, parts, data),
        (&Method::GET, _) if !header(parts, "x-upyun-list-type").is_empty() => {
            multi::uploads(state, target, parts)
        }
        (&Method::GET, _) if !header(parts, "x-upyun-multi-uuid").is_empty() => {
            multi::parts(state, target, parts)
        }
        (&Method::DELETE, _) if !header(parts, "x-upyun-multi-uuid").is_empty() => {
            multi::cancel(state, target, parts)
        }
        (&Method::PUT, true) => file::put(state, target, parts, data),
        (&Method::GET | &Method::HEAD, _) => file::look(state, target, parts),
        (&Method::POST, _) => folder::make(state, target, parts),
        (&Method::DELETE, _) => file::delete(state, target),
        _ => Err(Failure::new(40500000, "method not allowed")),
    }
}

/// A header as text; empty where it is missing.
pub(crate) fn header<'a>(parts: &'a Parts, name: &str) -> &'a str {
    parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

impl Target {
    /// Web servers make one slash of many.
    fn of(parts: &Parts, door: Door) -> Target {
        let decoded: Vec<u8> = percent_encoding::percent_decode_str(parts.uri.path()).collect();
        let mut segments = decoded.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty());
        let bucket = match door {
            Door::Api => String::from_utf8_lossy(segments.next().unwrap_or_default()).into_owned(),
            Door::Cdn => String::new(),
        };
        let path = segments.collect::<Vec<_>>().join(&b'/');
        let query = parts.uri.query().unwrap_or_default().to_owned();
        Target { method: parts.method.clone(), bucket, path, query }
    }
}

/// MD5 as the service writes it.
pub(crate) fn md5_of(data: &Bytes) -> String {
    use md5::Digest;
    hex::encode(md5::Md5::digest(data))
}
