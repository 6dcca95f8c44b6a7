//! One GET of a URL: paced by domain, redirects followed, its answer told from a failure. No credentials are
//! ever sent, so that none can reach another host.

use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use conf::Endpoint;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, HOST, IF_MATCH, IF_UNMODIFIED_SINCE, LOCATION, RANGE, USER_AGENT,
};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use proto::ObjectKey;

use super::answer;
use super::hosts::Hosts;
use super::url::resolve;
use crate::error::{Error, ErrorKind, Op, Result};
use crate::http::{Failure, Http};
use crate::meta::Version;
use crate::meter::{Meter, RequestKind};
use crate::open::Context;
use crate::payload::Payload;

/// Redirects of one request.
const REDIRECTS: usize = 10;
/// Bytes of an answer that is no object: read, so that the connection can be used again.
const REFUSAL_MOST: usize = 64 << 10;

/// Connections to all hosts of a list.
#[derive(Debug)]
pub(super) struct Client {
    ca_file: Option<PathBuf>,
    proxy: String,
    timeout: Duration,
    pub(super) meter: Meter,
    pub(super) hosts: Hosts,
    plain: OnceLock<std::result::Result<Http, String>>,
    tls: OnceLock<std::result::Result<Http, String>>,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) op: Op,
    pub(super) kind: RequestKind,
    pub(super) key: Option<&'a ObjectKey>,
    pub(super) range: Option<Range<u64>>,
    /// Only this version.
    pub(super) version: Option<&'a Version>,
}

/// A success, where the redirects ended.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) http: Http,
}

impl Ask<'_> {
    pub(super) fn error(&self, kind: ErrorKind, text: impl Into<String>) -> Error {
        let error = Error::new(kind, self.op, text);
        match self.key {
            Some(key) => error.on(key),
            None => error,
        }
    }

    fn headers(&self, request: http::request::Builder) -> http::request::Builder {
        let mut request = request
            .header(ACCEPT, "*/*")
            .header(ACCEPT_ENCODING, "identity")
            .header(USER_AGENT, concat!("brigade/", env!("CARGO_PKG_VERSION")));
        if let Some(range) = &self.range {
            request = request.header(RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        }
        if let Some(etag) = self.version.and_then(|version| version.etag.as_deref()) {
            request = request.header(IF_MATCH, format!("\"{etag}\""));
        } else if let Some(date) = self.version.and_then(|version| answer::date_text(version.modified_ms?)) {
            request = request.header(IF_UNMODIFIED_SINCE, date);
        }
        request
    }
}

impl Client {
    pub(super) fn new(endpoint: &Endpoint, context: &Context) -> Self {
        Client {
            ca_file: endpoint.ca_file.clone(),
            proxy: endpoint.proxy.clone(),
            timeout: context.timeout,
            meter: context.meter.clone(),
            hosts: Hosts::new(endpoint.domain_requests_per_s),
            plain: OnceLock::new(),
            tls: OnceLock::new(),
        }
    }

    fn http(&self, uri: &Uri) -> std::result::Result<&Http, String> {
        let https = uri.scheme_str() == Some("https");
        let slot = if https { &self.tls } else { &self.plain };
        let made = slot.get_or_init(|| {
            let meter = self.meter.clone();
            Http::for_any(https, self.ca_file.as_deref(), &self.proxy, self.timeout, meter)
        });
        made.as_ref().map_err(Clone::clone)
    }

    /// Sends, and follows redirects.
    pub(super) async fn get(&self, uri: Uri, ask: &Ask<'_>) -> Result<Answer> {
        let first = uri.clone();
        let mut uri = uri;
        for _ in 0..=REDIRECTS {
            let (response, http) = self.send(&uri, ask).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return self.judge(Answer { response, http }, &uri, ask).await;
            }
            let location = answer::text(response.headers(), LOCATION.as_str());
            let _ = http.collect(response.into_body(), REFUSAL_MOST).await;
            let next = resolve(&uri, &location).and_then(|next| may_follow(&uri, &next).map(|()| next));
            uri = next.map_err(|why| {
                let text =
                    format!("{} redirects to {:?}, which is not followed: {why}", place(&uri), location);
                ask.error(ErrorKind::Refused, text)
            })?;
        }
        let text = format!("{} redirects more than {REDIRECTS} times", place(&first));
        Err(ask.error(ErrorKind::Refused, text))
    }

    async fn send(&self, uri: &Uri, ask: &Ask<'_>) -> Result<(Response<Incoming>, Http)> {
        let host = uri.authority().map(ToString::to_string).unwrap_or_default().to_ascii_lowercase();
        self.hosts.turn(&host).await;
        self.meter.request(ask.kind).await;
        let failed = |failure: Failure| {
            self.meter.failed(ask.kind, false);
            ask.error(failure.kind, format!("{host}: {}", failure.text))
        };
        let http = self.http(uri).map_err(|why| ask.error(ErrorKind::Refused, why))?.clone();
        let value =
            HeaderValue::from_str(&host).map_err(|error| ask.error(ErrorKind::Refused, error.to_string()))?;
        let request = ask.headers(Request::get(uri.clone()).header(HOST, value)).body(());
        let request = request.map_err(|error| ask.error(ErrorKind::InvalidName, error.to_string()))?;
        let (parts, ()) = request.into_parts();
        let response = http.send(parts, Payload::default(), 1).await.map_err(failed)?;
        self.hosts.answered(&host);
        Ok((response, http))
    }

    /// A success, or the error that it is.
    async fn judge(&self, answer: Answer, uri: &Uri, ask: &Ask<'_>) -> Result<Answer> {
        let status = answer.response.status();
        if matches!(status.as_u16(), 200 | 206) {
            return Ok(answer);
        }
        if status == StatusCode::NON_AUTHORITATIVE_INFORMATION {
            let text = format!(
                "{}: a proxy on the way changed it (HTTP 203; RFC 9110, 15.3.4), so that it is not what the server has: \
                 read it without that proxy",
                place(uri)
            );
            return Err(ask.error(ErrorKind::Protocol, text).service(203, String::new(), String::new()));
        }
        let (head, body) = answer.response.into_parts();
        let body = answer.http.collect(body, REFUSAL_MOST).await.unwrap_or_default();
        let (code, message) = answer::said(&body);
        let kind = answer::kind_of(status.as_u16());
        self.meter.failed(ask.kind, kind == ErrorKind::Throttled);
        let reason = status.canonical_reason().unwrap_or("no reason given");
        let text = if message.is_empty() { reason.to_owned() } else { message };
        Err(ask
            .error(kind, format!("{}: {text}", place(uri)))
            .service(status.as_u16(), code, answer::request_id(&head.headers))
            .retry_after(answer::retry_after(&head.headers)))
    }
}

/// For messages. A query may hold a signature.
fn place(uri: &Uri) -> String {
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    format!("{}://{authority}{}", uri.scheme_str().unwrap_or("http"), uri.path())
}

/// Whoever asked for an encrypted connection does not get another one; and no list leads from the outside to
/// services that only this host can reach.
fn may_follow(from: &Uri, to: &Uri) -> std::result::Result<(), String> {
    if from.scheme_str() == Some("https") && to.scheme_str() != Some("https") {
        return Err("it leads from https to http".to_owned());
    }
    if is_inside(to) && !is_inside(from) {
        return Err("it leads to this host or its metadata service".to_owned());
    }
    Ok(())
}

fn is_inside(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.octets() == [100, 100, 100, 200]
        }
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Err(_) => bare.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_redirect_leads_out_of_encryption_or_into_this_host() {
        let follow = |from: &str, to: &str| may_follow(&from.parse().unwrap(), &to.parse().unwrap()).is_ok();
        assert!(follow("http://a/", "https://b/") && follow("https://a/", "https://b/"));
        assert!(!follow("https://a/", "http://a/"));
        for inside in
            ["http://127.0.0.1/", "http://169.254.169.254/x", "http://[::1]/", "http://localhost:80/"]
        {
            assert!(!follow("http://a/", inside), "{inside}");
            assert!(follow("http://127.0.0.1:81/", inside), "{inside}");
        }
    }

    #[test]
    fn a_message_has_no_query() {
        assert_eq!(place(&"http://h:81/a?Signature=x".parse().unwrap()), "http://h:81/a");
    }
}
