//! Objects in parts that the source states something of: the checksum of the whole, or an ETag that is made of the
//! MD5s of the parts that it was uploaded in. To compare with that one the same parts are moved.

use std::sync::atomic::Ordering;

use conf::job::Verify;
use proto::{ObjectErrorCode, Proof};
use storage::checksum::multipart_etag;
use storage::{Checksums, ErrorKind, PartDone, Side, Stated, retry};

use crate::large::Large;
use crate::multipart::Stopped;
use crate::parts::{obstacle, part_size};
use crate::trip::{Failure, Fetched, Trip};
use crate::verify::{Difference, Ours, Plan, crc_text};

/// After so many objects whose ETag is made in another way no other object is moved in the parts of the source.
const OTHERS: u32 = 3;

impl Trip<'_> {
    /// What the source states of the whole where its answers to ranges do not.
    pub(crate) async fn stated(&self) -> Result<Stated, Failure> {
        if self.mover.job.transfer.verify == Verify::Size {
            return Ok(Stated::default());
        }
        let mut turn = self.turn(Side::Source);
        loop {
            let error = match self.source().stated(&self.entry.key, &self.listed()).await {
                Ok(stated) => return Ok(stated),
                Err(error) => error,
            };
            match turn.failed(error).await {
                Ok(()) => {}
                // What cannot be asked is not stated. Whatever else it means, reading the object tells.
                Err(Failure::Storage { error, .. }) if !retry::is_systemic(error.kind()) => {
                    if error.kind() != ErrorKind::NotFound {
                        tracing::debug!(%error, "the source cannot be asked what it states of the object");
                    }
                    return Ok(Stated::default());
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Bytes of a part: as the source has them where its ETag can be compared so, else as the job says.
    pub(crate) fn part_size(&self, stated: &Stated) -> Result<u64, Failure> {
        let limits = self.mover.destination.limits();
        let (size, budget) = (self.entry.size, self.mover.engine.budget.size());
        // Larger ones would not be in flight together: that costs half the speed, and MD5s that are taken alone.
        let most = limits.part_max.min(budget / u64::from(self.mover.job.transfer.parts_in_flight.max(1)));
        let fits = |part: &u64| {
            (limits.part_min..=most).contains(part) && size.div_ceil(*part) <= u64::from(limits.parts)
        };
        let known = self.mover.other_etags.load(Ordering::Relaxed) < OTHERS;
        if let Some(part) = stated.part.filter(|part| known && fits(part)) {
            return Ok(part);
        }
        self.fitting(size, part_size(size, self.mover.job.transfer.part_size.min(budget), limits))
    }

    /// Before anything is begun: whether an object of this size can be moved in such parts.
    pub(crate) fn fitting(&self, size: u64, part: u64) -> Result<u64, Failure> {
        let budget = self.mover.engine.budget.size();
        let room = if part > budget { crate::memory::room() } else { None };
        match obstacle(size, part, self.mover.destination.limits(), (budget, room)) {
            None => Ok(part),
            Some(text) => Err(Failure::Object { code: ObjectErrorCode::UploadFailed, text }),
        }
    }

    /// The MD5 of a part that the source's ETag is made of, where the destination's answer did not need it.
    pub(crate) async fn md5_for_source(
        &self,
        large: &Large<'_>,
        done: PartDone,
        fetched: &Fetched,
    ) -> PartDone {
        if done.md5.is_some() || !large.in_parts_of_source {
            return done;
        }
        PartDone { md5: Some(fetched.payload.md5_aside().await), ..done }
    }

    /// Before anything becomes visible: whether the source's ETag is the one of the parts that were read. Where it is
    /// not, reading once more tells damaged bytes from an ETag that is made in another way.
    pub(crate) async fn parts_agree(
        &self,
        large: &Large<'_>,
        parts: &[PartDone],
        ours: Ours<'_>,
    ) -> Result<bool, Stopped> {
        let md5s: Option<Vec<[u8; 16]>> = parts.iter().map(|part| part.md5).collect();
        let (Some(etag), Some(md5s), true) = (&large.version.etag, md5s, large.in_parts_of_source) else {
            return Ok(false);
        };
        let made = multipart_etag(md5s);
        if etag.eq_ignore_ascii_case(&made) {
            return Ok(true);
        }
        let Some((crc, value)) = ours.hashes.crcs.first().copied() else { return Ok(false) };
        let again = self.hash_end(Side::Source, &large.version, &Plan::of(crc)).await?;
        if again.crc(crc) == Some(value) {
            self.mover.other_etags.fetch_add(1, Ordering::Relaxed);
            tracing::info!(etag, "the source's ETag is not made of its parts' MD5s: it proves nothing");
            return Ok(false);
        }
        let text = |value| crc_text(crc, value);
        tracing::warn!(first = text(value), second = text(again.crc(crc).unwrap_or_default()), "read twice");
        let check = Proof::EtagMultipart.name();
        let difference = Difference { check, ours: made, theirs: etag.clone(), by_etag: true };
        Err(Stopped::Again(difference.at("source")))
    }
}

/// What is stated of the whole: asked for, or in the answer to a read.
pub(crate) fn whole(stated: &Stated, answered: Checksums) -> Checksums {
    if stated.checksums == Checksums::default() { answered } else { stated.checksums }
}
