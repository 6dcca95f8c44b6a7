//! An object of which nothing is known before it is read: a line of a list of URLs.
//!
//! Its first answer decides. Small and of a known length: it is that one GET, and one PUT. Large, and its ranges
//! can be read: the ranged way of all large objects. Otherwise it passes once from its first byte to its last, in
//! parts, within a few parts of memory (`stream`).
//!
//! The budget is taken while the answer waits, before its body is read. A body of no known length gets a little
//! first; one that turns out longer gets room for a part at once if that is free, or is asked for again with it.

use conf::job::JobKind;
use futures::StreamExt;
use proto::ObjectErrorCode;
use proto::manifest::Entry;
use storage::checksum::Hasher;
use storage::{Body, Error, ErrorKind, ObjectMeta, Op, Opened, Payload, Side};

use crate::budget::Held;
use crate::multipart::Stopped;
use crate::trip::{Done, Failure, Fetched, Trip, Turn};
use crate::verify::{Plan, Reach};

/// What a body of no known length gets at first.
const LITTLE: u64 = 256 << 10;

/// Uploads that are begun for one object before it is given up.
const ROUNDS: u32 = 3;

/// What the record says where nobody can tell whether a body was whole.
const UNMARKED: &str = "the server said neither a length nor where the body ends";

/// Bytes of a body, and whether there are more.
pub(crate) struct Piece {
    pub(crate) chunks: Vec<bytes::Bytes>,
    pub(crate) len: u64,
    /// What came beyond the piece.
    pub(crate) rest: Option<bytes::Bytes>,
    pub(crate) ended: bool,
}

/// What became of one answer.
enum Answered {
    Done(Done),
    /// Read on in ranges.
    Ranges(Box<ObjectMeta>),
    /// It is longer than there was room for.
    TooLong,
}

/// Why an answer did not do.
pub(crate) enum Torn {
    /// The source failed in the middle: ask again.
    Source(Error),
    /// A new upload may succeed.
    Again(Failure),
    Failed(Failure),
}

impl From<Failure> for Torn {
    fn from(failure: Failure) -> Self {
        Torn::Failed(failure)
    }
}

impl From<Stopped> for Torn {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Again(failure) => Torn::Again(failure),
            Stopped::Failed(failure) => Torn::Failed(failure),
        }
    }
}

impl Trip<'_> {
    /// Moves the object, or compares it in an audit.
    pub(crate) async fn go_unknown(&self) -> Result<Done, Failure> {
        let job = &self.mover.job;
        if job.kind == JobKind::Audit {
            return self.audit_unknown().await;
        }
        if job.transfer.skip_existing
            && !self.again
            && let Some(meta) = self.look_at_source().await?
        {
            let known = known(self.entry, &meta);
            let trip = Trip { entry: &known, ..*self };
            if let Some(done) = self.mover.already_there(&trip).await? {
                self.throw_away().await?;
                return Ok(done);
            }
        }
        self.move_unknown().await
    }

    /// Its metadata; nothing where the server does not say its length.
    pub(crate) async fn look_at_source(&self) -> Result<Option<ObjectMeta>, Failure> {
        match self.head_source().await {
            Ok(meta) => Ok(Some(meta)),
            Err(Failure::Storage { error, .. })
                if error.kind() == ErrorKind::Unsupported && error.status().is_none() =>
            {
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn move_unknown(&self) -> Result<Done, Failure> {
        let mut turn = self.turn(Side::Source);
        let (mut room, mut round) = (LITTLE, 1);
        loop {
            let opened = self.open_source(&mut turn).await?;
            match self.answered(opened, room).await {
                Ok(Answered::Done(done)) => {
                    self.mover.breaker.good(Side::Source);
                    return Ok(done);
                }
                Ok(Answered::Ranges(meta)) => {
                    self.mover.breaker.good(Side::Source);
                    let known = known(self.entry, &meta);
                    return Trip { entry: &known, ..*self }.move_large().await;
                }
                Ok(Answered::TooLong) => room = self.first_part(),
                Err(Torn::Source(error)) => {
                    self.throw_away().await?;
                    turn.failed(error).await?;
                }
                Err(Torn::Again(failure)) if round < ROUNDS => {
                    tracing::warn!(?failure, "the object is read and written anew");
                    self.tally.again();
                    self.throw_away().await?;
                    round += 1;
                }
                Err(Torn::Again(failure) | Torn::Failed(failure)) => return Err(failure),
            }
        }
    }

    async fn open_source(&self, turn: &mut Turn<'_>) -> Result<Opened, Failure> {
        loop {
            match self.source().open(&self.entry.key, self.most_at_once()).await {
                Ok(opened) => return Ok(opened),
                Err(error) => turn.failed(error).await?,
            }
        }
    }

    /// Bytes of an object that is written with one request.
    pub(crate) fn most_at_once(&self) -> u64 {
        let fits = self.mover.engine.budget.size() / 2;
        let limits = self.mover.destination.limits();
        self.mover.job.transfer.multipart_threshold.min(fits).min(limits.single_put)
    }

    async fn answered(&self, opened: Opened, room: u64) -> Result<Answered, Torn> {
        let limits = self.mover.destination.limits();
        match opened.length {
            Some(length) if length <= self.most_at_once() => {
                self.throw_away().await?;
                let held = self.mover.engine.budget.take(length).await;
                let piece = fill(opened.body, None, length).await.map_err(Torn::Source)?.0;
                self.all_came(&piece, length)?;
                self.whole(opened.meta, piece, held, None).await.map(Answered::Done)
            }
            Some(_) if opened.ranges && limits.parts > 1 => Ok(Answered::Ranges(Box::new(opened.meta))),
            Some(_) => {
                self.throw_away().await?;
                self.stream(opened, None).await.map(Answered::Done)
            }
            None => {
                self.throw_away().await?;
                self.endless(opened, room).await
            }
        }
    }

    /// A body of no known length.
    async fn endless(&self, opened: Opened, room: u64) -> Result<Answered, Torn> {
        let budget = &self.mover.engine.budget;
        let note = (!opened.ends_marked).then_some(UNMARKED);
        let part = self.first_part();
        let held = budget.take(room).await;
        let (piece, body) = fill(opened.body, None, room).await.map_err(Torn::Source)?;
        if piece.ended {
            return self.whole(opened.meta, piece, held, note).await.map(Answered::Done);
        }
        let more = if room < part { budget.try_take(part - room) } else { None };
        if room < part && more.is_none() {
            return Ok(Answered::TooLong);
        }
        let (next, body) = fill(body, piece.rest, part - piece.len.min(part)).await.map_err(Torn::Source)?;
        let mut chunks = piece.chunks;
        chunks.extend(next.chunks);
        let piece = Piece { chunks, len: piece.len + next.len, rest: next.rest, ended: next.ended };
        if piece.ended {
            let _more = more;
            return self.whole(opened.meta, piece, held, note).await.map(Answered::Done);
        }
        if self.mover.destination.limits().needs_length {
            return Err(self.has_no_length());
        }
        let opened = Opened { body, ..opened };
        let done = self.stream(opened, Some((piece, vec![Some(held), more]))).await?;
        Ok(Answered::Done(done))
    }

    fn all_came(&self, piece: &Piece, length: u64) -> Result<(), Torn> {
        if piece.ended && piece.len == length {
            return Ok(());
        }
        let text = format!("{length} bytes were announced, and {} came", piece.len);
        Err(Torn::Source(Error::new(ErrorKind::Broken, Op::Get, text).on(&self.entry.key)))
    }

    /// All bytes are here: the way of small objects.
    async fn whole(
        &self,
        meta: ObjectMeta,
        piece: Piece,
        held: Held,
        note: Option<&str>,
    ) -> Result<Done, Torn> {
        let meta = ObjectMeta { size: piece.len, ..meta };
        let known = known(self.entry, &meta);
        let fetched = self.hashed(meta, piece.chunks, Reach::Whole);
        let trip = Trip { entry: &known, ..*self };
        let mut done = trip.move_fetched(Some(fetched)).await?;
        drop(held);
        done.notes.extend(note.map(str::to_owned));
        Ok(done)
    }

    /// Bytes with what has to be known of them.
    pub(crate) fn hashed(&self, meta: ObjectMeta, chunks: Vec<bytes::Bytes>, reach: Reach) -> Fetched {
        let (transfer, limits) = (&self.mover.job.transfer, self.mover.destination.limits());
        let mut hasher: Hasher = Plan::new(transfer, limits, &meta.checksums, reach).hasher();
        chunks.iter().for_each(|chunk| hasher.update(chunk));
        Fetched { meta, payload: Payload::new(chunks), hashes: hasher.finish() }
    }

    /// The object could not be told from one that broke off.
    pub(crate) fn unmarked(&self, opened: &Opened) -> Option<String> {
        (!opened.ends_marked).then(|| UNMARKED.to_owned())
    }

    /// A body that brings more or less than was announced.
    pub(crate) fn other_length(&self, announced: u64, came: u64) -> Torn {
        let text = format!("{announced} bytes were announced, and {came} came");
        Torn::Failed(Failure::Object { code: ObjectErrorCode::SizeNotMatch, text })
    }
}

/// The entry as a listing would have shown it.
pub(crate) fn known(entry: &Entry, meta: &ObjectMeta) -> Entry {
    Entry {
        size: meta.size,
        modified_ms: meta.modified_ms,
        etag: meta.etag.clone(),
        size_unknown: false,
        ..entry.clone()
    }
}

/// The next bytes of a body: `most` of them, or all that are left. What came beyond them is kept for the next one.
pub(crate) async fn fill(
    mut body: Body,
    rest: Option<bytes::Bytes>,
    most: u64,
) -> Result<(Piece, Body), Error> {
    let mut piece = Piece { chunks: Vec::new(), len: 0, rest: None, ended: false };
    let mut next = rest;
    loop {
        let mut chunk = match next.take() {
            Some(chunk) => chunk,
            None => match body.next().await {
                Some(chunk) => chunk?,
                None => {
                    piece.ended = true;
                    return Ok((piece, body));
                }
            },
        };
        let room = usize::try_from(most - piece.len).unwrap_or(usize::MAX);
        if chunk.len() > room {
            piece.rest = Some(chunk.split_off(room));
        }
        piece.len += chunk.len() as u64;
        if !chunk.is_empty() {
            piece.chunks.push(chunk);
        }
        if piece.rest.is_some() {
            return Ok((piece, body));
        }
    }
}
