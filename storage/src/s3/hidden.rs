//! What a request carried that nobody may read in an error: services, proxies and debugging servers say back
//! what they were sent, and errors end in logs, reports and tickets.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conf::Endpoint;
use http::{HeaderMap, HeaderValue};

use super::request::encode;

/// Shorter ones are no secrets, and would make holes into every text.
const SHORTEST: usize = 6;

/// Headers that prove who sent a request.
const HEADERS: [&str; 5] = [
    "authorization",
    "proxy-authorization",
    "x-amz-security-token",
    "x-oss-security-token",
    "x-cos-security-token",
];

/// What one request was sent with, from the moment when it is signed. Its secrets are spelt out when there is an
/// error, which is rare.
#[derive(Clone, Default)]
pub(crate) struct Hidden(Arc<Mutex<Option<Sent>>>);

struct Sent {
    /// Of [`HEADERS`].
    values: Vec<HeaderValue>,
    endpoint: Arc<Endpoint>,
}

impl Hidden {
    /// Those of a request that is about to be sent.
    pub(crate) fn keep(&self, headers: &HeaderMap, endpoint: &Arc<Endpoint>) {
        let values = HEADERS.iter().flat_map(|name| headers.get_all(*name)).cloned().collect();
        let sent = Sent { values, endpoint: endpoint.clone() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent);
    }

    /// The text without them.
    pub(crate) fn out_of(&self, text: impl Into<String>) -> String {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets = sent.as_ref().map(Sent::secrets).unwrap_or_default();
        secrets.iter().fold(text.into(), |text, secret| {
            if text.contains(secret) { text.replace(secret, "***") } else { text }
        })
    }
}

impl Sent {
    /// In all forms in which somebody may say them back.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for value in &self.values {
            let Ok(value) = value.to_str() else { continue };
            // The signature alone, which is what counts.
            secrets.extend(value.rsplit(['=', ':', ' ']).next().map(str::to_owned));
            secrets.push(value.to_owned());
        }
        let Endpoint { secret_key, session_token, sas_token, connection_string, .. } = &*self.endpoint;
        let pieces =
            |text: String| [text.split(['&', ';', '?']).map(str::to_owned).collect(), vec![text]].concat();
        let given = [secret_key, session_token].into_iter().filter_map(|secret| secret.reveal().ok());
        let composed = [sas_token, connection_string].into_iter().filter_map(|secret| secret.reveal().ok());
        // Of a signature or a connection string, what stands behind `sig=`, `AccountKey=`.
        let telling = |piece: &String| piece.starts_with("sig=") || piece.starts_with("AccountKey=");
        let parts = composed.clone().flat_map(pieces).filter(telling);
        let values = parts.filter_map(|piece| piece.split_once('=').map(|(_, value)| value.to_owned()));
        let plain = |value: String| {
            let decoded = percent_encoding::percent_decode_str(&value).decode_utf8_lossy().into_owned();
            [value, decoded]
        };
        for secret in given.chain(composed).chain(values.flat_map(plain)) {
            let mut encoded = String::new();
            encode(&mut encoded, secret.as_bytes(), false);
            secrets.extend([STANDARD.encode(&secret), encoded, secret]);
        }
        secrets.retain(|secret| secret.len() >= SHORTEST);
        // The longest first: a shorter one may be a part of it.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use conf::Secret;

    use super::*;

    #[test]
    fn a_text_that_says_a_request_back_says_nothing_that_opens_doors() {
        let endpoint = Endpoint {
            secret_key: Secret::Literal("a/secret+key".into()),
            session_token: Secret::Literal("tok".into()),
            ..Endpoint::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "OSS AKID:c2lnbmF0dXJl".parse().unwrap());
        headers.insert("x-oss-security-token", "sessiontoken".parse().unwrap());
        let hidden = Hidden::default();
        hidden.keep(&headers, &Arc::new(endpoint));
        let said =
            "OSS AKID:c2lnbmF0dXJl, c2lnbmF0dXJl, sessiontoken, a%2Fsecret%2Bkey, YS9zZWNyZXQra2V5, token";
        assert_eq!(hidden.out_of(said), "***, ***, ***, ***, ***, token");
        assert_eq!(format!("{hidden:?}"), "***");
    }
}
