//! Job configurations hold secrets: they rest sealed under a key that lies in a file of its own (0600).

use std::path::{Path, PathBuf};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::MasterError;
use crate::files;

const KEY_LEN: usize = 32;

/// Seals and opens.
pub(crate) struct Seal {
    path: PathBuf,
    key: LessSafeKey,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(***)")
    }
}

impl Seal {
    /// The key of `path`; a new one is made only where the state is `fresh`: without the old key no sealed
    /// configuration can be opened.
    pub(crate) fn open(path: &Path, fresh: bool) -> Result<Self, MasterError> {
        let damaged = |what: &str| MasterError::Damaged { path: path.into(), what: what.into() };
        let bytes = match files::read(path)? {
            Some(bytes) => bytes,
            None if fresh => {
                let mut bytes = vec![0; KEY_LEN];
                SystemRandom::new()
                    .fill(&mut bytes)
                    .map_err(|_| MasterError::Serve("the system gives no random numbers".into()))?;
                files::write_durable(path, &bytes)?;
                bytes
            }
            None => return Err(damaged("the key that opens the job configurations is missing")),
        };
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| damaged("not a key"))?;
        Ok(Seal { path: path.into(), key: LessSafeKey::new(key) })
    }

    /// Nonce, then the sealed bytes. They open only for the same job.
    pub(crate) fn seal(&self, job: &str, plain: &[u8]) -> Result<Vec<u8>, MasterError> {
        let failed = |_| MasterError::Serve("the configuration cannot be sealed".into());
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(failed)?;
        let mut body = plain.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(job.as_bytes()),
                &mut body,
            )
            .map_err(failed)?;
        Ok([&nonce[..], &body].concat())
    }

    /// Opens what `seal` sealed.
    pub(crate) fn open_sealed(&self, job: &str, sealed: &[u8]) -> Result<Vec<u8>, MasterError> {
        let damaged = || MasterError::Damaged {
            path: self.path.clone(),
            what: format!("it does not open the configuration of {job}"),
        };
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let mut body = body.to_vec();
        let plain = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(job.as_bytes()), &mut body)
            .map_err(|_| damaged())?;
        Ok(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_for_the_same_job_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret.key");
        assert!(Seal::open(&path, false).is_err());
        let sealed = Seal::open(&path, true).unwrap().seal("jobs", b"hunter2").unwrap();
        assert!(!sealed.windows(7).any(|bytes| bytes == b"hunter2"));
        let seal = Seal::open(&path, false).unwrap();
        assert_eq!(seal.open_sealed("jobs", &sealed).unwrap(), b"hunter2");
        assert!(seal.open_sealed("other", &sealed).is_err());
        std::fs::write(&path, [0; 32]).unwrap();
        assert!(Seal::open(&path, false).unwrap().open_sealed("jobs", &sealed).is_err());
    }
}
