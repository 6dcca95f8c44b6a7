//! Checksums: what a request states is compared, and what the service states is made, in the vendor's form.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use http::Response;
use http::request::Parts;
use md5::{Digest, Md5};
use sha1::Sha1;

use super::Dialect;
use super::body::Received;
use super::object::header;
use super::reply::{Failure, Outgoing, set};
use super::rules::{Etag, Sum};
use super::state::Object;

/// The checksums of S3 that this server knows.
const SUMS: [(&str, CrcAlgorithm); 3] = [
    ("x-amz-checksum-crc64nvme", CrcAlgorithm::Crc64Nvme),
    ("x-amz-checksum-crc32c", CrcAlgorithm::Crc32Iscsi),
    ("x-amz-checksum-crc32", CrcAlgorithm::Crc32IsoHdlc),
];

/// `Content-MD5` has to fit the body.
pub(crate) fn check_digest(parts: &Parts, data: &Bytes) -> Result<(), Failure> {
    let Some(given) = header(parts, "content-md5") else { return Ok(()) };
    let Some(given) = STANDARD.decode(&given).ok().filter(|raw| raw.len() == 16) else {
        return Err(Failure::new(400, "InvalidDigest", "The Content-MD5 you specified is not valid."));
    };
    if given[..] == Md5::digest(data)[..] {
        return Ok(());
    }
    Err(Failure::new(400, "BadDigest", "The Content-MD5 you specified did not match what we received."))
}

/// Checksum headers that the vendor takes, and the trailing ones: a wrong one is refused. Answers what was checked.
pub(crate) fn check_sums(
    dialect: Dialect,
    parts: &Parts,
    body: &Received,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut checked = Vec::new();
    let rules = dialect.rules();
    let known = |name: &str| rules.trailers || rules.sum.is_some_and(|sum| sum.header == name);
    for (name, algorithm) in SUMS.into_iter().filter(|(name, _)| known(name)) {
        let trailer = body.trailers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let Some(given) = header(parts, name).or(trailer) else { continue };
        let wanted = sum_text(algorithm, checksum(algorithm, &body.data));
        if given != wanted {
            return Err(Failure::new(
                400,
                "BadDigest",
                &format!("The {name} you specified did not match what we received."),
            ));
        }
        checked.push((name, wanted));
    }
    let sha = header(parts, "x-amz-content-sha256")
        .filter(|sha| sha.len() == 64 && !parts.method.as_str().is_empty());
    if sha.is_some_and(|sha| sha != hex::encode(sha2::Sha256::digest(&body.data))) {
        return Err(Failure::new(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ));
    }
    Ok(checked)
}

/// As S3 writes it: base64 of the big-endian bytes.
pub(crate) fn sum_text(algorithm: CrcAlgorithm, value: u64) -> String {
    match algorithm {
        CrcAlgorithm::Crc64Nvme => STANDARD.encode(value.to_be_bytes()),
        _ => STANDARD.encode((value as u32).to_be_bytes()),
    }
}

impl Sum {
    /// The value of these bytes, as the vendor writes it.
    pub(crate) fn of(&self, data: &[u8]) -> String {
        let value = checksum(self.algorithm, data);
        if self.decimal { value.to_string() } else { sum_text(self.algorithm, value) }
    }
}

/// The ETag of an object in one piece.
pub(crate) fn etag(dialect: Dialect, data: &[u8]) -> String {
    match dialect.rules().etag {
        Etag::Md5 => hex::encode(Md5::digest(data)),
        Etag::UpperMd5 => hex::encode_upper(Md5::digest(data)),
        Etag::Qetag => qetag(data),
    }
}

/// Qiniu's hash: the SHA-1 of the bytes, or of the SHA-1s of blocks of 4 MiB (Kodo documentation, "qetag").
pub(crate) fn qetag(data: &[u8]) -> String {
    let blocks: Vec<Vec<u8>> = data.chunks(4 << 20).map(|block| Sha1::digest(block).to_vec()).collect();
    let (kind, sum) = match &blocks[..] {
        [] => (0x16, Sha1::digest(b"").to_vec()),
        [one] => (0x16, one.clone()),
        many => (0x96, Sha1::digest(many.concat()).to_vec()),
    };
    URL_SAFE.encode([vec![kind], sum].concat())
}

/// What the service states of an object's bytes; `asked`: the request is a write, or asks for it.
pub(crate) fn state_sums(response: &mut Response<Outgoing>, dialect: Dialect, object: &Object, asked: bool) {
    let Some(sum) = dialect.rules().sum.filter(|sum| asked || !sum.asked) else { return };
    if object.without_checksum {
        return;
    }
    set(response, sum.header, &sum.of(&object.data));
    if dialect == Dialect::S3 {
        set(response, "x-amz-checksum-type", "FULL_OBJECT");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kodo documentation, "qetag", and the SDKs' own tests.
    #[test]
    fn qetags_are_those_of_the_vendor() {
        assert_eq!(qetag(b""), "Fto5o-5ea0sNMlW_75VgGJCv2AcJ");
        assert_eq!(qetag(b"123456789"), "FvfDvB2AjgRzKt9nmWXMw0ynrjRB");
        assert_eq!(qetag(&vec![0; (4 << 20) + 1]), "lhCFgki5yzon0rjN9uJusf6qtsF6");
    }

    #[test]
    fn checksums_are_written_as_each_vendor_writes_them() {
        let of = |dialect: Dialect| dialect.rules().sum.map(|sum| sum.of(b"123456789"));
        let decimal = Some("11051210869376104954".to_owned());
        assert_eq!([of(Dialect::Oss), of(Dialect::Cos), of(Dialect::Ks3)], [(); 3].map(|()| decimal.clone()));
        assert_eq!(of(Dialect::S3).as_deref(), Some("rosUhgp5mIg="));
        assert_eq!(of(Dialect::Bos).as_deref(), Some("y/Q5Jg=="));
        assert_eq!(of(Dialect::Qiniu), None);
    }
}
