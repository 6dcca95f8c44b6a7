//! One object on its way: what all of its steps share. Retries, waits, reads, and what the write carries.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conf::job::{EndpointType, Verify};
use futures::StreamExt;
use proto::manifest::Entry;
use proto::v1::Upload;
use proto::{ObjectErrorCode, Proof};
use storage::checksum::Hashes;
use storage::retry::{Decision, Policy};
use storage::{Checksums, Error, ErrorKind, ObjectMeta, Payload, PutOptions, Side, Source, Version};
use tokio::time::Instant;

use crate::budget::micros;
use crate::copy::{Mover, SaveUpload};
use crate::skip::{MTIME, mtime_text};
use crate::verify::{Difference, Ours, Plan, Reach, Verdict};

/// One object between its ends. Cheap: every step of an object has one.
#[derive(Clone, Copy)]
pub(crate) struct Trip<'a> {
    /// The two ends.
    pub(crate) mover: &'a Mover,
    /// The place in the manifest.
    pub(crate) index: u32,
    /// As listed; for a symbolic link, as its target says.
    pub(crate) entry: &'a Entry,
    /// Where the progress of an upload is kept.
    pub(crate) saver: &'a dyn SaveUpload,
    /// What adds up over all attempts.
    pub(crate) tally: &'a Tally,
    /// It is retried: the listing is old.
    pub(crate) again: bool,
}

/// What adds up over all attempts at an object.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Steps that were repeated.
    retried: AtomicU32,
    /// The multipart upload that is open, as it was saved last. Without an id: the intention of one.
    upload: Mutex<Option<Upload>>,
    /// Since when uploads of it may be open whose ids nobody learnt (Unix ms).
    astray: Mutex<Option<i64>>,
}

/// An object that is settled: moved and proved, or left alone.
#[derive(Debug)]
pub(crate) struct Done {
    /// Bytes.
    pub(crate) size: u64,
    /// The check that proves it.
    pub(crate) proof: Proof,
    /// What both sides agreed on.
    pub(crate) value: String,
    /// The source's own checksum was compared as well.
    pub(crate) source_proved: bool,
    /// What the record should mention.
    pub(crate) notes: Vec<String>,
    /// What is not carried as it was, with the names of `storage::fidelity`.
    pub(crate) not_carried: Vec<String>,
    /// It was there already.
    pub(crate) skipped: bool,
}

/// Why an object is not settled.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A request failed for good.
    Storage {
        /// At which end.
        side: Side,
        /// With what.
        error: Error,
    },
    /// The requests succeeded, but what they brought is not right.
    Object {
        /// The code of the record.
        code: ObjectErrorCode,
        /// For people.
        text: String,
    },
    /// It waits for a restore at the source.
    Deferred,
    /// Somebody else has the task.
    LeaseLost,
    /// The whole job is to be paused with this reason.
    Suspended(String),
}

/// Bytes of the source with their hashes.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// What the source said of the whole object.
    pub(crate) meta: ObjectMeta,
    /// The bytes.
    pub(crate) payload: Payload,
    /// Of these bytes.
    pub(crate) hashes: Hashes,
}

/// The attempts at one step.
pub(crate) struct Turn<'a> {
    trip: Trip<'a>,
    side: Side,
    attempt: u32,
    throttled: Option<Instant>,
}

/// A read that brought another number of bytes than it should.
struct Odd {
    whole: u64,
    came: u64,
}

enum Bad {
    Failed(Error),
    Odd(Odd),
    /// The service gave another version although it was asked for this one.
    Other,
}

// === impl Tally ===

impl Tally {
    /// Attempts at the object in all.
    pub(crate) fn attempts(&self) -> u32 {
        self.retried.load(Ordering::Relaxed).saturating_add(1)
    }

    /// A step is repeated.
    pub(crate) fn again(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// The upload that is open.
    pub(crate) fn upload(&self) -> Option<Upload> {
        self.upload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers the upload that is open.
    pub(crate) fn set_upload(&self, upload: Option<Upload>) {
        *self.upload.lock().unwrap_or_else(PoisonError::into_inner) = upload;
    }
}

impl Tally {
    /// Since when uploads may be open that nobody knows.
    pub(crate) fn astray(&self) -> Option<i64> {
        *self.astray.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that there may be such uploads, or that there are none any more.
    pub(crate) fn set_astray(&self, since_ms: Option<i64>) {
        *self.astray.lock().unwrap_or_else(PoisonError::into_inner) = since_ms;
    }
}

// === impl Fetched ===

impl Fetched {
    /// Our side of a comparison.
    pub(crate) fn ours(&self) -> Ours<'_> {
        Ours { hashes: &self.hashes, payload: Some(&self.payload) }
    }
}

// === impl Turn ===

impl Turn<'_> {
    /// After a failure: waits, and returns when the step may be tried again.
    pub(crate) async fn failed(&mut self, error: Error) -> Result<(), Failure> {
        let mover = self.trip.mover;
        if let Some(reason) = mover.breaker.open() {
            return Err(Failure::Suspended(reason));
        }
        mover.breaker.bad(self.side, error.kind());
        let throttled = error.kind() == ErrorKind::Throttled;
        match error.kind() {
            ErrorKind::Throttled => mover.gate.throttled(),
            ErrorKind::Timeout => mover.gate.timed_out(),
            _ => {}
        }
        // Being throttled is no attempt of the step; only its pause grows with the number.
        let since = *self.throttled.get_or_insert_with(Instant::now);
        let waited = if throttled { since.elapsed() } else { Duration::ZERO };
        if !throttled {
            self.throttled = None;
        }
        let policy = Policy::new(mover.job.transfer.retries, mover.job.transfer.patience);
        let pause = match policy.decide(&error, self.attempt, waited) {
            Decision::Retry(pause) => pause,
            Decision::GiveUp => return Err(Failure::Storage { side: self.side, error }),
        };
        tracing::debug!(error = %error, pause_ms = pause.as_millis() as u64, "trying again");
        self.trip.tally.again();
        self.attempt += u32::from(!throttled);
        tokio::time::sleep(pause).await;
        if throttled {
            mover.waits.throttled.fetch_add(micros(pause), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether an earlier attempt at this step failed: its request may have been carried out all the same.
    pub(crate) fn repeated(&self) -> bool {
        self.attempt > 1
    }
}

// === impl Trip ===

impl<'a> Trip<'a> {
    /// The first attempt at a step.
    pub(crate) fn turn(&self, side: Side) -> Turn<'a> {
        Turn { trip: *self, side, attempt: 1, throttled: None }
    }

    /// Where the object stands.
    pub(crate) fn source(&self) -> Arc<dyn Source> {
        let there = self.entry.origin.as_deref().and_then(|origin| self.mover.source.at(origin));
        there.unwrap_or_else(|| self.mover.source.clone())
    }

    /// The version that was listed.
    pub(crate) fn listed(&self) -> Version {
        Version { size: self.entry.size, modified_ms: self.entry.modified_ms, etag: self.entry.etag.clone() }
    }

    /// Compares a whole object's bytes with what the source states of them; `true` where there is something to
    /// compare.
    pub(crate) fn source_agrees(&self, fetched: &Fetched) -> Result<bool, Difference> {
        if self.mover.job.transfer.verify == Verify::Size {
            return Ok(false);
        }
        match fetched.ours().compare(&fetched.meta.checksums, fetched.meta.etag.as_deref()) {
            Verdict::Same(..) => Ok(true),
            Verdict::Unknown => Ok(false),
            Verdict::Differs(difference) => Err(difference),
        }
    }

    /// Bytes of this version, all or a range of them, hashed while they arrive. `stated`: what the source is known to
    /// state of the whole.
    pub(crate) async fn fetch(
        &self,
        range: Option<Range<u64>>,
        version: &Version,
        stated: &Checksums,
    ) -> Result<Fetched, Failure> {
        let mut turn = self.turn(Side::Source);
        let mut odd = false;
        loop {
            let begun = Instant::now();
            let fetched = self.fetch_once(range.clone(), version, stated).await;
            self.mover.waits.source.fetch_add(micros(begun.elapsed()), Ordering::Relaxed);
            match fetched {
                Ok(fetched) => {
                    self.mover.breaker.good(Side::Source);
                    return Ok(fetched);
                }
                Err(Bad::Failed(error)) => turn.failed(error).await?,
                Err(Bad::Other) => {
                    let text =
                        "another version than the listed one is there: it was changed meanwhile. A retry \
                                or the next round takes the new version."
                            .to_owned();
                    return Err(Failure::Object { code: ObjectErrorCode::SourceChanged, text });
                }
                Err(Bad::Odd(found)) if odd => return Err(self.other_size(&found, range)),
                Err(Bad::Odd(_)) => {
                    odd = true;
                    self.tally.again();
                }
            }
        }
    }

    async fn fetch_once(
        &self,
        range: Option<Range<u64>>,
        version: &Version,
        stated: &Checksums,
    ) -> Result<Fetched, Bad> {
        let size = self.entry.size;
        let wanted = range.as_ref().map_or(size, |range| range.end - range.start);
        let reach = if range.is_none() { Reach::Whole } else { Reach::Part };
        let mover = self.mover;
        let read = self.source().read(&self.entry.key, range, version).await.map_err(Bad::Failed)?;
        let (mut meta, mut body) = (read.meta, read.body);
        if *stated != Checksums::default() {
            meta.checksums = *stated;
        }
        if meta.size != size {
            return Err(Bad::Odd(Odd { whole: meta.size, came: 0 }));
        }
        // Some services do not know conditions, or not for every object.
        if let (Some(wanted), Some(there)) = (&version.etag, &meta.etag)
            && !wanted.eq_ignore_ascii_case(there)
        {
            return Err(Bad::Other);
        }
        let limits = mover.destination.limits();
        let plan = Plan::new(&mover.job.transfer, limits, &meta.checksums, reach);
        let mut hasher = plan.hasher();
        let mut chunks = Vec::new();
        let mut came = 0;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(Bad::Failed)?;
            came += chunk.len() as u64;
            if came > wanted {
                // Never more in memory than there are permits for.
                break;
            }
            hasher.update(&chunk);
            chunks.push(chunk);
        }
        if came != wanted {
            return Err(Bad::Odd(Odd { whole: meta.size, came }));
        }
        Ok(Fetched { meta, payload: Payload::new(chunks), hashes: hasher.finish() })
    }

    fn other_size(&self, odd: &Odd, range: Option<Range<u64>>) -> Failure {
        let listed = self.entry.size;
        if odd.whole != listed {
            let text = format!(
                "listed with {listed} bytes, now it has {}: it was changed meanwhile. A retry or the next \
                 round takes the new version.",
                odd.whole
            );
            return Failure::Object { code: ObjectErrorCode::SourceChanged, text };
        }
        let wanted = range.map_or(listed, |range| range.end - range.start);
        let came = if odd.came > wanted { "more" } else { "fewer" };
        let text = format!("{wanted} bytes were asked for and {came} came ({}), twice", odd.came);
        Failure::Object { code: ObjectErrorCode::SizeNotMatch, text }
    }

    /// What is written beside the bytes. `md5` is the whole object's, where it is known by now.
    pub(crate) async fn options(
        &self,
        meta: &ObjectMeta,
        md5: Option<[u8; 16]>,
    ) -> Result<PutOptions, Failure> {
        let carry = &self.mover.job.transfer.carry;
        let mut options = self.own_options(meta, md5);
        let class = meta.class.as_deref().or(self.entry.class.as_deref());
        options.class = carry.class_for(class).map(str::to_owned);
        if carry.asks() {
            Box::pin(self.ask_beside(&mut options)).await?;
        }
        Ok(options)
    }

    fn own_options(&self, meta: &ObjectMeta, md5: Option<[u8; 16]>) -> PutOptions {
        let job = &self.mover.job;
        let modified_ms = meta.modified_ms.or(self.entry.modified_ms);
        let (mut headers, mut lost) = (meta.headers.clone(), meta.kept_back.clone());
        let rules = storage::fidelity::of(job.destination.kind).metadata.as_ref();
        let mut add = |name: &str, value: String| {
            // What the source's owner wrote there stays, and nothing of it is given up for what is ours.
            if headers.user.iter().any(|(there, _)| there == name) {
                return;
            }
            if rules.is_none_or(|rules| rules.has_room(&headers.user, name, &value)) {
                headers.user.push((name.to_owned(), value));
            } else {
                lost.push(format!("metadata {name}: it is left out, there is no room beside the owner's"));
            }
        };
        if let Some(ms) = modified_ms
            && job.transfer.record_mtime
            && job.destination.kind != EndpointType::Local
        {
            add(MTIME, mtime_text(ms));
        }
        if let Some(md5) = md5
            && job.transfer.record_md5
        {
            add("md5", hex::encode(md5));
        }
        headers.user.sort();
        PutOptions { headers, modified_ms, size: meta.size, lost, ..PutOptions::default() }
    }

    /// What a write with these is known not to carry, where its own answer was lost.
    pub(crate) fn not_carried(&self, options: &PutOptions) -> Vec<String> {
        let service = storage::fidelity::of(self.mover.job.destination.kind);
        options.not_carried(service.notes(&options.headers, &options.tags))
    }
}

impl std::fmt::Debug for Trip<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trip")
            .field("index", &self.index)
            .field("key", &self.entry.key)
            .finish_non_exhaustive()
    }
}

// === impl Difference ===

impl Difference {
    /// As the failure of the object; `end` states the other value.
    pub(crate) fn at(&self, end: &str) -> Failure {
        let Difference { check, ours, theirs, .. } = self;
        let text = format!(
            "{check}: the {end} states {theirs}, the bytes that were read have {ours}. Bytes were damaged on \
             the way or at rest: retry; if it stays, check that object."
        );
        Failure::Object { code: ObjectErrorCode::ChecksumNotMatch, text }
    }
}
