//! Bytes that wait to be written: whole, in the chunks in which they came, so that nothing is copied and a
//! write can be repeated.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use md5::Digest as _;

/// Bytes from which on a hash would hold up other connections: a millisecond.
const ASIDE: u64 = 512 << 10;

/// The bytes of a small object or of one part.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    chunks: Vec<Bytes>,
    len: u64,
}

impl Payload {
    /// Of chunks in order.
    pub fn new(mut chunks: Vec<Bytes>) -> Self {
        chunks.retain(|chunk| !chunk.is_empty());
        let len = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Payload { chunks, len }
    }

    /// The chunks in order.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// Bytes in all.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// No bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A CRC of all bytes, in the form of crc-fast.
    pub fn crc(&self, algorithm: CrcAlgorithm) -> u64 {
        let mut digest = Digest::new(algorithm);
        for chunk in &self.chunks {
            digest.update(chunk);
        }
        digest.finalize()
    }

    /// The MD5, taken on a thread that may be busy for long where there are many bytes.
    pub async fn md5_aside(&self) -> [u8; 16] {
        if self.len < ASIDE {
            return self.md5();
        }
        let payload = self.clone();
        // It fails only when the runtime ends.
        tokio::task::spawn_blocking(move || payload.md5()).await.unwrap_or_default()
    }

    /// The SHA-256, likewise.
    pub(crate) async fn sha256_aside(&self) -> [u8; 32] {
        if self.len < ASIDE {
            return self.sha256();
        }
        let payload = self.clone();
        tokio::task::spawn_blocking(move || payload.sha256()).await.unwrap_or_default()
    }

    fn sha256(&self) -> [u8; 32] {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        for chunk in &self.chunks {
            digest.update(chunk);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.finish().as_ref());
        hash
    }

    /// MD5 of all bytes: twenty times as dear as a CRC, so only where nothing better is kept.
    pub fn md5(&self) -> [u8; 16] {
        let mut digest = md5::Md5::new();
        for chunk in &self.chunks {
            digest.update(chunk);
        }
        digest.finalize().into()
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Self {
        Payload::new(vec![Bytes::from_static(text.as_bytes())])
    }
}
