//! A large object: ranged GETs feed the parts of one upload, several at a time.
//!
//! That an upload is to be begun is saved at the master before it is; its id and its finished parts are as they
//! come. So any worker can go on, and none stays open that nobody knows.
//! All ranges are read from one version: where the listing had no ETag, the one of the first range is pinned.
//! The object's own slot carries one part at a time; further parts in flight take a slot each. Every part
//! takes its bytes of the budget alone, and gives them back before the next one asks.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use futures::future::try_join_all;
use proto::ObjectErrorCode;
use proto::breakpoint::{self, breakpoint};
use proto::v1;
use storage::checksum::Hashes;
use storage::destination::Whole;
use storage::{
    Checksums, Error, ErrorKind, ObjectMeta, PartDone, PutOptions, Side, Unwanted, UploadRef, Version,
    Written,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::budget::{Held, micros};
use crate::large::Large;
use crate::parts::{differs, part_range};
use crate::proof::Unproved;
use crate::trip::{Done, Failure, Fetched, Trip};
use crate::verify::{Ours, Verdict, join, upload_crc};

/// Uploads that are begun for one object before it is given up.
const ROUNDS: u32 = 3;
/// Writes of one part that the destination states wrongly before the object is given up.
const WRITES: u32 = 3;
/// Progress is saved when this share of the finished parts is new: saving the list for each of 10,000 parts
/// would move gigabytes.
const SAVE_SHARE: usize = 64;

/// Why an upload ended early.
pub(crate) enum Stopped {
    /// A new upload may succeed; otherwise this is the failure.
    Again(Failure),
    /// For good.
    Failed(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Stopped::Failed(failure)
    }
}

/// How a large object begins.
pub(crate) enum Begin<'a> {
    /// Parts are to be moved.
    Parts(Box<Large<'a>>),
    /// An earlier holder had completed it.
    Complete(Done),
}

// === impl Trip ===

impl<'a> Trip<'a> {
    /// Moves the object in parts and proves it. Goes on with the upload that the tally names.
    pub(crate) async fn move_large(&self) -> Result<Done, Failure> {
        let mut round = 1;
        loop {
            match self.upload().await {
                Ok(done) => return Ok(done),
                Err(Stopped::Again(failure)) if round < ROUNDS => {
                    tracing::warn!(?failure, "the upload is begun anew");
                    self.tally.again();
                    self.throw_away().await?;
                    round += 1;
                }
                Err(Stopped::Again(failure) | Stopped::Failed(failure)) => return Err(failure),
            }
        }
    }

    async fn upload(&self) -> Result<Done, Stopped> {
        let large = match self.begin_or_resume().await? {
            Begin::Parts(large) => large,
            Begin::Complete(done) => return Ok(done),
        };
        let lanes = large.todo().len() + usize::from(large.ready().is_some());
        let lanes = lanes.min(self.mover.job.transfer.parts_in_flight.max(1) as usize);
        try_join_all((0..lanes).map(|lane| self.lane(&large, lane == 0))).await?;
        self.finish(&large).await
    }

    /// Begins an upload with the first part, whose answer has the object's metadata.
    pub(crate) async fn begin(&self) -> Result<Box<Large<'a>>, Stopped> {
        let stated = self.stated().await?;
        let part_size = self.part_size(&stated)?;
        let first = part_range(1, part_size, self.entry.size);
        let (fetched, held) = self.read_part(first, &self.listed(), &stated.checksums).await?;
        let options = self.upload_options(&fetched.meta, part_size).await?;
        let version = self.pinned(&fetched.meta);
        let begun_ms = self.tally.astray().unwrap_or_else(|| jiff::Timestamp::now().as_millisecond());
        let intention = v1::Upload {
            index: self.index,
            key: self.entry.target().as_bytes().to_vec(),
            part_size,
            source_version: version.to_line(),
            begun_ms,
            ..v1::Upload::default()
        };
        let to = self.begin_upload(&options, intention).await?;
        let count = u32::try_from(self.entry.size.div_ceil(part_size)).unwrap_or(u32::MAX);
        let large = Large {
            to,
            part_size,
            begun_ms,
            size: self.entry.size,
            version,
            options,
            source: fetched.meta.checksums,
            in_parts_of_source: stated.part == Some(part_size),
            md5: None,
            todo: Mutex::new((2..=count).collect()),
            ready: Mutex::new(Some((1, fetched, held))),
            parts: Mutex::default(),
            saved: tokio::sync::Mutex::default(),
            drained: CancellationToken::new(),
            resumed: false,
            flight: self.mover.flight(),
        };
        if let Err(failure) = self.save(large.record(self.index)).await {
            // Nobody else knows its id: a next holder begins its own, a cleaned job has none.
            let _ = self.mover.destination.abort(&Unwanted::Known(large.to)).await;
            return Err(failure.into());
        }
        breakpoint(breakpoint::ID_SAVED);
        self.abort_astray(&large.to.id).await;
        Ok(Box::new(large))
    }

    /// Begins an upload. That it is to be begun is durable before: when its id gets lost on the way, somebody
    /// still knows to look for it.
    pub(crate) async fn begin_upload(
        &self,
        options: &PutOptions,
        intention: v1::Upload,
    ) -> Result<UploadRef, Stopped> {
        let begun_ms = intention.begun_ms;
        self.save(intention.clone()).await?;
        breakpoint(breakpoint::INTENDED);
        let mut turn = self.turn(Side::Destination);
        loop {
            match self.mover.destination.begin(self.entry.target(), options).await {
                Ok(to) => {
                    breakpoint(breakpoint::BEGUN);
                    return Ok(to);
                }
                Err(error) => {
                    // Only an answer that refuses says that nothing was begun.
                    if !error.status().is_some_and(|status| (400..500).contains(&status)) {
                        self.tally.set_astray(Some(begun_ms));
                    }
                    if let Err(failure) = turn.failed(error).await {
                        if self.tally.astray().is_none() && !matches!(failure, Failure::Suspended(_)) {
                            self.forget(intention).await?;
                        }
                        return Err(failure.into());
                    }
                }
            }
        }
    }

    /// Aborts uploads of this object whose ids were never learnt, if there may be any.
    pub(crate) async fn abort_astray(&self, wanted: &str) {
        let Some(since_ms) = self.tally.astray() else { return };
        let key = self.entry.target().clone();
        let unknown = Unwanted::Unknown { key, since_ms, wanted: wanted.to_owned() };
        match self.mover.destination.abort(&unknown).await {
            Ok(aborted) => {
                tracing::info!(aborted, "looked for uploads whose ids were lost");
                self.tally.set_astray(None);
            }
            Err(error) => {
                tracing::warn!(%error, "an upload may stay open; cleaning the job looks for it again");
            }
        }
    }

    /// The upload is over. Where another may be open that nobody knows, the master's books keep that.
    pub(crate) async fn forget(&self, upload: v1::Upload) -> Result<(), Failure> {
        let over = v1::Upload { parts: Vec::new(), ..upload };
        match self.tally.astray() {
            None => self.save(v1::Upload { finished: true, ..over }).await,
            Some(begun_ms) => self.save(v1::Upload { upload_id: String::new(), begun_ms, ..over }).await,
        }
    }

    /// The version that all parts come from.
    pub(crate) fn pinned(&self, meta: &ObjectMeta) -> Version {
        let listed = self.listed();
        Version { etag: listed.etag.or_else(|| meta.etag.clone()), ..listed }
    }

    /// Takes parts until none is left. The first lane has the object's own slot.
    async fn lane(&self, large: &Large<'_>, own: bool) -> Result<(), Stopped> {
        loop {
            let _pass = if own {
                None
            } else {
                tokio::select! {
                    biased;
                    () = large.drained.cancelled() => return Ok(()),
                    pass = self.mover.enter() => Some(pass),
                }
            };
            let Some((number, ready)) = large.next() else { return Ok(()) };
            self.part(large, number, ready).await?;
        }
    }

    async fn part(
        &self,
        large: &Large<'_>,
        number: u32,
        ready: Option<(Fetched, Held)>,
    ) -> Result<(), Stopped> {
        let range = part_range(number, large.part_size, large.size);
        let offset = range.start;
        let (fetched, held) = match ready {
            Some(ready) => ready,
            None => self.read_part(range, &large.version, &large.source).await?,
        };
        let done = self.write_part(large, number, offset, &fetched).await?;
        let done = self.md5_for_source(large, done, &fetched).await;
        drop(held);
        breakpoint(breakpoint::PART_UPLOADED);
        let bytes = done.size;
        large.parts().insert(number, (done, fetched.hashes));
        large.flight.add(bytes);
        self.mover.gate.finished(bytes);
        self.save_progress(large).await
    }

    pub(crate) async fn read_part(
        &self,
        range: Range<u64>,
        version: &Version,
        stated: &Checksums,
    ) -> Result<(Fetched, Held), Stopped> {
        let held = self.mover.engine.budget.take(range.end - range.start).await;
        Ok((self.fetch(Some(range), version, stated).await?, held))
    }

    /// Writes one part until the destination states what was read.
    pub(crate) async fn write_part(
        &self,
        large: &Large<'_>,
        number: u32,
        offset: u64,
        fetched: &Fetched,
    ) -> Result<PartDone, Stopped> {
        let mover = self.mover;
        let mut turn = self.turn(Side::Destination);
        let mut writes = 1;
        loop {
            let begun = Instant::now();
            let done = mover.destination.part(&large.to, number, offset, &fetched.payload).await;
            mover.waits.destination.fetch_add(micros(begun.elapsed()), Ordering::Relaxed);
            match done {
                Ok(done) => match differs(&done, fetched, mover.destination.limits().crc) {
                    None => {
                        mover.breaker.good(Side::Destination);
                        return Ok(self.part_done(done, number, offset, fetched));
                    }
                    Some(difference) if writes >= WRITES => {
                        return Err(difference.at("destination").into());
                    }
                    Some(_) => {
                        writes += 1;
                        self.tally.again();
                    }
                },
                Err(error) if large.is_gone(&error) => return Err(again(error)),
                Err(error) => turn.failed(error).await?,
            }
        }
    }

    fn part_done(&self, done: PartDone, number: u32, offset: u64, fetched: &Fetched) -> PartDone {
        let crc = fetched.hashes.crc(upload_crc(self.mover.destination.limits()));
        PartDone {
            number,
            offset,
            size: fetched.payload.len(),
            etag: done.etag,
            crc: done.crc.or(crc),
            md5: done.md5.or(fetched.hashes.md5),
        }
    }

    async fn save_progress(&self, large: &Large<'_>) -> Result<(), Stopped> {
        // One save at a time: what finishes meanwhile goes with the next one.
        let Ok(mut saved) = large.saved.try_lock() else { return Ok(()) };
        let done = large.parts().len();
        if done.saturating_sub(*saved) * SAVE_SHARE < done {
            return Ok(());
        }
        self.save(large.record(self.index)).await?;
        *saved = done;
        Ok(())
    }

    /// Makes it durable at the master.
    pub(crate) async fn save(&self, upload: v1::Upload) -> Result<(), Failure> {
        let upload = v1::Upload { astray: self.tally.astray().is_some(), ..upload };
        self.tally.set_upload((!upload.finished).then(|| upload.clone()));
        self.saver.save(upload).await.map_err(|_| Failure::LeaseLost)
    }

    /// Aborts the open upload, if there is one. One that cannot be aborted now stays in the master's books.
    pub(crate) async fn throw_away(&self) -> Result<(), Failure> {
        let Some(upload) = self.tally.upload() else { return Ok(()) };
        if upload.upload_id.is_empty() {
            self.tally.set_astray(Some(upload.begun_ms));
        } else {
            let to = UploadRef { key: self.entry.target().clone(), id: upload.upload_id.clone() };
            if let Err(error) = self.mover.destination.abort(&Unwanted::Known(to)).await {
                tracing::warn!(error = %error, "the upload stays open; it is looked for again");
                self.tally.set_astray(Some(self.tally.astray().unwrap_or(upload.begun_ms)));
            }
        }
        self.abort_astray("").await;
        self.forget(upload).await?;
        self.tally.set_upload(None);
        Ok(())
    }

    /// Completes the upload and proves the object.
    pub(crate) async fn finish(&self, large: &Large<'_>) -> Result<Done, Stopped> {
        let parts: Vec<(PartDone, Hashes)> = large.parts().values().cloned().collect();
        let (parts, hashes): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let mut whole = join(&hashes);
        if whole.size != large.size {
            let text = format!("the parts have {} bytes together, the object has {}", whole.size, large.size);
            return Err(Failure::Object { code: ObjectErrorCode::Internal, text }.into());
        }
        let ours = Ours { hashes: &whole, payload: None };
        let source_proved = self.whole_agrees(large, ours).map_err(Stopped::Again)?
            || self.parts_agree(large, &parts, ours).await?;
        // Nobody hashed the whole: the destination's word is compared with the source's.
        whole.md5 = large.options.md5;
        let ours = Ours { hashes: &whole, payload: None };
        // With all parts in the books, whoever finds the upload gone can tell that it was completed.
        if *large.saved.lock().await < parts.len() {
            self.save(large.record(self.index)).await?;
        }
        // A CRC that agrees says that these are the bytes of which the source itself states the MD5.
        let md5 = large.md5.or(large.source.vouched().md5.filter(|_| source_proved));
        let done = match self.complete(large, &parts, ours, md5).await? {
            Ok(written) => {
                let md5s: Option<Vec<[u8; 16]>> = parts.iter().map(|part| part.md5).collect();
                match self.prove(&written, ours, md5s.as_deref()).await {
                    Ok(proven) => proven.done(large.size, large.options.not_carried(written.not_carried)),
                    Err(Unproved::Differs(difference)) => {
                        return Err(Stopped::Again(difference.at("destination")));
                    }
                    Err(Unproved::Failed(failure)) => return Err(failure.into()),
                }
            }
            Err(done) => done,
        };
        breakpoint(breakpoint::COMPLETED);
        self.abort_astray("").await;
        self.forget(large.record(self.index)).await?;
        Ok(Done { source_proved, ..done })
    }

    /// Before anything becomes visible: `true` where the source states something comparable.
    fn whole_agrees(&self, large: &Large<'_>, ours: Ours<'_>) -> Result<bool, Failure> {
        if self.mover.job.transfer.verify == conf::job::Verify::Size {
            return Ok(false);
        }
        match ours.compare(&large.source, None) {
            Verdict::Same(..) => Ok(true),
            Verdict::Unknown => Ok(false),
            Verdict::Differs(difference) => Err(difference.at("source")),
        }
    }

    /// The inner error is an object that is settled without a write's answer.
    async fn complete(
        &self,
        large: &Large<'_>,
        parts: &[PartDone],
        ours: Ours<'_>,
        md5: Option<[u8; 16]>,
    ) -> Result<Result<Written, Done>, Stopped> {
        let mover = self.mover;
        let crc = mover.destination.limits().crc.and_then(|crc| ours.hashes.crc(crc));
        let whole = Whole { size: large.size, crc, md5 };
        let mut turn = self.turn(Side::Destination);
        loop {
            let begun = Instant::now();
            let written = mover.destination.complete(&large.to, &large.options, parts, &whole).await;
            mover.waits.destination.fetch_add(micros(begun.elapsed()), Ordering::Relaxed);
            let error = match written {
                Ok(written) => {
                    mover.breaker.good(Side::Destination);
                    return Ok(Ok(written));
                }
                Err(error) => error,
            };
            match error.kind() {
                kind if self.is_taken(kind) => {
                    let done = self.taken(error, ours).await?;
                    self.throw_away().await?;
                    let not_carried =
                        if done.skipped { Vec::new() } else { self.not_carried(&large.options) };
                    return Ok(Err(Done { not_carried, ..done }));
                }
                ErrorKind::UploadNotFound if turn.repeated() => {
                    return match self.completed_before(ours).await? {
                        Some(proven) => Ok(Err(proven.done(large.size, self.not_carried(&large.options)))),
                        None => Err(again(error)),
                    };
                }
                ErrorKind::Refused | ErrorKind::Corrupted | ErrorKind::Conflict => return Err(again(error)),
                _ if large.is_gone(&error) => return Err(again(error)),
                _ => turn.failed(error).await?,
            }
        }
    }
}

/// A new upload may help.
pub(crate) fn again(error: Error) -> Stopped {
    Stopped::Again(Failure::Storage { side: Side::Destination, error })
}
