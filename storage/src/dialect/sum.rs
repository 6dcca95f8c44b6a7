//! The checksums that services state of an object: which, under which header, in which form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use http::HeaderMap;

use crate::meta::Checksums;

/// A checksum of an object's bytes.
#[derive(Debug)]
pub(crate) struct Sum {
    pub(crate) algorithm: CrcAlgorithm,
    pub(crate) header: &'static str,
    pub(crate) form: Form,
    /// Sent with the bytes as well, so that the service refuses others.
    pub(crate) sent: bool,
    /// Every write is answered with it; else whether it is has to be found out.
    pub(crate) always: bool,
}

/// How its value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Base64 of the big-endian bytes (Amazon S3).
    Base64,
    /// An unsigned decimal number.
    Decimal,
    /// Either: the service's documents do not say. The one cannot be read as the other.
    Any,
    /// Base64 behind `crc32c=`, among others (Google Cloud Storage, `x-goog-hash`).
    Goog,
}

impl Sum {
    /// What Amazon S3 states (API reference, "Checking object integrity"); the first is asked for.
    pub(crate) const AMAZON: &'static [Sum] = &[
        Sum {
            algorithm: CrcAlgorithm::Crc64Nvme,
            header: "x-amz-checksum-crc64nvme",
            form: Form::Base64,
            sent: true,
            always: false,
        },
        Sum::stated(CrcAlgorithm::Crc32Iscsi, "x-amz-checksum-crc32c", Form::Base64),
        Sum::stated(CrcAlgorithm::Crc32IsoHdlc, "x-amz-checksum-crc32", Form::Base64),
    ];

    /// One that is answered where the service likes.
    pub(crate) const fn stated(algorithm: CrcAlgorithm, header: &'static str, form: Form) -> Sum {
        Sum { algorithm, header, form, sent: false, always: false }
    }

    /// One that is answered to every write.
    pub(crate) const fn always(algorithm: CrcAlgorithm, header: &'static str, form: Form) -> Sum {
        Sum { algorithm, header, form, sent: false, always: true }
    }

    /// What an answer states.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Option<u64> {
        let mut values = headers.get_all(self.header).iter();
        values.find_map(|value| self.read(value.to_str().ok()?))
    }

    /// The value of its text.
    pub(crate) fn read(&self, text: &str) -> Option<u64> {
        match self.form {
            Form::Base64 => self.base64(text),
            Form::Decimal => text.parse().ok(),
            Form::Any => self.base64(text).or_else(|| text.parse().ok()),
            Form::Goog => {
                let find = |pair: &str| self.base64(pair.trim().strip_prefix("crc32c=")?);
                text.split(',').find_map(find)
            }
        }
    }

    /// Its text.
    pub(crate) fn text(&self, value: u64) -> String {
        match self.form {
            Form::Decimal => value.to_string(),
            _ if self.narrow() => STANDARD.encode((value as u32).to_be_bytes()),
            _ => STANDARD.encode(value.to_be_bytes()),
        }
    }

    /// As `x-amz-checksum-algorithm` names it.
    pub(crate) fn name(&self) -> &'static str {
        match self.algorithm {
            CrcAlgorithm::Crc32Iscsi => "CRC32C",
            CrcAlgorithm::Crc32IsoHdlc => "CRC32",
            CrcAlgorithm::Crc64Xz => "CRC64ECMA",
            _ => "CRC64NVME",
        }
    }

    /// Among all that is stated of an object.
    pub(crate) fn put(&self, value: u64, into: &mut Checksums) {
        match self.algorithm {
            CrcAlgorithm::Crc32Iscsi => into.crc32c = u32::try_from(value).ok(),
            CrcAlgorithm::Crc32IsoHdlc => into.crc32 = u32::try_from(value).ok(),
            CrcAlgorithm::Crc64Xz => into.crc64ecma = Some(value),
            _ => into.crc64nvme = Some(value),
        }
    }

    fn narrow(&self) -> bool {
        matches!(self.algorithm, CrcAlgorithm::Crc32Iscsi | CrcAlgorithm::Crc32IsoHdlc)
    }

    fn base64(&self, text: &str) -> Option<u64> {
        let mut bytes = [0; 8];
        let given = STANDARD.decode(text).ok()?;
        let width = if self.narrow() { 4 } else { 8 };
        if given.len() != width {
            return None;
        }
        bytes[8 - width..].copy_from_slice(&given);
        Some(u64::from_be_bytes(bytes))
    }
}
