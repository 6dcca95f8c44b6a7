//! Where keys come from: the job file, or the provider's own chain (environment, profile, instance role).
//! Keys from files and chains are read again before they expire.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use conf::{Endpoint, Secret};
use http::Uri;
use reqsign_core::time::Timestamp;
use reqsign_core::{Context, Error, FileRead, HttpSend, OsEnv, ProvideCredential, Result};

use crate::http::Http;
use crate::meter::Meter;
use crate::payload::Payload;

/// Files with keys are read again this often.
const FILE_LIFE: Duration = Duration::from_secs(300);
/// How long a signature of COS is good (reqsign-tencent-cos, header signatures).
const COS_SIGNATURE: Duration = Duration::from_secs(3600);
/// It is near, or there is none.
const METADATA_PATIENCE: Duration = Duration::from_secs(5);

/// What a signer needs, whatever the provider.
pub(crate) trait FromKeys: Sized + Send + Sync + Unpin + 'static {
    /// Of a key pair, a token for temporary ones, and when to ask again.
    fn from_keys(id: String, secret: String, token: Option<String>, until: Option<Timestamp>) -> Self;
}

impl FromKeys for reqsign_aws_v4::Credential {
    fn from_keys(id: String, secret: String, token: Option<String>, until: Option<Timestamp>) -> Self {
        Self { access_key_id: id, secret_access_key: secret, session_token: token, expires_in: until }
    }
}

impl FromKeys for reqsign_aliyun_oss::Credential {
    fn from_keys(id: String, secret: String, token: Option<String>, until: Option<Timestamp>) -> Self {
        Self { access_key_id: id, access_key_secret: secret, security_token: token, expires_in: until }
    }
}

impl FromKeys for reqsign_tencent_cos::Credential {
    fn from_keys(id: String, secret: String, token: Option<String>, until: Option<Timestamp>) -> Self {
        // A signature is good for an hour, and the signer wants keys that live as long: what counts here is only
        // when they are read again.
        let until = until.map(|until| until + COS_SIGNATURE);
        Self { secret_id: id, secret_key: secret, security_token: token, expires_in: until }
    }
}

/// The keys of an endpoint, where it names any.
#[derive(Debug)]
pub(crate) struct Given<C> {
    access_key: Secret,
    secret_key: Secret,
    session_token: Secret,
    kind: std::marker::PhantomData<fn() -> C>,
}

impl<C> Given<C> {
    /// `None` when both keys are left out: then the provider's own chain counts.
    pub(crate) fn of(endpoint: &Endpoint) -> Option<Self> {
        if endpoint.access_key.is_empty() && endpoint.secret_key.is_empty() {
            return None;
        }
        Some(Given {
            access_key: endpoint.access_key.clone(),
            secret_key: endpoint.secret_key.clone(),
            session_token: endpoint.session_token.clone(),
            kind: std::marker::PhantomData,
        })
    }
}

impl<C: FromKeys + std::fmt::Debug> ProvideCredential for Given<C> {
    type Credential = C;

    async fn provide_credential(&self, _: &Context) -> Result<Option<C>> {
        let reveal =
            |secret: &Secret| secret.reveal().map_err(|error| Error::credential_invalid(error.to_string()));
        let token = reveal(&self.session_token)?;
        let secrets = [&self.access_key, &self.secret_key, &self.session_token];
        let from_file = secrets.iter().any(|secret| matches!(secret, Secret::File(_)));
        // reqsign asks again two minutes before the end.
        let until = from_file.then(|| Timestamp::now() + FILE_LIFE);
        let token = (!token.is_empty()).then_some(token);
        Ok(Some(C::from_keys(reveal(&self.access_key)?, reveal(&self.secret_key)?, token, until)))
    }
}

/// What credential chains may use of this host: environment, files, and the metadata service.
pub(crate) fn context() -> Context {
    Context::new().with_env(OsEnv).with_file_read(Files).with_http_send(Metadata::default())
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> Result<Vec<u8>> {
        tokio::fs::read(path).await.map_err(|error| Error::unexpected(format!("cannot read {path}: {error}")))
    }
}

/// Made when it is needed: most jobs name their keys.
#[derive(Debug, Default)]
struct Metadata(OnceLock<std::result::Result<Http, String>>);

impl Metadata {
    /// Not the endpoint's client: its proxy and its CA file have nothing to do with the metadata service.
    fn client(&self) -> &std::result::Result<Http, String> {
        let open =
            |target| Http::new(&Uri::from_static(target), None, "", METADATA_PATIENCE, Meter::unlimited());
        // A host without CA certificates can still ask its metadata service.
        self.0.get_or_init(|| open("https://metadata/").or_else(|_| open("http://metadata/")))
    }
}

impl HttpSend for Metadata {
    async fn http_send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        let failed = |text: String| Error::unexpected(format!("the metadata service: {text}"));
        let http = self.client().as_ref().map_err(|why| failed(why.clone()))?;
        let (parts, body) = request.into_parts();
        let sent = http.send(parts, Payload::new(vec![body]), 1).await;
        let (parts, body) = sent.map_err(|failure| failed(failure.text))?.into_parts();
        let body = http.collect(body, 1 << 20).await.map_err(|failure| failed(failure.text))?;
        Ok(http::Response::from_parts(parts, body))
    }
}
