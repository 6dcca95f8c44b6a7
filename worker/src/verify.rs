//! What is hashed, and what proves an object. Pure; the requests that a proof may need are in `proof`.
//!
//! The plan of hashes is decided here and nowhere else:
//! - One CRC always: the destination's own where it states one on a write, else CRC-64/NVME. It costs next to
//!   nothing (tens of GB/s), combines over parts, and is what a read-back is compared with.
//! - A second CRC where the source states one of another kind.
//! - MD5 (0.6 GB/s, and not to be combined over parts) only where nothing else says as much: the destination
//!   keeps no CRC but its ETag is an MD5 by rule; or the source states an MD5 and no CRC, because `verify =
//!   "checksum"` promises that the source's checksum is compared where it has one; or `record_md5` asks.
//!   A part's is taken when it is written, if its service wants it (`Destination::part`).
//! - Not even then where both ends state the MD5 of a whole object: what the source states goes with the write, which
//!   the destination refuses when it comes to another, and its ETag says what it came to.
//! - With `verify = "size"` only the first CRC and what `record_md5` asks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conf::job::{TransferConf, Verify};
use crc_fast::CrcAlgorithm;
use proto::Proof;
use storage::checksum::{Hasher, Hashes, combine};
use storage::destination::Limits;
use storage::{Checksums, Payload};

/// Which hashes are taken of the bytes while they arrive.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// The first is the one that combines over an upload's parts.
    crcs: Vec<CrcAlgorithm>,
    md5: bool,
}

/// How much of the object one read brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of it.
    Whole,
    /// One part of several.
    Part,
}

/// Our side of a comparison: hashes that were taken, and the bytes where they are still at hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ours<'a> {
    /// Taken while the bytes arrived.
    pub(crate) hashes: &'a Hashes,
    /// All bytes, for a hash that nobody planned.
    pub(crate) payload: Option<&'a Payload>,
}

/// What a comparison says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Both sides agree on this value.
    Same(Proof, String),
    /// They do not.
    Differs(Difference),
    /// Nothing to compare.
    Unknown,
}

/// Two values of one check that differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The check's name.
    pub(crate) check: &'static str,
    /// Of the bytes that were read from the source.
    pub(crate) ours: String,
    /// Stated by the other end.
    pub(crate) theirs: String,
    /// It rests on an ETag, which with some kinds of encryption is no hash at all.
    pub(crate) by_etag: bool,
}

// === impl Plan ===

impl Plan {
    /// See the head of the module.
    pub(crate) fn new(transfer: &TransferConf, limits: &Limits, source: &Checksums, reach: Reach) -> Self {
        let first = upload_crc(limits);
        let whole = reach == Reach::Whole;
        let record = transfer.record_md5 && whole;
        if transfer.verify == Verify::Size {
            return Plan { crcs: vec![first], md5: record };
        }
        let mut crcs = vec![first];
        let states: Vec<CrcAlgorithm> = stated(source).map(|(crc, ..)| crc).collect();
        if let Some(other) = states.first().filter(|_| !states.contains(&first)) {
            crcs.push(*other);
        }
        let for_destination = whole && limits.crc.is_none() && limits.etag_is_md5;
        let for_source = whole && states.is_empty() && source.md5.is_some();
        let between_them = whole && md5_of_both(transfer, limits, source).is_some();
        Plan { crcs, md5: !between_them && (record || for_destination || for_source) }
    }

    /// Only this CRC: for reading back.
    pub(crate) fn of(crc: CrcAlgorithm) -> Self {
        Plan { crcs: vec![crc], md5: false }
    }

    /// What is needed to compare with these: their CRCs, or else their MD5.
    pub(crate) fn stated(checksums: &Checksums) -> Self {
        let crcs: Vec<CrcAlgorithm> = stated(checksums).map(|(crc, ..)| crc).collect();
        Plan { md5: crcs.is_empty() && checksums.md5.is_some(), crcs }
    }

    /// Begins to hash.
    pub(crate) fn hasher(&self) -> Hasher {
        Hasher::new(&self.crcs, self.md5)
    }
}

/// The MD5 of a whole object that the source states and the destination compares with.
pub(crate) fn md5_of_both(transfer: &TransferConf, limits: &Limits, source: &Checksums) -> Option<[u8; 16]> {
    let wanted = limits.etag_is_md5 && !transfer.record_md5 && transfer.verify != Verify::Size;
    source.md5.filter(|_| wanted && stated(source).next().is_none())
}

/// The CRC that an upload's parts are recorded with.
pub(crate) fn upload_crc(limits: &Limits) -> CrcAlgorithm {
    limits.crc.unwrap_or(CrcAlgorithm::Crc64Nvme)
}

/// The hashes of pieces that follow one another: the CRCs that all of them have.
pub(crate) fn join(pieces: &[Hashes]) -> Hashes {
    let kinds = pieces.first().map_or(&[][..], |first| &first.crcs);
    let whole = |crc: CrcAlgorithm| {
        let values: Option<Vec<_>> = pieces.iter().map(|piece| Some((piece.crc(crc)?, piece.size))).collect();
        Some((crc, combine(crc, values?)?))
    };
    Hashes {
        size: pieces.iter().map(|piece| piece.size).sum(),
        crcs: kinds.iter().filter_map(|(crc, _)| whole(*crc)).collect(),
        md5: None,
    }
}

// === impl Ours ===

impl Ours<'_> {
    /// A CRC, where it can be had.
    fn crc(&self, crc: CrcAlgorithm) -> Option<u64> {
        self.hashes.crc(crc).or_else(|| self.payload.map(|payload| payload.crc(crc)))
    }

    /// The MD5, where it can be had.
    pub(crate) fn md5(&self) -> Option<[u8; 16]> {
        self.hashes.md5.or_else(|| self.payload.map(Payload::md5))
    }

    /// Compares with what an end states of its object, the CRCs first.
    pub(crate) fn compare(&self, theirs: &Checksums, etag: Option<&str>) -> Verdict {
        // A kind that was hashed already is better than one that needs the bytes again.
        let hashed = stated(theirs).find(|(crc, ..)| self.hashes.crc(*crc).is_some());
        let any = hashed.or_else(|| stated(theirs).find(|(crc, ..)| self.crc(*crc).is_some()));
        if let Some((crc, proof, value)) = any {
            let ours = self.crc(crc).unwrap_or_default();
            return verdict(proof, crc_text(crc, ours), crc_text(crc, value), false);
        }
        let Some((theirs, ours)) = theirs.md5.and_then(|md5| Some((md5, self.md5()?))) else {
            return Verdict::Unknown;
        };
        let (theirs, ours) = (hex::encode(theirs), hex::encode(ours));
        let by_etag = etag.is_some_and(|etag| etag.eq_ignore_ascii_case(&theirs));
        verdict(if by_etag { Proof::EtagMd5 } else { Proof::ContentMd5 }, ours, theirs, by_etag)
    }
}

fn verdict(proof: Proof, ours: String, theirs: String, by_etag: bool) -> Verdict {
    if ours == theirs {
        Verdict::Same(proof, ours)
    } else {
        Verdict::Differs(Difference { check: proof.name(), ours, theirs, by_etag })
    }
}

/// The CRCs that an end states.
fn stated(checksums: &Checksums) -> impl Iterator<Item = (CrcAlgorithm, Proof, u64)> {
    let Checksums { crc64ecma, crc64nvme, crc32c, crc32, .. } = *checksums;
    [
        crc64nvme.map(|value| (CrcAlgorithm::Crc64Nvme, Proof::Crc64nvme, value)),
        crc64ecma.map(|value| (CrcAlgorithm::Crc64Xz, Proof::Crc64ecma, value)),
        crc32c.map(|value| (CrcAlgorithm::Crc32Iscsi, Proof::Crc32c, u64::from(value))),
        crc32.map(|value| (CrcAlgorithm::Crc32IsoHdlc, Proof::Crc32, u64::from(value))),
    ]
    .into_iter()
    .flatten()
}

/// What an end states, as if it had been hashed here.
pub(crate) fn hashes_of(checksums: &Checksums, size: u64) -> Hashes {
    Hashes { size, crcs: stated(checksums).map(|(crc, _, value)| (crc, value)).collect(), md5: checksums.md5 }
}

/// A CRC as its services write it, so that it can be compared with what their tools show.
pub(crate) fn crc_text(crc: CrcAlgorithm, value: u64) -> String {
    match crc {
        CrcAlgorithm::Crc64Xz => value.to_string(),
        CrcAlgorithm::Crc32Iscsi | CrcAlgorithm::Crc32IsoHdlc => {
            STANDARD.encode((value as u32).to_be_bytes())
        }
        _ => STANDARD.encode(value.to_be_bytes()),
    }
}

#[cfg(test)]
mod tests;
