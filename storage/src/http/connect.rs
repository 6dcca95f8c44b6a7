//! Connections: plain or TLS, direct or through a proxy. Relies on hyper-util for the tunnel and on rustls
//! with the system's roots.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::meter::Meter;

/// What hyper's pool asks for connections.
pub(crate) type Connector = HttpsConnector<Dial>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection attempt to one address must not eat the whole time of a step.
const CONNECT_MOST: Duration = Duration::from_secs(10);

/// Bytes that a connection under a limit takes in before they are read. Without a limit the system finds the
/// size that the network needs.
const RECEIVED: usize = 64 << 10;

/// Opens TCP connections, through the proxy where one is set.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    http: HttpConnector,
    proxy: Arc<Proxy>,
    meter: Meter,
}

/// Which requests go through a proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    matcher: Matcher,
    /// From the environment: this host and its metadata service are never reached through it.
    from_environment: bool,
}

/// A TCP connection that knows whether the proxy at its end reads absolute request lines.
#[derive(Debug)]
pub(crate) struct Stream {
    io: TokioIo<TcpStream>,
    forwarded: bool,
}

/// The connector for requests to `target`.
pub(crate) fn connector(
    target: &Uri,
    ca_file: Option<&Path>,
    proxy: Arc<Proxy>,
    timeout: Duration,
    meter: Meter,
) -> Result<Connector, String> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(Duration::from_secs(60)));
    http.set_connect_timeout(Some(timeout.min(CONNECT_MOST)));
    let https = target.scheme_str() == Some("https");
    let tls = tls_config(https, ca_file)?;
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    Ok(builder.wrap_connector(Dial { http, proxy, meter }))
}

fn tls_config(needed: bool, ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    if needed {
        roots.add_parsable_certificates(system_roots().iter().cloned());
    }
    if let Some(path) = ca_file {
        let cannot = |error: String| format!("cannot read the CA file {}: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| cannot(error.to_string()))?;
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| cannot(error.to_string()))?;
            roots.add(certificate).map_err(|error| cannot(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(cannot("there is no certificate in it (PEM is expected)".to_owned()));
        }
    }
    if needed && roots.is_empty() {
        return Err("this host has no CA certificates: install the package ca-certificates, or set ca_file"
            .to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

/// Read once: it takes milliseconds.
fn system_roots() -> &'static [CertificateDer<'static>] {
    static ROOTS: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let loaded = rustls_native_certs::load_native_certs();
        for error in &loaded.errors {
            tracing::warn!(%error, "cannot read a system certificate");
        }
        loaded.certs
    })
}

// === impl Proxy ===

impl Proxy {
    /// The configured one, or (empty text) what the environment says.
    pub(crate) fn new(configured: &str) -> Result<Self, String> {
        if configured.is_empty() {
            return Ok(Proxy { matcher: Matcher::from_env(), from_environment: true });
        }
        let bad = || "proxy: expected http://[user:password@]host:port".to_owned();
        let uri: Uri = configured.parse().map_err(|_| bad())?;
        if uri.scheme_str().is_some_and(|scheme| scheme != "http") || uri.host().is_none() {
            return Err(bad());
        }
        let matcher = Matcher::builder().all(configured.to_owned()).build();
        Ok(Proxy { matcher, from_environment: false })
    }

    fn intercept(&self, target: &Uri) -> Option<Intercept> {
        if self.from_environment && is_near(target.host().unwrap_or_default()) {
            return None;
        }
        self.matcher.intercept(target)
    }

    /// What a forwarding proxy wants in each request to `target`.
    pub(crate) fn authorization(&self, target: &Uri) -> Option<HeaderValue> {
        if target.scheme_str() != Some("http") {
            return None;
        }
        self.intercept(target)?.basic_auth().cloned()
    }
}

/// This host, or the metadata service of its provider.
fn is_near(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local() || ip.octets() == [100, 100, 100, 200],
        Ok(IpAddr::V6(ip)) => ip.is_loopback(),
        Err(_) => bare.eq_ignore_ascii_case("localhost"),
    }
}

// === impl Dial ===

impl Service<Uri> for Dial {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        // Whatever the system takes in for us has passed already.
        self.http.set_recv_buffer_size(self.meter.slice().map(|_| RECEIVED));
        let Some(proxy) = self.proxy.intercept(&target) else {
            let connecting = self.http.call(target);
            return Box::pin(async move { Ok(Stream { io: connecting.await?, forwarded: false }) });
        };
        let through = proxy.uri().clone();
        let failed =
            move |error: BoxError| -> BoxError { format!("through the proxy {through}: {error}").into() };
        if proxy.uri().scheme_str() != Some("http") {
            return Box::pin(async move { Err(failed("only http:// proxies are supported".into())) });
        }
        if target.scheme_str() == Some("https") {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), self.http.clone());
            if let Some(authorization) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            let connecting = tunnel.call(target);
            return Box::pin(async move {
                let io = connecting.await.map_err(|error| failed(crate::error::chain(&error).into()))?;
                Ok(Stream { io, forwarded: false })
            });
        }
        let connecting = self.http.call(proxy.uri().clone());
        Box::pin(async move {
            let io = connecting.await.map_err(|error| failed(crate::error::chain(&error).into()))?;
            Ok(Stream { io, forwarded: true })
        })
    }
}

// === impl Stream ===

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.inner().connected().proxy(self.forwarded)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_never_reached_through_the_proxy_of_the_environment() {
        for host in ["127.0.0.1", "[::1]", "localhost", "169.254.169.254", "100.100.100.200"] {
            assert!(is_near(host), "{host}");
        }
        assert!(!is_near("s3.amazonaws.com"));
    }

    #[test]
    fn a_proxy_with_another_scheme_is_refused() {
        assert!(Proxy::new("socks5://127.0.0.1:1080").is_err());
        let proxy = Proxy::new("http://user:pass@127.0.0.1:3128").unwrap();
        let target = Uri::from_static("http://example.com/");
        assert_eq!(proxy.authorization(&target).unwrap(), "Basic dXNlcjpwYXNz");
        assert!(proxy.authorization(&Uri::from_static("https://example.com/")).is_none());
    }
}
