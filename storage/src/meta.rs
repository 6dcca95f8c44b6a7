//! What is known of an object beside its bytes.

/// One object at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectMeta {
    /// Bytes of the whole object, also in the answer to a ranged read.
    pub size: u64,
    /// Last modified, Unix milliseconds.
    pub modified_ms: Option<i64>,
    /// Without quotes, in the letter case of the service.
    pub etag: Option<String>,
    /// Storage class or object type where it is not the plain one.
    pub class: Option<String>,
    /// What travels with it.
    pub headers: Headers,
    /// What the service states of the whole object's bytes.
    pub checksums: Checksums,
    /// What the service has of it and does not tell, as notes (see `fidelity`); empty: it tells all.
    pub kept_back: Vec<String>,
}

/// Content headers and user metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`; the bytes travel as stored, never decoded.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Expires`.
    pub expires: Option<String>,
    /// User metadata: names in lower case without the provider's prefix, values as text; sorted by name.
    pub user: Vec<(String, String)>,
}

/// Checksums of a whole object's bytes, as a service states them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checksums {
    /// CRC-64/XZ ("ECMA" at the vendors).
    pub crc64ecma: Option<u64>,
    /// CRC-64/NVME of the full object.
    pub crc64nvme: Option<u64>,
    /// CRC-32C of the full object.
    pub crc32c: Option<u32>,
    /// CRC-32 of the full object.
    pub crc32: Option<u32>,
    /// MD5, where it is known to be one (an ETag by the service's rule, or Content-MD5).
    pub md5: Option<[u8; 16]>,
    /// The MD5 is what the object's writer claimed: the service keeps it, and need not have compared it with the bytes.
    /// It proves nothing of them, but bytes that fit it are those that the writer had.
    pub claimed: bool,
}

impl Checksums {
    /// What the service itself vouches for.
    #[must_use]
    pub fn vouched(self) -> Self {
        Checksums { md5: self.md5.filter(|_| !self.claimed), claimed: false, ..self }
    }
}

/// Which version of an object is meant: what was listed. Reads are conditional on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    /// Bytes.
    pub size: u64,
    /// Last modified, Unix milliseconds; compared at one second.
    pub modified_ms: Option<i64>,
    /// Without quotes.
    pub etag: Option<String>,
}

impl Version {
    /// One line that differs when the version does; for the record of an unfinished upload.
    pub fn to_line(&self) -> String {
        let etag = self.etag.as_deref().unwrap_or("-");
        format!("{} {} {etag}", self.size, self.modified_ms.map_or(0, |ms| ms.div_euclid(1000)))
    }
}
