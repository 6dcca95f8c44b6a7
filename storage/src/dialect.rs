//! What differs between the services that speak (almost) S3: one descriptor each, every field with its source.

mod bos;
mod codes;
mod cos;
mod ks3;
mod oss;
mod providers;
mod qiniu;
mod s3;
mod sum;

use proto::ObjectKey;

use crate::destination::Limits;
use crate::error::ErrorKind;

pub(crate) use bos::BOS;
pub(crate) use cos::COS;
pub(crate) use ks3::KS3;
pub(crate) use oss::OSS;
pub(crate) use providers::provider;
pub(crate) use qiniu::QINIU;
pub(crate) use s3::S3;
pub(crate) use sum::{Form, Sum};

/// One service's rules.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// For messages.
    pub(crate) name: &'static str,
    pub(crate) scheme: Scheme,
    /// Of the headers that are sent: `x-amz-`, `x-oss-`.
    pub(crate) prefix: &'static str,
    /// Another prefix of headers that are answered; empty: none.
    pub(crate) also: &'static str,
    /// The checksums that it states. The first is the one that a write is proved with; none: ETags have to do.
    pub(crate) sums: &'static [Sum],
    /// Also in the answer to a read of a range, for the whole object. Amazon states the checksum of a part there, where
    /// the range is one, and else none ("Checking object integrity", part-level checksums).
    pub(crate) sums_with_ranges: bool,
    /// Sent with a read, so that the bytes come as they are stored: with `identity`, or, where a service unpacks what
    /// the reader does not say to understand, with `gzip`.
    pub(crate) accept_encoding: &'static str,
    /// Sent with a read, so that ranges and checksums are as expected.
    pub(crate) read_headers: &'static [(&'static str, &'static str)],
    pub(crate) listing: Listing,
    /// The signature holds the SHA-256 of the body (AWS V4), which the service compares; else it holds none.
    pub(crate) signs_body: bool,
    /// Where nobody says where the bucket stands: in the path.
    pub(crate) path_style: bool,
    /// Forbids to write over an object; `None`: the service has no such header.
    pub(crate) no_overwrite: Option<(&'static str, &'static str)>,
    /// Names the key of the key service that encrypts; empty: it has none.
    pub(crate) kms_key: &'static str,
    /// What is wrong with a key, if anything.
    pub(crate) name_rule: fn(&ObjectKey) -> Result<(), String>,
    /// The same for keys below a prefix, where the begin is the prefix's.
    pub(crate) name_rule_below: fn(&ObjectKey) -> Result<(), String>,
    pub(crate) single_put: u64,
    pub(crate) part_min: u64,
    pub(crate) part_max: u64,
    /// The ETag of a single PUT is the MD5 of its bytes.
    pub(crate) etag_is_md5: bool,
    /// The ETag of a multipart upload is the MD5 of the parts' MD5s.
    pub(crate) etag_is_md5_of_parts: bool,
    /// Service codes and their kinds; the vendor's words beside each.
    pub(crate) codes: &'static [(&'static str, ErrorKind)],
}

/// How requests are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    AwsV4,
    Oss,
    Cos,
}

/// How a bucket is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listing {
    /// It has version 1 alone: `marker` instead of `start-after` and `continuation-token`.
    pub(crate) v1: bool,
    pub(crate) encoding: Encoding,
    /// The continuation token is encoded like the keys.
    pub(crate) token_encoded: bool,
}

/// `encoding-type=url`, without which XML cannot carry every key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Asked for, and done as the answer says.
    Honest,
    /// Asked for; whether the answer tells the truth is found out.
    Unsure,
    /// The service does not have it: keys come as they are.
    Without,
}

impl Dialect {
    /// What its destinations can hold.
    pub(crate) fn limits(&self, crc: bool, plain: bool, below: bool) -> Limits {
        Limits {
            crc: self.sum().filter(|_| crc).map(|sum| sum.algorithm),
            etag_is_md5: plain && self.etag_is_md5,
            etag_is_md5_of_parts: plain && self.etag_is_md5_of_parts,
            single_put: self.single_put,
            part_min: self.part_min,
            part_max: self.part_max,
            parts: 10_000,
            needs_length: false,
            name: if below { self.name_rule_below } else { self.name_rule },
        }
    }

    /// The checksum that a write is proved with.
    pub(crate) fn sum(&self) -> Option<&'static Sum> {
        self.sums.first()
    }

    /// The same, where it is sent with the bytes, so that the service refuses others.
    pub(crate) fn sent_sum(&self) -> Option<&'static Sum> {
        self.sum().filter(|sum| sum.sent)
    }

    /// Every write is answered with the checksum: there is nothing to find out.
    pub(crate) fn always_states(&self) -> bool {
        self.sum().is_some_and(|sum| sum.always)
    }

    /// The kind of a service code, from this dialect's table, then from the one that all share.
    pub(crate) fn kind_of(&self, code: &str) -> Option<ErrorKind> {
        let find =
            |table: &[(&str, ErrorKind)]| table.iter().find(|(name, _)| *name == code).map(|(_, kind)| *kind);
        // The vendors' lists do not all have their word for it: `SecurityTokenExpired`, `SessionTokenExpired`.
        let expired = code.contains("Token") && code.contains("Expired");
        let expired = expired.then_some(ErrorKind::CredentialsExpired);
        find(self.codes).or_else(|| find(codes::SHARED)).or(expired)
    }
}

fn text_up_to(key: &ObjectKey, most: usize) -> Result<(), String> {
    match key.to_str() {
        None => Err("the key is not UTF-8".into()),
        Some(text) if text.len() > most => Err(format!("the key is longer than {most} bytes")),
        Some(_) => Ok(()),
    }
}

/// At least one byte, and at most so many.
fn some_text_up_to(key: &ObjectKey, most: usize) -> Result<(), String> {
    if key.as_bytes().is_empty() { Err("the key is empty".into()) } else { text_up_to(key, most) }
}

#[cfg(test)]
mod tests;
