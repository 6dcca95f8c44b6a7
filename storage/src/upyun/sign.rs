//! The operator's signature (UPYUN, "Authorization"): HMAC-SHA1 with the MD5 of the password over method, path, date
//! and Content-MD5, joined by `&`; parts that are not there drop out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conf::{Endpoint, Secret};
use md5::{Digest, Md5};
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};

/// Files with keys are read again this often.
const FILE_LIFE: Duration = Duration::from_secs(300);

/// Who signs.
pub(super) struct Operator {
    name: String,
    password_md5: String,
}

/// The operator of an endpoint, read from where its keys are.
pub(super) struct Keys {
    endpoint: Arc<Endpoint>,
    kept: Mutex<Option<(Instant, Arc<Operator>)>>,
}

// === impl Operator ===

impl Operator {
    pub(super) fn new(name: &str, password: &str) -> Self {
        Operator { name: name.to_owned(), password_md5: hex::encode(Md5::digest(password)) }
    }

    /// The header's value. `path` as it is sent, `content_md5` as 32 hex digits or empty.
    pub(super) fn authorization(&self, method: &str, path: &str, date: &str, content_md5: &str) -> String {
        let mut text = format!("{method}&{path}&{date}");
        if !content_md5.is_empty() {
            text = format!("{text}&{content_md5}");
        }
        let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.password_md5.as_bytes());
        let signature = STANDARD.encode(sign(&key, text.as_bytes()));
        format!("UPYUN {}:{signature}", self.name)
    }
}

// === impl Keys ===

impl Keys {
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        Keys { endpoint, kept: Mutex::default() }
    }

    /// As it is now.
    pub(super) fn operator(&self) -> Result<Arc<Operator>, String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, operator)) = &*kept
            && (since.elapsed() < FILE_LIFE || !self.renewable())
        {
            return Ok(operator.clone());
        }
        let reveal = |secret: &Secret| secret.reveal().map_err(|error| error.to_string());
        let (name, password) = (reveal(&self.endpoint.access_key)?, reveal(&self.endpoint.secret_key)?);
        if name.is_empty() || password.is_empty() {
            return Err(
                "no operator is set: access_key is the operator's name, secret_key the password".into()
            );
        }
        let operator = Arc::new(Operator::new(&name, &password));
        *kept = Some((Instant::now(), operator.clone()));
        Ok(operator)
    }

    /// Reading the keys again may give others.
    pub(super) fn renewable(&self) -> bool {
        let Endpoint { access_key, secret_key, .. } = &*self.endpoint;
        [access_key, secret_key].iter().any(|secret| matches!(secret, Secret::File(_)))
    }

    /// The next request reads them where they come from.
    pub(super) fn forget(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_documentation() {
        let operator = Operator::new("operator123", "password123");
        assert_eq!(operator.password_md5, "482c811da5d5b4bc6d497ffa98491e38");
        let date = "Wed, 09 Nov 2016 14:26:58 GMT";
        let md5 = "7ac66c0f148de9519b8bd264312c4d64";
        assert_eq!(
            operator.authorization("PUT", "/upyun-temp/demo.jpg", date, md5),
            "UPYUN operator123:YUaAZX+WNAcJdNGHS5SBlITME5A="
        );
    }

    #[test]
    fn keys_in_files_are_read_again_when_they_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "first\n").unwrap();
        let endpoint = Endpoint {
            access_key: Secret::Literal("operator".into()),
            secret_key: Secret::File(file.path().to_owned()),
            ..Endpoint::default()
        };
        let keys = Keys::new(Arc::new(endpoint));
        let now = |keys: &Keys| keys.operator().unwrap().authorization("GET", "/b/", "", "");
        let first = now(&keys);
        std::fs::write(file.path(), "second\n").unwrap();
        assert_eq!(now(&keys), first);
        keys.forget();
        assert_ne!(now(&keys), first);
        assert!(keys.renewable());
        assert_eq!(format!("{keys:?}"), "***");
    }

    #[test]
    fn without_an_operator_nothing_is_signed() {
        let keys = Keys::new(Arc::new(Endpoint::default()));
        assert!(keys.operator().is_err_and(|why| why.contains("access_key")));
    }
}
