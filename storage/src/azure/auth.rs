//! Signs requests: with the account's key, a shared access signature, a token, or not at all.
//!
//! The signature is computed here: the library's signer panics on metadata that is not ASCII and signs empty
//! parameters and repeated headers wrongly (decision 4). The string to sign: "Authorize with Shared Key".

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conf::azure::{Connection, bare_sas, sas_end};
use conf::{Endpoint, Secret};
use http::request::Parts;
use http::{HeaderValue, Uri};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::identity::Identity;
use crate::error::ErrorKind;

/// Files with keys are read again this often.
const FILE_LIFE: Duration = Duration::from_secs(300);
/// What every request is sent under. Blocks of 4000 MiB need 2019-12-12, encoded names 2021-02-12, the tier Cold
/// 2021-12-02 ("Versioning for the Azure Storage services").
pub(super) const VERSION: &str = "2021-12-02";

/// Standard headers in the order in which they are signed.
const SIGNED: [&str; 11] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// Why a request cannot be signed.
#[derive(Debug)]
pub(super) struct Unsigned {
    pub(super) kind: ErrorKind,
    pub(super) text: String,
}

impl Unsigned {
    fn wrong(text: impl Into<String>) -> Self {
        Unsigned { kind: ErrorKind::BadCredentials, text: text.into() }
    }
}

/// What a request is signed with.
#[derive(Clone)]
enum Key {
    Anonymous,
    Shared { account: String, key: Vec<u8> },
    Sas(String),
    Token(String),
}

/// Variables by name.
pub(super) type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The credentials of one endpoint, and what was made of them last.
pub(super) struct Auth {
    endpoint: Endpoint,
    account: String,
    identity: Identity,
    pub(super) environment: Environment,
    /// Until when it is good.
    cached: Mutex<Option<(Key, Option<Instant>)>>,
}

impl Auth {
    pub(super) fn new(endpoint: &Endpoint, account: &str) -> Self {
        Auth {
            endpoint: endpoint.clone(),
            account: account.to_owned(),
            identity: Identity::default(),
            environment: Arc::new(|name| std::env::var(name).ok()),
            cached: Mutex::new(None),
        }
    }

    /// Asking again may give other credentials.
    pub(super) fn renewable(&self) -> bool {
        let Endpoint { secret_key, sas_token, connection_string, .. } = &self.endpoint;
        let from_file =
            [secret_key, sas_token, connection_string].iter().any(|s| matches!(s, Secret::File(_)));
        from_file || self.by_identity()
    }

    fn by_identity(&self) -> bool {
        let Endpoint { secret_key, sas_token, connection_string, anonymous, .. } = &self.endpoint;
        !anonymous && secret_key.is_empty() && sas_token.is_empty() && connection_string.is_empty()
    }

    /// When the signature that is used ran out, if it did.
    pub(super) async fn ran_out(&self) -> Option<jiff::Timestamp> {
        match &*self.cached.lock().await {
            Some((Key::Sas(sas), _)) => sas_end(sas).filter(|end| *end <= jiff::Timestamp::now()),
            _ => None,
        }
    }

    /// Forgets what is cached.
    pub(super) async fn reload(&self) {
        *self.cached.lock().await = None;
    }

    /// Signs. The address must be encoded already, and every header that is to be signed must be there.
    pub(super) async fn sign(&self, parts: &mut Parts) -> Result<(), Unsigned> {
        match self.key().await? {
            Key::Anonymous => Ok(()),
            Key::Sas(sas) => with_query(parts, &sas),
            Key::Token(token) => authorize(parts, &format!("Bearer {token}")),
            Key::Shared { account, key } => {
                let text = string_to_sign(parts, &account);
                let signature = reqsign_core::hash::base64_hmac_sha256(&key, text.as_bytes());
                authorize(parts, &format!("SharedKey {account}:{signature}"))
            }
        }
    }

    async fn key(&self) -> Result<Key, Unsigned> {
        let mut cached = self.cached.lock().await;
        if let Some((key, until)) = &*cached
            && until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(key.clone());
        }
        let (key, life) = if self.by_identity() {
            let (token, life) = self.identity.token_from(&*self.environment).await?;
            (Key::Token(token), Some(life))
        } else {
            (self.given()?, self.renewable().then_some(FILE_LIFE))
        };
        *cached = Some((key.clone(), life.map(|life| Instant::now() + life)));
        Ok(key)
    }

    /// What the job file says.
    fn given(&self) -> Result<Key, Unsigned> {
        let said = |secret: &Secret| secret.reveal().map_err(|error| Unsigned::wrong(error.to_string()));
        if self.endpoint.anonymous {
            return Ok(Key::Anonymous);
        }
        if !self.endpoint.connection_string.is_empty() {
            let connection = Connection::parse(&said(&self.endpoint.connection_string)?)
                .map_err(|why| Unsigned::wrong(format!("the connection string {why}")))?;
            if !connection.sas.is_empty() {
                return Ok(Key::Sas(connection.sas));
            }
            return shared(&connection.account, &connection.key);
        }
        if !self.endpoint.sas_token.is_empty() {
            let sas = said(&self.endpoint.sas_token)?;
            let sas = bare_sas(&sas);
            if sas.is_empty() {
                return Err(Unsigned::wrong("sas_token is empty"));
            }
            return Ok(Key::Sas(sas.to_owned()));
        }
        shared(&self.account, &said(&self.endpoint.secret_key)?)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("account", &self.account).finish_non_exhaustive()
    }
}

fn shared(account: &str, key: &str) -> Result<Key, Unsigned> {
    if account.is_empty() {
        return Err(Unsigned::wrong(
            "the address does not say the account that signs: write its name into access_key",
        ));
    }
    let key = STANDARD.decode(key.trim()).map_err(|_| {
        Unsigned::wrong(
            "secret_key is no account key, which is base64: copy key1 or key2 of the account again",
        )
    })?;
    Ok(Key::Shared { account: account.to_owned(), key })
}

fn authorize(parts: &mut Parts, value: &str) -> Result<(), Unsigned> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Unsigned::wrong("the account's name or the token cannot stand in a header"))?;
    value.set_sensitive(true);
    parts.headers.insert(http::header::AUTHORIZATION, value);
    Ok(())
}

fn with_query(parts: &mut Parts, query: &str) -> Result<(), Unsigned> {
    let mut uri = parts.uri.clone().into_parts();
    let old = uri.path_and_query.as_ref().map_or("/", |path| path.as_str());
    let between = if old.contains('?') { '&' } else { '?' };
    let wrong = || Unsigned::wrong("the shared access signature cannot stand in an address: copy it again");
    uri.path_and_query = Some(format!("{old}{between}{query}").parse().map_err(|_| wrong())?);
    parts.uri = Uri::from_parts(uri).map_err(|_| wrong())?;
    Ok(())
}

/// "Constructing the signature string", Blob service, version 2015-02-21 and later.
pub(super) fn string_to_sign(parts: &Parts, account: &str) -> String {
    let mut text = format!("{}\n", parts.method);
    for name in SIGNED {
        let value = parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let value = value.unwrap_or_default();
        // No length, and a length of zero, are the same.
        if name != "content-length" || value != "0" {
            text.push_str(value.trim());
        }
        text.push('\n');
    }
    let mut own: Vec<(&str, String)> = Vec::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
        if !name.as_str().starts_with("x-ms-") {
            continue;
        }
        match own.iter_mut().find(|(known, _)| *known == name.as_str()) {
            Some((_, values)) => *values = format!("{values},{value}"),
            None => own.push((name.as_str(), value)),
        }
    }
    own.sort();
    for (name, value) in own {
        text.push_str(&format!("{name}:{value}\n"));
    }
    text.push_str(&format!("/{account}{}", parts.uri.path()));
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut query: Vec<(String, Vec<String>)> = Vec::new();
    for pair in parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name).to_ascii_lowercase();
        match query.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(decode(value)),
            None => query.push((name, vec![decode(value)])),
        }
    }
    query.sort();
    for (name, mut values) in query {
        values.sort();
        text.push_str(&format!("\n{name}:{}", values.join(",")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(method: &str, uri: &str, headers: &[(&str, &str)]) -> String {
        let mut request = http::Request::builder().method(method).uri(uri);
        request =
            request.header("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT").header("x-ms-version", VERSION);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let key = STANDARD
            .decode(concat!(
                "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq",
                "/K1SZFPTOtr/KBHBeksoGMGw=="
            ))
            .unwrap();
        let text = string_to_sign(&parts, "devstoreaccount1");
        reqsign_core::hash::base64_hmac_sha256(&key, text.as_bytes())
    }

    #[test]
    fn signatures_with_known_answers() {
        let host = "http://127.0.0.1:10000/devstoreaccount1/c";
        assert_eq!(
            signed("GET", &format!("{host}?restype=container&comp=list&maxresults=2"), &[]),
            "GHR9AyPt9UqSNFZmr5HYab5JCDLXkThx3//T81EourU="
        );
        let headers = [
            ("content-length", "11"),
            ("content-type", "text/plain"),
            ("x-ms-blob-type", "BlockBlob"),
            ("x-ms-meta-a", "1"),
        ];
        assert_eq!(
            signed("PUT", &format!("{host}/a%20b"), &headers),
            "LjwyNp0tYZkxblsbmzeKD7JeFZsHJ892Cn+ukzfa2/A="
        );
    }

    /// The string in Microsoft's "Authorize with Shared Key", "Example: Get container metadata" and "List Blobs".
    #[test]
    fn the_published_strings() {
        let text = |uri: &str, headers: &[(&str, &str)]| {
            let mut request = http::Request::builder().method("GET").uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            string_to_sign(&request.body(()).unwrap().into_parts().0, "myaccount")
        };
        let date = ("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT");
        let uri =
            "https://myaccount.blob.core.windows.net/mycontainer?comp=metadata&restype=container&timeout=20";
        assert_eq!(
            text(uri, &[date, ("x-ms-version", "2015-02-21")]),
            concat!(
                "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n",
                "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
            )
        );
        let uri = "https://myaccount.blob.core.windows.net/c?restype=container&comp=list&include=snapshots&include=metadata&include=uncommittedblobs";
        assert!(
            text(uri, &[date])
                .ends_with("\ncomp:list\ninclude:metadata,snapshots,uncommittedblobs\nrestype:container")
        );
    }

    #[test]
    fn what_the_library_signs_wrongly() {
        let request = http::Request::builder()
            .uri("http://a/c?prefix=&b")
            .header("x-ms-meta-x", HeaderValue::from_bytes("é".as_bytes()).unwrap())
            .header("x-ms-y", "1")
            .header("x-ms-y", "2");
        let text = string_to_sign(&request.body(()).unwrap().into_parts().0, "acc");
        assert!(text.contains("x-ms-meta-x:é\nx-ms-y:1,2\n/acc/c\nb:\nprefix:"), "{text}");
    }
}
