//! An audit job: compares what stands at both ends and moves nothing.
//!
//! Checksums that both ends state are enough. Where they have none in common, the source is read and hashed
//! with what the destination states; where the destination states nothing, or with `verify = "full"`, both
//! ends are read.

use conf::job::Verify;
use proto::manifest::{Entry, Existing};
use proto::{ObjectErrorCode, Proof};
use storage::checksum::Hashes;
use storage::{Checksums, ErrorKind, ObjectMeta, Side, Version};

use crate::trip::{Done, Failure, Trip};
use crate::unknown::known;
use crate::verify::{Difference, Ours, Plan, Verdict, crc_text, hashes_of, upload_crc};

impl Trip<'_> {
    /// Is the object at the destination the one at the source?
    pub(crate) async fn audit(&self) -> Result<Done, Failure> {
        let verify = self.mover.job.transfer.verify;
        match &self.entry.existing {
            Existing::Absent => return Err(absent()),
            Existing::Present { size, .. } if *size != self.entry.size => return Err(self.sizes(*size)),
            Existing::Present { .. } if verify == Verify::Size => {
                return Ok(self.agreed(Proof::Size, String::new(), false));
            }
            Existing::Present { .. } | Existing::Unknown => {}
        }
        let there = match self.head_destination().await {
            Ok(meta) if meta.size != self.entry.size => return Err(self.sizes(meta.size)),
            Ok(meta) => meta,
            Err(Failure::Storage { error, .. }) if error.kind() == ErrorKind::NotFound => {
                return Err(absent());
            }
            Err(failure) => return Err(failure),
        };
        match verify {
            Verify::Size => Ok(self.agreed(Proof::Size, String::new(), false)),
            Verify::Checksum => self.audit_stated(&there).await,
            Verify::Full => self.audit_both(&there).await,
        }
    }

    /// The same where nothing is known of the source's object before it is asked for, or even read.
    pub(crate) async fn audit_unknown(&self) -> Result<Done, Failure> {
        if let Some(meta) = self.look_at_source().await? {
            let known = known(self.entry, &meta);
            return Trip { entry: &known, ..*self }.audit().await;
        }
        let there = match self.head_destination().await {
            Ok(meta) => meta,
            Err(Failure::Storage { error, .. }) if error.kind() == ErrorKind::NotFound => {
                return Err(absent());
            }
            Err(failure) => return Err(failure),
        };
        let any = there.checksums == Checksums::default();
        let crc = upload_crc(self.mover.destination.limits());
        let plan = if any { Plan::of(crc) } else { Plan::stated(&there.checksums) };
        let here = self.hash_end(Side::Source, &Version::default(), &plan).await?;
        let known = Entry { size: here.size, size_unknown: false, ..self.entry.clone() };
        let trip = Trip { entry: &known, ..*self };
        if here.size != there.size {
            return Err(trip.sizes(there.size));
        }
        let ours = Ours { hashes: &here, payload: None };
        match ours.compare(&there.checksums, there.etag.as_deref()) {
            Verdict::Same(proof, value) => Ok(trip.agreed(proof, value, false)),
            Verdict::Differs(difference) if !difference.by_etag => Err(apart(&difference)),
            Verdict::Differs(_) | Verdict::Unknown => trip.audit_both(&there).await,
        }
    }

    /// By what both ends state.
    async fn audit_stated(&self, there: &ObjectMeta) -> Result<Done, Failure> {
        let here = self.head_source().await?;
        self.still_listed(&here)?;
        // A writer's word at both ends says nothing of the bytes.
        let hashes = hashes_of(&here.checksums.vouched(), here.size);
        let ours = Ours { hashes: &hashes, payload: None };
        match ours.compare(&there.checksums, there.etag.as_deref()) {
            Verdict::Same(proof, value) => Ok(self.agreed(proof, value, true)),
            Verdict::Differs(difference) if !difference.by_etag => Err(apart(&difference)),
            Verdict::Differs(_) => self.audit_both(there).await,
            Verdict::Unknown if there.checksums != Checksums::default() => self.audit_source(there).await,
            Verdict::Unknown => self.audit_both(there).await,
        }
    }

    /// The source's bytes against what the destination states.
    async fn audit_source(&self, there: &ObjectMeta) -> Result<Done, Failure> {
        let hashes = self.hash_end(Side::Source, &self.listed(), &Plan::stated(&there.checksums)).await?;
        self.all_of_it(&hashes)?;
        let ours = Ours { hashes: &hashes, payload: None };
        match ours.compare(&there.checksums, there.etag.as_deref()) {
            Verdict::Same(proof, value) => Ok(self.agreed(proof, value, false)),
            Verdict::Differs(difference) if !difference.by_etag => Err(apart(&difference)),
            Verdict::Differs(_) | Verdict::Unknown => self.audit_both(there).await,
        }
    }

    /// The bytes of both ends.
    async fn audit_both(&self, there: &ObjectMeta) -> Result<Done, Failure> {
        let crc = upload_crc(self.mover.destination.limits());
        let version = Version { size: there.size, modified_ms: there.modified_ms, etag: there.etag.clone() };
        let here = self.hash_end(Side::Source, &self.listed(), &Plan::of(crc)).await?;
        self.all_of_it(&here)?;
        let there = self.hash_end(Side::Destination, &version, &Plan::of(crc)).await?;
        let text = |hashes: &Hashes| crc_text(crc, hashes.crc(crc).unwrap_or_default());
        if there == here {
            return Ok(self.agreed(Proof::Readback, text(&here), false));
        }
        let (ours, theirs) = (text(&here), text(&there));
        Err(apart(&Difference { check: Proof::Readback.name(), ours, theirs, by_etag: false }))
    }

    fn still_listed(&self, here: &ObjectMeta) -> Result<(), Failure> {
        let listed = self.entry;
        let etag_changed = match (&listed.etag, &here.etag) {
            (Some(listed), Some(here)) => !listed.eq_ignore_ascii_case(here),
            _ => false,
        };
        if here.size == listed.size && !etag_changed {
            return Ok(());
        }
        let text =
            format!("it was changed since it was listed ({} bytes then, {} now)", listed.size, here.size);
        Err(Failure::Object { code: ObjectErrorCode::SourceChanged, text })
    }

    fn all_of_it(&self, read: &Hashes) -> Result<(), Failure> {
        if read.size == self.entry.size {
            return Ok(());
        }
        let text = format!("listed with {} bytes, {} came", self.entry.size, read.size);
        Err(Failure::Object { code: ObjectErrorCode::SizeNotMatch, text })
    }

    fn sizes(&self, there: u64) -> Failure {
        let text = format!("{} bytes at the source, {there} at the destination", self.entry.size);
        Failure::Object { code: ObjectErrorCode::SizeNotMatch, text }
    }

    fn agreed(&self, proof: Proof, value: String, source_proved: bool) -> Done {
        let (notes, not_carried) = (Vec::new(), Vec::new());
        Done { size: self.entry.size, proof, value, source_proved, notes, not_carried, skipped: false }
    }
}

fn absent() -> Failure {
    let text = "the destination does not have this object. Import it, then audit again.".to_owned();
    Failure::Object { code: ObjectErrorCode::SizeNotMatch, text }
}

fn apart(difference: &Difference) -> Failure {
    let Difference { check, ours, theirs, .. } = difference;
    let text = format!("{check}: the source has {ours}, the destination {theirs}. Import the object again.");
    Failure::Object { code: ObjectErrorCode::ChecksumNotMatch, text }
}
