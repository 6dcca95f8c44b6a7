//! A test server of the S3 dialects: OSS, S3, COS, BOS, KS3 and Qiniu Kodo, the last three with their native
//! APIs too as far as their SDKs need them. It keeps objects in memory and refuses what the vendors
//! refuse: wrong signatures, clocks that are off, bad names, wrong checksums, parts out of order or too
//! small. It is itself checked with the vendors' SDKs (`tests/sdk/`), so that our client is not the measure
//! of its own server.
//!
//! Faults can be planned ([`Fault`]) and every request is logged ([`Server::requests`]).
//! Sources: OSS API reference (PutObject, GetObject, ListObjectsV2, multipart, signature V1 and V4), Amazon
//! S3 API reference (Signature Version 4, ListObjectsV2, multipart, checksums), and for the others `rules`.

mod beside;
mod body;
mod bucket;
mod copy;
mod face;
pub(crate) mod fault;
mod kodo;
mod locate;
mod multipart;
mod object;
mod ranges;
pub(crate) mod reply;
mod restore;
mod rules;
mod sign;
mod state;
mod sums;
mod xml;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

pub use beside::Beside;
pub use fault::{Action, Change, Fault, Lie};
pub use state::{Logged, Object};

use face::Face;
use reply::{Failure, Outgoing};
use state::{Access, State, Token};

/// Which vendor's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Alibaba Cloud OSS.
    Oss,
    /// Amazon S3.
    S3,
    /// Tencent Cloud COS.
    Cos,
    /// Baidu AI Cloud BOS: its S3 API and its own.
    Bos,
    /// Kingsoft Cloud KS3: its S3 API and its own.
    Ks3,
    /// Qiniu Kodo: its S3 API and its own.
    Qiniu,
}

impl Dialect {
    const NAMES: [(Dialect, &str); 6] = [
        (Dialect::Oss, "oss"),
        (Dialect::S3, "s3"),
        (Dialect::Cos, "cos"),
        (Dialect::Bos, "bos"),
        (Dialect::Ks3, "ks3"),
        (Dialect::Qiniu, "qiniu"),
    ];

    /// By the name that a job file has for the type.
    pub fn named(name: &str) -> Option<Dialect> {
        Dialect::NAMES.iter().find(|(_, known)| *known == name).map(|(dialect, _)| *dialect)
    }

    /// Its name in a job file.
    pub fn name(self) -> &'static str {
        Dialect::NAMES.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }

    /// The region that a client has to name; OSS, COS and S3 take any.
    pub fn region(self) -> &'static str {
        match self {
            Dialect::Oss => "cn-test",
            Dialect::S3 => "us-east-1",
            Dialect::Cos => "ap-test",
            Dialect::Bos | Dialect::Ks3 | Dialect::Qiniu => self.rules().region,
        }
    }
}

/// A running server; ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// A request after its first look: where it goes.
pub(crate) struct Target {
    pub(crate) method: Method,
    pub(crate) bucket: String,
    pub(crate) key: Vec<u8>,
    pub(crate) query: Vec<(String, String)>,
}

impl Server {
    /// On a free port of 127.0.0.1, with one key pair and no bucket.
    pub fn start(dialect: Dialect, access_key: &str, secret_key: &str) -> Server {
        Server::start_on(dialect, access_key, secret_key, 0)
    }

    /// On the given port of 127.0.0.1.
    pub fn start_on(dialect: Dialect, access_key: &str, secret_key: &str, port: u16) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap_or_else(|error| panic!("no runtime: {error}"));
        let state = Arc::new(State::new(dialect, access_key, secret_key));
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", port)))
            .unwrap_or_else(|error| panic!("no port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        runtime.spawn(accept(listener, state.clone()));
        Server { address, state, runtime: Some(runtime) }
    }

    /// Which vendor's rules it keeps.
    pub fn dialect(&self) -> Dialect {
        self.state.dialect
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a bucket.
    pub fn make_bucket(&self, bucket: &str) {
        self.state.make_bucket(bucket);
    }

    /// Puts an object without a request.
    pub fn insert(&self, bucket: &str, key: &[u8], object: Object) {
        self.state.insert(bucket, key, object);
    }

    /// Deletes an object without a request.
    pub fn remove(&self, bucket: &str, key: &[u8]) {
        self.state.remove(bucket, key);
    }

    /// An object, as it is kept.
    pub fn object(&self, bucket: &str, key: &[u8]) -> Option<Object> {
        self.state.object(bucket, key)
    }

    /// Tags and the access list of an object.
    pub fn beside(&self, bucket: &str, key: &[u8]) -> Beside {
        self.state.beside.get(bucket, key)
    }

    /// Sets them without a request.
    pub fn set_beside(&self, bucket: &str, key: &[u8], beside: Beside) {
        self.state.beside.set(bucket, key, beside);
    }

    /// All keys in order.
    pub fn keys(&self, bucket: &str) -> Vec<Vec<u8>> {
        self.state.keys(bucket)
    }

    /// Multipart uploads that are neither completed nor aborted: (key, id).
    pub fn uploads(&self, bucket: &str) -> Vec<(Vec<u8>, String)> {
        self.state.uploads(bucket)
    }

    /// Begins a multipart upload without a request, so many seconds ago; gives its id.
    pub fn begin_upload(&self, bucket: &str, key: &[u8], ago: i64) -> String {
        self.state.begin_upload(bucket, key, ago)
    }

    /// Every request since the start or the last [`Server::forget_requests`], in order of arrival.
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

    /// The keys that are good from now on; the others are refused.
    pub fn rotate(&self, access_key: &str, secret_key: &str) {
        self.state.rotate(access_key, secret_key);
    }

    /// The keys are temporary ones from now on, and every request has to bring this token.
    pub fn require_token(&self, token: &str) {
        self.state.set_token(Some(Token { text: token.to_owned(), over: false }));
    }

    /// The time of that token is over; the next [`Server::require_token`] begins another.
    pub fn expire_token(&self) {
        let token = self.state.token().map(|token| Token { over: true, ..token });
        self.state.set_token(token);
    }

    /// Everybody may read this bucket.
    pub fn make_public(&self, bucket: &str) {
        self.state.set_access(bucket, Access::Public);
    }

    /// This bucket belongs to another account.
    pub fn make_foreign(&self, bucket: &str) {
        self.state.set_access(bucket, Access::Foreign);
    }

    /// The service's clock is ahead by so many seconds (or behind, below zero).
    pub fn set_clock_off(&self, seconds: i64) {
        self.state.set_clock_off(seconds);
    }

    /// A restore that was asked for has come to its end: the object can be read.
    pub fn thaw(&self, bucket: &str, key: &[u8]) {
        self.state.thaws.finish(bucket, key);
    }

    /// What was restored is gone again.
    pub fn freeze(&self, bucket: &str, key: &[u8]) {
        self.state.thaws.forget(bucket, key);
    }

    /// The documents of all restores that were taken, by key.
    pub fn wishes(&self, bucket: &str) -> Vec<(Vec<u8>, String)> {
        self.state.thaws.wishes(bucket)
    }

    /// Requests for a restore that had been asked for.
    pub fn needless_wishes(&self) -> usize {
        self.state.thaws.needless()
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        self.state.heal();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| serve(request, state.clone()));
            let mut http = http1::Builder::new();
            // Errors end the connection: the client went away, or a fault cut it.
            let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An error closes the connection without an answer: that is how a planned reset looks.
async fn serve(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Outgoing>, fault::Cut> {
    let id = state.next_request_id();
    let head = request.method() == Method::HEAD;
    let dialect = state.dialect;
    let (mut parts, incoming) = request.into_parts();
    let answer = match locate::locate(dialect, &parts) {
        Ok(mut target) => {
            let face = Face::of(dialect, &target, &parts.headers);
            let action = state.log(&target, &parts.headers);
            let answered = match fault::before(action.as_ref()).await? {
                Some(failure) => {
                    body::discard(incoming).await;
                    Err(failure)
                }
                None => answer((&state, face), &mut target, &mut parts, incoming, action.as_ref()).await,
            };
            let mut response = reply::finish((dialect, face), answered, &id, head, &target);
            reply::set(&mut response, "date", &state.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
            return fault::after(action, response, &state, &target).await;
        }
        Err(failure) => Err(failure),
    };
    let nowhere = Target { method: parts.method, bucket: String::new(), key: Vec::new(), query: Vec::new() };
    Ok(reply::finish((dialect, Face::Own), answer, &id, head, &nowhere))
}

async fn answer(
    (state, face): (&State, Face),
    target: &mut Target,
    parts: &mut http::request::Parts,
    incoming: Incoming,
    action: Option<&Action>,
) -> Result<Response<Outgoing>, Failure> {
    // Tokens of Qiniu's native API sign the body, or stand in it.
    let signed_body = face == Face::Kodo && !target.has("token");
    if let (false, Err(failure)) = (signed_body, sign::check(state, target, parts)) {
        body::discard(incoming).await;
        return Err(failure);
    }
    fault::twist(action, parts);
    let payload = body::collect(state.dialect, parts, incoming).await?;
    if signed_body {
        return kodo::answer(state, target, parts, &payload.data);
    }
    face.inward(target, parts);
    if target.bucket.is_empty() {
        return bucket::list_buckets(state);
    }
    if target.key.is_empty() {
        bucket::answer(state, target, parts, &payload)
    } else {
        object::answer(state, target, parts, payload)
    }
}

impl Target {
    /// The value of a query parameter; the empty text when it stands without one.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.query(name).is_some()
    }
}
