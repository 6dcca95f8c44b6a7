//! Moves and proves single objects: the engine of one worker, and the mover of one job.
//!
//! Relies on the adapters of `storage` alone. The task loop hands over one manifest entry after the other
//! and gets back what to record; it knows nothing of requests, parts or retries.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use conf::JobConf;
use conf::job::JobKind;
use proto::manifest::{CLASS_MISSING, CLASS_UNSEEN, Entry, Existing};
use proto::{ObjectErrorCode, v1};
use storage::archive::Archive;
use storage::meter::RateLimits;
use storage::open::Context;
use storage::{Destination, Error, Meter, ObjectMeta, Side, Source};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::Instrument;

use crate::beside::Made;
use crate::breaker::{Breaker, Ends, Judgement};
use crate::concurrency::{Gate, Slot};
use crate::engine::Engine;
use crate::flight::{Flight, UnderWay};
use crate::meters::Meters;
use crate::outcome::{self, Record};
use crate::trip::{Done, Failure, Tally, Trip};

/// The class of links inside a bucket, whatever its letter case.
const SYMLINK: &str = "symlink";

/// So many failed objects of a job are in a worker's log.
const TOLD: u64 = 200;

/// Before an object is tried again because its service was in trouble.
const AGAIN: Duration = Duration::from_secs(1);

/// Both ends of one job, opened. Shared by all of its tasks.
pub(crate) struct Mover {
    pub(crate) job: JobConf,
    pub(crate) engine: Arc<Engine>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) destination: Arc<dyn Destination>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) breaker: Breaker,
    pub(crate) waits: Waits,
    /// Questions to the destination that brought no checksum.
    pub(crate) fruitless_heads: AtomicU32,
    /// Objects of the source whose ETag is of parts, and not made of their MD5s.
    pub(crate) other_etags: AtomicU32,
    /// Directories that have their marker.
    pub(crate) made: Made,
    standing: OnceLock<Arc<dyn Source>>,
    archive: OnceLock<Arc<dyn Archive>>,
    limits: Arc<RateLimits>,
    meters: Meters,
    in_flight_objects: AtomicU64,
    in_flight_bytes: AtomicU64,
    /// Failed objects so far.
    told: AtomicU64,
}

/// Time that all objects together waited, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// For the source's answers and bytes.
    pub(crate) source: AtomicU64,
    /// For the destination to take bytes.
    pub(crate) destination: AtomicU64,
    /// Because a service asked for it.
    pub(crate) throttled: AtomicU64,
}

/// The right to have one object, or one further part, in flight.
#[derive(Debug)]
pub(crate) struct Pass {
    _slot: Slot,
    _permit: Option<OwnedSemaphorePermit>,
}

/// What became of one object.
#[derive(Debug)]
pub(crate) enum Moved {
    /// Record this; succeeded, skipped or failed.
    Recorded(Box<v1::AuditRecord>),
    /// Every object would fail like this one: record nothing, pause the job with this reason.
    Suspend {
        /// A full sentence: which side, what it said, what to do.
        reason: String,
    },
    /// An unknown error, and the job wants to end on one: record nothing.
    Abort {
        /// What happened.
        reason: String,
    },
    /// It waits for a restore at the source: record nothing, come back later.
    Deferred,
    /// Somebody else has the task now.
    LeaseLost,
}

/// The lease is lost: stop, and report nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseLost;

/// Makes the progress of a multipart upload durable at the master.
#[async_trait]
pub(crate) trait SaveUpload: Send + Sync {
    /// Returns when the master has it.
    async fn save(&self, upload: v1::Upload) -> Result<(), LeaseLost>;
}

// === impl Mover ===

impl Mover {
    /// Opens both ends of a job under these limits. Sends no request.
    pub(crate) fn open(job: JobConf, engine: Arc<Engine>, limits: Arc<RateLimits>) -> Result<Self, Error> {
        let meters = Meters::new(&limits);
        let context = |meter: &Meter| context(&job, meter);
        let source = storage::open::source(&job.source, &context(&meters.source))?;
        let destination = storage::open::destination(&job.destination, &context(&meters.destination))?;
        Ok(Mover::between(job, engine, source, destination, limits, meters))
    }

    fn between(
        job: JobConf,
        engine: Arc<Engine>,
        source: Arc<dyn Source>,
        destination: Arc<dyn Destination>,
        limits: Arc<RateLimits>,
        meters: Meters,
    ) -> Self {
        Mover {
            gate: Gate::new(engine.task_threads),
            job,
            engine,
            source,
            destination,
            breaker: Breaker::default(),
            waits: Waits::default(),
            fruitless_heads: AtomicU32::new(0),
            other_etags: AtomicU32::new(0),
            made: Made::default(),
            standing: OnceLock::new(),
            archive: OnceLock::new(),
            limits,
            meters,
            in_flight_objects: AtomicU64::new(0),
            in_flight_bytes: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    /// Moves one object of a task and proves it; `index` is its place in the manifest. Waits for its slot
    /// inside.
    ///
    /// # Cancellation
    /// May be dropped anywhere. An upload that was saved may stay behind: the next holder of the task goes
    /// on with it, or `clean` aborts it.
    pub(crate) async fn move_object(
        &self,
        index: u32,
        entry: &Entry,
        resume: Option<v1::Upload>,
        saver: &dyn SaveUpload,
    ) -> Moved {
        self.move_version(index, entry, resume, saver, false).await
    }

    /// The same for an object that failed and is retried: what was listed of it is old, and what both ends have
    /// now is asked for.
    ///
    /// # Cancellation
    /// As of [`Mover::move_object`].
    pub(crate) async fn move_again(
        &self,
        index: u32,
        entry: &Entry,
        resume: Option<v1::Upload>,
        saver: &dyn SaveUpload,
    ) -> Moved {
        self.move_version(index, entry, resume, saver, true).await
    }

    async fn move_version(
        &self,
        index: u32,
        entry: &Entry,
        resume: Option<v1::Upload>,
        saver: &dyn SaveUpload,
        again: bool,
    ) -> Moved {
        if let Some(reason) = self.breaker.open() {
            return Moved::Suspend { reason };
        }
        let tally = Tally::default();
        tally.set_upload(resume.filter(|upload| !upload.finished));
        let trip = Trip { mover: self, index, entry, saver, tally: &tally, again };
        let span = tracing::info_span!("object", key = %entry.key);
        self.move_and_conclude(&trip).instrument(span).await
    }

    async fn move_and_conclude(&self, trip: &Trip<'_>) -> Moved {
        let mut begun = Instant::now();
        let ended = match self.refused(trip.entry) {
            Some(refused) => Err(refused),
            None => {
                let _pass = self.enter().await;
                let _under_way = UnderWay::new(&self.in_flight_objects);
                begun = Instant::now();
                self.settle(trip).await
            }
        };
        let record = Record {
            index: trip.index,
            entry: trip.entry,
            attempts: trip.tally.attempts(),
            took: begun.elapsed(),
            worker: &self.engine.name,
            destination: &self.job.destination,
        };
        match ended {
            Ok(done) => Moved::Recorded(record.done(done)),
            Err(failure) => self.conclude(trip, failure, &record).await,
        }
    }

    /// What a failure means for the task.
    async fn conclude(&self, trip: &Trip<'_>, failure: Failure, record: &Record<'_>) -> Moved {
        let (code, text, unknown) = match failure {
            Failure::LeaseLost => return Moved::LeaseLost,
            // An upload that is open stays: it goes on when the object can be read again.
            Failure::Deferred => return Moved::Deferred,
            Failure::Suspended(reason) => return Moved::Suspend { reason },
            Failure::Object { code, text } => (code, text, code == ObjectErrorCode::Internal),
            Failure::Storage { side, error } => {
                (outcome::code(side, &error), outcome::text(&error), outcome::is_unknown(error.kind()))
            }
        };
        if unknown && self.job.transfer.abort_on_unknown_error {
            return Moved::Abort { reason: format!("{}: {text}", trip.entry.key) };
        }
        if trip.throw_away().await.is_err() {
            return Moved::LeaseLost;
        }
        self.tell(code, &text);
        Moved::Recorded(record.failed(code, text))
    }

    /// A failed object is told in the log, too; where very many fail, the record is the place to read.
    fn tell(&self, code: ObjectErrorCode, text: &str) {
        match self.told.fetch_add(1, Ordering::Relaxed) {
            0..TOLD => tracing::info!(code = code.name(), text, "object failed"),
            TOLD => tracing::info!(
                "{TOLD} objects failed: from here on the log leaves them out, `brigade report --failed` has them all"
            ),
            _ => tracing::debug!(code = code.name(), text, "object failed"),
        }
    }

    /// Live figures for the heartbeat.
    pub(crate) fn activity(&self, job: &str) -> v1::JobActivity {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        v1::JobActivity {
            job: job.to_owned(),
            bytes_read: self.meters.source.bytes(),
            bytes_written: self.meters.destination.bytes(),
            in_flight_objects: load(&self.in_flight_objects),
            in_flight_bytes: load(&self.in_flight_bytes),
            requests: self.meters.requests(),
            wait_source_us: load(&self.waits.source),
            wait_destination_us: load(&self.waits.destination),
            wait_limit_us: self.limits.waited_us(),
            wait_throttled_us: load(&self.waits.throttled),
            wait_memory_us: self.engine.budget.waited_us(),
            concurrency: self.gate.limit() as u64,
        }
    }

    /// Objects that may be in flight now: start about as many `move_object` as this, and a few more.
    pub(crate) fn concurrency(&self) -> usize {
        self.gate.limit()
    }

    /// Waits until one more object or part may be in flight: for this job, and for the worker.
    pub(crate) async fn enter(&self) -> Pass {
        let slot = self.gate.enter(self.limits.hold_back()).await;
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = self.engine.slots.clone().acquire_owned().await.ok();
        Pass { _slot: slot, _permit: permit }
    }

    /// The destination, to look at and read what stands there. Opened when it is needed first.
    pub(crate) fn standing(&self) -> Result<Arc<dyn Source>, Error> {
        if let Some(standing) = self.standing.get() {
            return Ok(standing.clone());
        }
        let context = context(&self.job, &self.meters.standing);
        let standing = storage::open::source(&self.job.destination, &context)?;
        Ok(self.standing.get_or_init(|| standing).clone())
    }

    /// The source, to ask for what is archived there. Opened when it is needed first.
    pub(crate) fn archive(&self) -> Result<Arc<dyn Archive>, Error> {
        if let Some(archive) = self.archive.get() {
            return Ok(archive.clone());
        }
        let archive = storage::open::archive(&self.job.source, &context(&self.job, &self.meters.source))?;
        Ok(self.archive.get_or_init(|| archive).clone())
    }

    /// Counts the written bytes of one unfinished object.
    pub(crate) fn flight(&self) -> Flight<'_> {
        Flight::new(&self.in_flight_bytes)
    }

    /// What fails without any request.
    fn refused(&self, entry: &Entry) -> Option<Failure> {
        if entry.class.as_deref() == Some(CLASS_MISSING) {
            let text = "the key list names it, and the source does not have it".to_owned();
            return Some(Failure::Object { code: ObjectErrorCode::SourceGone, text });
        }
        if let Some(why) = &entry.refused {
            return Some(Failure::Object { code: ObjectErrorCode::InvalidName, text: why.clone() });
        }
        if entry.key.to_str().is_none() {
            let text =
                "its name is not UTF-8, and object stores hold no other names. Rename it at the source.";
            return Some(Failure::Object { code: ObjectErrorCode::InvalidName, text: text.to_owned() });
        }
        let error = self.destination.limits().check_name(entry.target()).err()?;
        Some(Failure::Object { code: ObjectErrorCode::InvalidName, text: outcome::text(&error) })
    }

    /// Moves the object; asks what a failure means before it counts as the object's own.
    async fn settle(&self, trip: &Trip<'_>) -> Result<Done, Failure> {
        let (mut round, mut refused) = (1, false);
        loop {
            let failure = match Box::pin(self.go(trip)).await {
                Ok(done) => return Ok(done),
                Err(Failure::Storage { side: Side::Source, error }) if self.may_be_read(&error) => {
                    match Box::pin(trip.archived(error, refused)).await {
                        Ok(Some(done)) => return Ok(done),
                        Ok(None) => {
                            refused = true;
                            trip.tally.again();
                            continue;
                        }
                        Err(failure) => failure,
                    }
                }
                Err(failure) => failure,
            };
            let Failure::Storage { side, error } = failure else { return Err(failure) };
            let source = trip.source();
            let ends = Ends {
                source: (&self.job.source, &*source),
                destination: (&self.job.destination, &*self.destination),
                timeout: self.job.transfer.timeout,
                patience: self.job.transfer.patience,
            };
            match self.breaker.judge(side, &error, round, ends).await {
                Judgement::Suspend(reason) => return Err(Failure::Suspended(reason)),
                Judgement::Object => return Err(Failure::Storage { side, error }),
                Judgement::Again => {
                    round += 1;
                    trip.tally.again();
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Moves it, or compares it in an audit; and makes the markers of its directories where the job wants that.
    async fn go(&self, trip: &Trip<'_>) -> Result<Done, Failure> {
        let done = self.go_itself(trip).await?;
        if self.job.transfer.carry.make_markers && self.job.kind == JobKind::Import {
            Box::pin(trip.make_markers()).await?;
        }
        Ok(done)
    }

    async fn go_itself(&self, trip: &Trip<'_>) -> Result<Done, Failure> {
        if trip.entry.size_unknown {
            return Box::pin(trip.go_unknown()).await;
        }
        let (seen, target);
        let trip = if trip.entry.class.as_deref() == Some(CLASS_UNSEEN) {
            let now = trip.head_source().await?;
            seen = Entry { class: now.class.clone(), ..as_listed(trip.entry, now) };
            &Trip { entry: &seen, ..*trip }
        } else {
            trip
        };
        let linked = trip.entry.class.as_deref().is_some_and(|class| class.eq_ignore_ascii_case(SYMLINK));
        let import = self.job.kind == JobKind::Import;
        let mut lost = Vec::new();
        if linked
            && import
            && let Some(done) = Box::pin(trip.carry_link(&mut lost)).await?
        {
            return Ok(done);
        }
        let trip = if trip.again || linked && import {
            let now = as_listed(trip.entry, trip.head_source().await?);
            target = if trip.again { Entry { existing: Existing::Unknown, ..now } } else { now };
            Trip { entry: &target, ..*trip }
        } else {
            *trip
        };
        if !import {
            return trip.audit().await;
        }
        if let Some(done) = self.already_there(&trip).await? {
            trip.throw_away().await?;
            return Ok(done);
        }
        trip.restored_before().await?;
        let size = trip.entry.size;
        let limits = self.destination.limits();
        // One that takes the whole budget would be read and written alone.
        let fits = self.engine.budget.size() / 2;
        let whole = self.job.transfer.multipart_threshold.min(fits).min(limits.single_put);
        let single = limits.parts <= 1 || (size <= whole && trip.tally.upload().is_none());
        let mut done = if single || size == 0 { trip.move_small().await? } else { trip.move_large().await? };
        if linked {
            done.notes.push("a symbolic link at the source: the content of its target was moved".to_owned());
            done.not_carried.append(&mut lost);
        }
        Ok(done)
    }
}

fn context(job: &JobConf, meter: &Meter) -> Context {
    Context { meter: meter.clone(), timeout: job.transfer.timeout, job: job.name.clone() }
}

/// The entry as a listing would show the object that was looked at now.
fn as_listed(entry: &Entry, meta: ObjectMeta) -> Entry {
    Entry { size: meta.size, modified_ms: meta.modified_ms, etag: meta.etag, ..entry.clone() }
}

impl fmt::Debug for Mover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mover").field("job", &self.job.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
