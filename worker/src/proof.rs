//! Proves a write: compares what the destination states with the hashes of the bytes that were read, and
//! asks or reads back where it states nothing.
//!
//! In this order, and no request before it is needed: a checksum in the write's own answer; an ETag that is
//! the MD5; an ETag of parts; a HEAD; reading back (only with `verify = "full"`, or when an ETag that should
//! be an MD5 differs: with some kinds of encryption it is none). What is left is the size, and the record says so.

use std::sync::atomic::Ordering;

use conf::job::Verify;
use futures::StreamExt;
use proto::{ObjectErrorCode, Proof};
use storage::checksum::{Hashes, is_qetag, md5_of_etag, multipart_etag, qetag};
use storage::{Error, ErrorKind, ObjectMeta, Side, Version, Written, retry};

use crate::skip::{Choice, Standing, choose};
use crate::trip::{Done, Failure, Trip};
use crate::verify::{Difference, Ours, Plan, Verdict, crc_text};

/// After so many answers without a checksum the destination is not asked any more.
const FRUITLESS: u32 = 3;

/// A proof.
#[derive(Debug)]
pub(crate) struct Proven {
    proof: Proof,
    value: String,
    note: Option<String>,
}

/// No proof.
#[derive(Debug)]
pub(crate) enum Unproved {
    /// The destination holds other bytes.
    Differs(Difference),
    /// It could not be found out.
    Failed(Failure),
}

impl Proven {
    fn by(proof: Proof, value: String) -> Self {
        Proven { proof, value, note: None }
    }

    /// The object is settled.
    pub(crate) fn done(self, size: u64, not_carried: Vec<String>) -> Done {
        Done {
            size,
            proof: self.proof,
            value: self.value,
            source_proved: false,
            notes: self.note.into_iter().collect(),
            not_carried,
            skipped: false,
        }
    }
}

impl From<Failure> for Unproved {
    fn from(failure: Failure) -> Self {
        Unproved::Failed(failure)
    }
}

impl Trip<'_> {
    /// Proves what was written. `parts` are the MD5s of an upload's parts, where all of them are known.
    pub(crate) async fn prove(
        &self,
        written: &Written,
        ours: Ours<'_>,
        parts: Option<&[[u8; 16]]>,
    ) -> Result<Proven, Unproved> {
        let verify = self.mover.job.transfer.verify;
        if verify == Verify::Size {
            return Ok(Proven::by(Proof::Size, String::new()));
        }
        let verdict = match ours.compare(&written.stated, written.etag.as_deref()) {
            Verdict::Unknown => self.by_etag(written, ours, parts),
            known => known,
        };
        match verdict {
            Verdict::Differs(difference) if !difference.by_etag => Err(Unproved::Differs(difference)),
            Verdict::Differs(_) => self.read_back(written, ours).await,
            _ if verify == Verify::Full => self.read_back(written, ours).await,
            Verdict::Same(proof, value) => Ok(Proven::by(proof, value)),
            Verdict::Unknown => self.by_head(ours).await,
        }
    }

    /// What the ETag says. One that differs counts only where the service has the rule.
    fn by_etag(&self, written: &Written, ours: Ours<'_>, parts: Option<&[[u8; 16]]>) -> Verdict {
        let limits = self.mover.destination.limits();
        let Some(etag) = written.etag.as_deref() else { return Verdict::Unknown };
        let (proof, expected, rule) = match parts {
            Some(parts) => {
                let expected = multipart_etag(parts.iter().copied());
                (Proof::EtagMultipart, expected, limits.etag_is_md5_of_parts)
            }
            None => match md5_of_etag(etag).and_then(|_| ours.md5()) {
                Some(md5) => (Proof::EtagMd5, hex::encode(md5), limits.etag_is_md5),
                None => match ours.payload.filter(|_| is_qetag(etag)) {
                    // Qiniu documents it for its own interface: another value proves nothing and refutes nothing.
                    Some(payload) => (Proof::EtagQiniu, qetag(payload.chunks()), false),
                    None => return Verdict::Unknown,
                },
            },
        };
        let same = match proof {
            Proof::EtagQiniu => etag == expected,
            _ => etag.eq_ignore_ascii_case(&expected),
        };
        if same {
            return Verdict::Same(proof, expected);
        }
        let theirs = etag.to_owned();
        let difference = Difference { check: proof.name(), ours: expected, theirs, by_etag: true };
        if rule { Verdict::Differs(difference) } else { Verdict::Unknown }
    }

    /// A HEAD may state what the write's answer did not.
    async fn by_head(&self, ours: Ours<'_>) -> Result<Proven, Unproved> {
        let fruitless = &self.mover.fruitless_heads;
        let mut note = "the destination states no checksum".to_owned();
        if fruitless.load(Ordering::Relaxed) < FRUITLESS {
            match self.head_destination().await {
                Ok(meta) if meta.size != self.entry.size => return Err(self.size_differs(meta.size)),
                Ok(meta) => match ours.compare(&meta.checksums, meta.etag.as_deref()) {
                    Verdict::Same(proof, value) => return Ok(Proven::by(proof, value)),
                    Verdict::Differs(difference) => return Err(Unproved::Differs(difference)),
                    // It is of a kind that cannot be taken of an object in parts; the next one may be small.
                    Verdict::Unknown if meta.checksums.md5.is_some() => {
                        note = "the destination states an MD5, which nobody took of the whole".to_owned();
                    }
                    Verdict::Unknown => {
                        fruitless.fetch_add(1, Ordering::Relaxed);
                    }
                },
                // Written a moment ago, and not there: that is no proof of anything. Neither is a service that cannot
                // be reached, or that does not take the keys any more: another time it may state something.
                Err(Failure::Storage { error, .. }) if refuses_for_good(error.kind()) => {
                    fruitless.fetch_add(1, Ordering::Relaxed);
                    note = format!("{note}, and it cannot be asked ({error})");
                }
                Err(other) => return Err(Unproved::Failed(other)),
            }
        }
        Ok(Proven { proof: Proof::Size, value: String::new(), note: Some(note) })
    }

    fn size_differs(&self, theirs: u64) -> Unproved {
        let difference = Difference {
            check: Proof::Size.name(),
            ours: self.entry.size.to_string(),
            theirs: theirs.to_string(),
            by_etag: false,
        };
        Unproved::Differs(difference)
    }

    /// Hashes what the destination gives back.
    async fn read_back(&self, written: &Written, ours: Ours<'_>) -> Result<Proven, Unproved> {
        let version = Version { size: self.entry.size, modified_ms: None, etag: written.etag.clone() };
        let Some((crc, value)) = ours.hashes.crcs.first().copied() else {
            let text = "no hash of the bytes is at hand to read back against".to_owned();
            return Err(Failure::Object { code: ObjectErrorCode::Internal, text }.into());
        };
        let hashes = self.hash_end(Side::Destination, &version, &Plan::of(crc)).await?;
        if hashes.size != self.entry.size {
            return Err(self.size_differs(hashes.size));
        }
        let (ours, theirs) = (crc_text(crc, value), crc_text(crc, hashes.crc(crc).unwrap_or_default()));
        if hashes.crc(crc) == Some(value) {
            return Ok(Proven::by(Proof::Readback, ours));
        }
        let check = Proof::Readback.name();
        Err(Unproved::Differs(Difference { check, ours, theirs, by_etag: false }))
    }

    /// Reads an object to its end and hashes it.
    pub(crate) async fn hash_end(
        &self,
        side: Side,
        version: &Version,
        plan: &Plan,
    ) -> Result<Hashes, Failure> {
        let mut turn = self.turn(side);
        loop {
            match self.hash_once(side, version, plan).await {
                Ok(hashes) => {
                    self.mover.breaker.good(side);
                    return Ok(hashes);
                }
                Err(error) => turn.failed(error).await?,
            }
        }
    }

    async fn hash_once(&self, side: Side, version: &Version, plan: &Plan) -> Result<Hashes, Error> {
        let end = match side {
            Side::Source => self.source(),
            Side::Destination => self.mover.standing()?,
        };
        let key = match side {
            Side::Source => &self.entry.key,
            Side::Destination => self.entry.target(),
        };
        let mut body = end.read(key, None, version).await?.body;
        let mut hasher = plan.hasher();
        while let Some(chunk) = body.next().await {
            hasher.update(&chunk?);
        }
        Ok(hasher.finish())
    }

    /// The destination's object as it stands, with the checksums that the service vouches for.
    pub(crate) async fn head_destination(&self) -> Result<ObjectMeta, Failure> {
        let meta = self.claimed_destination().await?;
        Ok(ObjectMeta { checksums: meta.checksums.vouched(), ..meta })
    }

    /// The same with what its writer claimed of it.
    async fn claimed_destination(&self) -> Result<ObjectMeta, Failure> {
        let mut turn = self.turn(Side::Destination);
        loop {
            let head = match self.mover.standing() {
                Ok(standing) => standing.head(self.entry.target()).await,
                Err(error) => Err(error),
            };
            match head {
                Ok(meta) => return Ok(meta),
                Err(error) => turn.failed(error).await?,
            }
        }
    }

    /// The destination has an object that must not be written over. It is ours if an earlier write arrived
    /// and only its answer was lost.
    pub(crate) async fn taken(&self, error: Error, ours: Ours<'_>) -> Result<Done, Failure> {
        let meta = self.claimed_destination().await?;
        let note = "it was there already, and forbid_overwrite is set".to_owned();
        let same = meta.size == self.entry.size;
        let done = |proof, value, skipped| Done {
            size: meta.size,
            proof,
            value,
            source_proved: false,
            notes: vec![note.clone()],
            not_carried: Vec::new(),
            skipped,
        };
        match self.standing_is(&meta, ours).await? {
            Verdict::Same(proof, value) if same => Ok(done(proof, value, false)),
            Verdict::Unknown
                if matches!(
                    choose(self.entry, &self.mover.standing_as(Standing::from(&meta)), true),
                    Choice::Leave(_)
                ) =>
            {
                Ok(done(Proof::Existing, String::new(), true))
            }
            _ => {
                let text = format!(
                    "the destination has another object of this name, and forbid_overwrite is set: {error}"
                );
                Err(Failure::Object { code: ObjectErrorCode::UploadFailed, text })
            }
        }
    }

    /// Compares what stands at the destination with the bytes that were read. Where only its writer says that it is the
    /// same, it is read.
    async fn standing_is(&self, meta: &ObjectMeta, ours: Ours<'_>) -> Result<Verdict, Failure> {
        let claimed = meta.checksums.claimed && meta.size == self.entry.size;
        match ours.compare(&meta.checksums, meta.etag.as_deref()) {
            Verdict::Same(Proof::ContentMd5 | Proof::EtagMd5, _) if claimed => {}
            known => return Ok(known),
        }
        let written = Written { etag: meta.etag.clone(), ..Written::default() };
        match self.read_back(&written, ours).await {
            Ok(proven) => Ok(Verdict::Same(proven.proof, proven.value)),
            Err(Unproved::Differs(difference)) => Ok(Verdict::Differs(difference)),
            Err(Unproved::Failed(failure)) => Err(failure),
        }
    }

    /// A service that lost our upload may have completed it: then the object stands there, and its checksum
    /// says that it is this one.
    pub(crate) async fn completed_before(&self, ours: Ours<'_>) -> Result<Option<Proven>, Failure> {
        match self.claimed_destination().await {
            Ok(meta) if meta.size == self.entry.size => match self.standing_is(&meta, ours).await? {
                Verdict::Same(proof, value) => Ok(Some(Proven::by(proof, value))),
                _ => Ok(None),
            },
            Ok(_) => Ok(None),
            Err(Failure::Storage { error, .. }) if !retry::is_systemic(error.kind()) => {
                if error.kind() != ErrorKind::NotFound {
                    tracing::debug!(error = %error, "cannot see whether the upload was completed");
                }
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }
}

/// The destination answers, and does not let anybody look: so it will next time.
fn refuses_for_good(kind: ErrorKind) -> bool {
    kind != ErrorKind::NotFound && !retry::retryable(kind) && !retry::is_systemic(kind)
}
