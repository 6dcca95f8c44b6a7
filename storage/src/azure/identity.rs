//! Tokens for who runs on a machine of the cloud: a managed identity, a workload of a cluster, or a service
//! principal of the environment. In the order and by the variables of Microsoft's own libraries
//! ("DefaultAzureCredential", "How to use managed identities on a VM to acquire an access token").

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri};
use serde::Deserialize;

use super::auth::Unsigned;
use crate::error::ErrorKind;
use crate::http::Http;
use crate::meter::Meter;
use crate::payload::Payload;
use crate::s3::encode;

/// What the token is for.
const RESOURCE: &str = "https://storage.azure.com/";
/// The metadata service of a virtual machine, unless the environment names another one.
const MACHINE: &str = "http://169.254.169.254";
/// The metadata service is near, or there is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// A token is exchanged so long before its end.
const EARLY: u64 = 300;
/// Where the answer does not say its end.
const LIFE: u64 = 600;

/// Asks for tokens.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// Made when it is needed: most jobs name their keys.
    http: OnceLock<Result<Http, String>>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    /// Seconds; a text at the metadata service, a number at the authority.
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl Identity {
    /// A token, and for how long it may be used; what is known of identities, the variables of this environment
    /// say.
    pub(super) async fn token_from(
        &self,
        environment: &(dyn Fn(&str) -> Option<String> + Send + Sync),
    ) -> Result<(String, Duration), Unsigned> {
        let say = |name: &str| environment(name).filter(|value| !value.is_empty());
        let tenant = say("AZURE_TENANT_ID").zip(say("AZURE_CLIENT_ID"));
        let authority = say("AZURE_AUTHORITY_HOST").unwrap_or("https://login.microsoftonline.com".into());
        if let Some((tenant, client)) = &tenant {
            let proof = match (say("AZURE_CLIENT_SECRET"), say("AZURE_FEDERATED_TOKEN_FILE")) {
                (Some(secret), _) => Some(vec![("client_secret", secret)]),
                (None, Some(file)) => {
                    let token = tokio::fs::read_to_string(&file).await.map_err(|error| Unsigned {
                        kind: ErrorKind::BadCredentials,
                        text: format!("AZURE_FEDERATED_TOKEN_FILE: cannot read {file}: {error}"),
                    })?;
                    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned();
                    Some(vec![("client_assertion_type", kind), ("client_assertion", token.trim().to_owned())])
                }
                (None, None) => None,
            };
            if let Some(proof) = proof {
                let mut form = vec![
                    ("grant_type", "client_credentials".to_owned()),
                    ("client_id", client.clone()),
                    ("scope", format!("{RESOURCE}.default")),
                ];
                form.extend(proof);
                let uri = format!("{}/{tenant}/oauth2/v2.0/token", authority.trim_end_matches('/'));
                let request = Request::builder().method(Method::POST).uri(uri);
                let request = request.header("content-type", "application/x-www-form-urlencoded");
                return self.ask(request, pairs(&form), "the service principal of the environment").await;
            }
        }
        let client = say("AZURE_CLIENT_ID").map(|client| ("client_id", client));
        let (base, version, header) = match (say("IDENTITY_ENDPOINT"), say("IDENTITY_HEADER")) {
            // App Service, Functions, Container Apps.
            (Some(endpoint), Some(header)) => (endpoint, "2019-08-01", ("x-identity-header", header)),
            _ => {
                let host = say("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or(MACHINE.into());
                let base = format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/'));
                (base, "2018-02-01", ("metadata", "true".to_owned()))
            }
        };
        let mut query = vec![("api-version", version.to_owned()), ("resource", RESOURCE.to_owned())];
        query.extend(client);
        let request = Request::builder().uri(format!("{base}?{}", pairs(&query))).header(header.0, header.1);
        self.ask(request, String::new(), "the identity of this machine").await
    }

    async fn ask(
        &self,
        request: http::request::Builder,
        form: String,
        who: &str,
    ) -> Result<(String, Duration), Unsigned> {
        let failed = |kind: ErrorKind, why: String| {
            let text = format!(
                "no keys are set, and {who} gave no token ({why}): set access_key and secret_key, sas_token or \
                 connection_string, or anonymous = true for a public container"
            );
            Unsigned { kind, text }
        };
        let body = Bytes::from(form);
        let request = request.header("content-length", body.len()).body(());
        let (parts, ()) =
            request.map_err(|error| failed(ErrorKind::BadCredentials, error.to_string()))?.into_parts();
        let http = self.client().as_ref().map_err(|why| failed(ErrorKind::BadCredentials, why.clone()))?;
        // On a machine without identities nobody answers: asking again does not help.
        let sent = http.send(parts, Payload::new(vec![body]), 1).await;
        let (head, body) =
            sent.map_err(|failure| failed(ErrorKind::BadCredentials, failure.text))?.into_parts();
        let body = http
            .collect(body, 1 << 20)
            .await
            .map_err(|failure| failed(ErrorKind::CredentialsExpired, failure.text))?;
        if !head.status.is_success() {
            let passes = head.status.is_server_error() || head.status.as_u16() == 429;
            let kind = if passes { ErrorKind::CredentialsExpired } else { ErrorKind::BadCredentials };
            let said: String = String::from_utf8_lossy(&body).chars().take(300).collect();
            return Err(failed(kind, format!("HTTP {}: {said}", head.status)));
        }
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| failed(ErrorKind::CredentialsExpired, "its answer is not JSON".into()))?;
        let life = match &answer.expires_in {
            serde_json::Value::Number(seconds) => seconds.as_u64(),
            serde_json::Value::String(seconds) => seconds.parse().ok(),
            _ => None,
        };
        let life = life.unwrap_or(LIFE);
        Ok((answer.access_token, Duration::from_secs(life.saturating_sub(EARLY).max(life.min(30)))))
    }

    /// Not the endpoint's client: its proxy and its CA file have nothing to do with the metadata service.
    fn client(&self) -> &Result<Http, String> {
        let open = |target| Http::new(&Uri::from_static(target), None, "", PATIENCE, Meter::unlimited());
        // A host without CA certificates can still ask its metadata service.
        self.http.get_or_init(|| open("https://metadata/").or_else(|_| open("http://metadata/")))
    }
}

fn pairs(pairs: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        encode(&mut text, value.as_bytes(), false);
    }
    text
}
