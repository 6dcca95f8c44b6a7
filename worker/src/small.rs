//! A small object: one GET, one PUT, and nothing else unless something goes wrong.

use std::sync::atomic::Ordering;

use storage::checksum::md5_of_etag;
use storage::{Checksums, ErrorKind, PutOptions, Side, Written};
use tokio::time::Instant;

use crate::budget::micros;
use crate::proof::Unproved;
use crate::trip::{Done, Failure, Fetched, Trip};
use crate::verify::{Difference, md5_of_both};

/// Writes of one object that the destination states wrongly before it is given up.
const WRITES: u32 = 3;

/// Why an object was not written.
enum Unwritten {
    /// Its bytes are not those that the source states.
    Damaged(Difference),
    Failed(Failure),
}

impl From<Failure> for Unwritten {
    fn from(failure: Failure) -> Self {
        Unwritten::Failed(failure)
    }
}

impl From<Difference> for Unwritten {
    fn from(difference: Difference) -> Self {
        Unwritten::Damaged(difference)
    }
}

impl Trip<'_> {
    /// Reads the object whole, writes it, proves it. Bytes that are not those that the source states are read once
    /// more.
    pub(crate) async fn move_small(&self) -> Result<Done, Failure> {
        let _held = self.mover.engine.budget.take(self.entry.size).await;
        self.move_fetched(None).await
    }

    /// The same for bytes that are here already, or have their place in the budget.
    pub(crate) async fn move_fetched(&self, mut first: Option<Fetched>) -> Result<Done, Failure> {
        let mut damaged = false;
        loop {
            let fetched = match first.take() {
                Some(fetched) => fetched,
                None => self.fetch(None, &self.listed(), &Checksums::default()).await?,
            };
            match self.write_proved(fetched).await {
                Ok(done) => {
                    self.mover.gate.finished(self.entry.size);
                    return Ok(done);
                }
                Err(Unwritten::Failed(failure)) => return Err(failure),
                Err(Unwritten::Damaged(difference)) if damaged => return Err(difference.at("source")),
                Err(Unwritten::Damaged(_)) => {
                    damaged = true;
                    self.tally.again();
                }
            }
        }
    }

    /// Writes until the destination states what was read.
    async fn write_proved(&self, mut fetched: Fetched) -> Result<Done, Unwritten> {
        let (transfer, limits) = (&self.mover.job.transfer, self.mover.destination.limits());
        let between_them = md5_of_both(transfer, limits, &fetched.meta.checksums);
        let source_proved = between_them.is_some() || self.source_agrees(&fetched)?;
        let mut options = self.options(&fetched.meta, fetched.hashes.md5).await?;
        options.md5 = between_them.or(fetched.hashes.md5.filter(|_| limits.etag_is_md5));
        let mut writes = 1;
        loop {
            let written = match self.put(&options, &fetched).await? {
                Ok(written) => written,
                Err(taken) => {
                    let source_proved = self.source_agrees(&fetched)?;
                    let done = self.taken(taken, fetched.ours()).await?;
                    let not_carried = if done.skipped { Vec::new() } else { self.not_carried(&options) };
                    return Ok(Done { source_proved, not_carried, ..done });
                }
            };
            if let Some(stated) = between_them {
                self.same_at_both(&mut fetched, stated, &written)?;
            }
            match self.prove(&written, fetched.ours(), None).await {
                Ok(proven) => {
                    let done = proven.done(self.entry.size, options.not_carried(written.not_carried));
                    return Ok(Done { source_proved, ..done });
                }
                Err(Unproved::Failed(failure)) => return Err(failure.into()),
                Err(Unproved::Differs(difference)) if writes >= WRITES => {
                    return Err(difference.at("destination").into());
                }
                Err(Unproved::Differs(difference)) => {
                    tracing::warn!(
                        check = difference.check,
                        "the destination holds other bytes: writing again"
                    );
                    self.tally.again();
                    writes += 1;
                }
            }
        }
    }

    /// The MD5 that the source states is the one that the destination came to. Where that does not say it, the bytes
    /// are hashed here.
    fn same_at_both(
        &self,
        fetched: &mut Fetched,
        stated: [u8; 16],
        written: &Written,
    ) -> Result<(), Difference> {
        if written.etag.as_deref().and_then(md5_of_etag) != Some(stated) {
            self.source_agrees(fetched)?;
        }
        fetched.hashes.md5 = Some(stated);
        Ok(())
    }

    /// One write; the inner error is that something is there which must not be written over.
    async fn put(
        &self,
        options: &PutOptions,
        fetched: &Fetched,
    ) -> Result<Result<Written, storage::Error>, Unwritten> {
        let mover = self.mover;
        let mut turn = self.turn(Side::Destination);
        loop {
            let begun = Instant::now();
            let put = mover.destination.put(self.entry.target(), options, &fetched.payload).await;
            mover.waits.destination.fetch_add(micros(begun.elapsed()), Ordering::Relaxed);
            match put {
                Ok(written) => {
                    mover.breaker.good(Side::Destination);
                    return Ok(Ok(written));
                }
                Err(error) if self.is_taken(error.kind()) => return Ok(Err(error)),
                Err(error) => {
                    if options.md5.is_some() && error.kind() == ErrorKind::Corrupted {
                        // They may have been damaged before they came here.
                        self.source_agrees(fetched)?;
                    }
                    turn.failed(error).await?;
                }
            }
        }
    }

    /// The destination refused to write over what is there, as the job asked it to.
    pub(crate) fn is_taken(&self, kind: ErrorKind) -> bool {
        let refused = matches!(kind, ErrorKind::PreconditionFailed | ErrorKind::Conflict);
        refused && self.mover.job.destination.forbid_overwrite
    }
}
