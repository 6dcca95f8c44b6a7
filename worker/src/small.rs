//! A small object: one GET, one PUT, and nothing else unless something goes wrong.

use std::sync::atomic::Ordering;

use storage::{ErrorKind, PutOptions, Side, Written};
use tokio::time::Instant;

use crate::budget::micros;
use crate::proof::Unproved;
use crate::trip::{Done, Failure, Fetched, Trip};
use crate::verify::Ours;

/// Writes of one object that the destination states wrongly before it is given up.
const WRITES: u32 = 3;

impl Trip<'_> {
    /// Reads the object whole, writes it, proves it.
    pub(crate) async fn move_small(&self) -> Result<Done, Failure> {
        let _held = self.mover.engine.budget.take(self.entry.size).await;
        let (fetched, source_proved) = self.fetch_proved().await?;
        let options = self.options(&fetched.meta, fetched.hashes.md5);
        let mut done = self.put_proved(&options, &fetched).await?;
        done.source_proved = source_proved;
        self.mover.gate.finished(self.entry.size);
        Ok(done)
    }

    /// Writes until the destination states what was read.
    async fn put_proved(&self, options: &PutOptions, fetched: &Fetched) -> Result<Done, Failure> {
        let ours = Ours { hashes: &fetched.hashes, payload: Some(&fetched.payload) };
        let mut writes = 1;
        loop {
            let written = match self.put(options, fetched).await? {
                Ok(written) => written,
                Err(taken) => return self.taken(taken, ours).await,
            };
            match self.prove(&written, ours, None).await {
                Ok(proven) => return Ok(proven.done(self.entry.size, written.not_carried)),
                Err(Unproved::Failed(failure)) => return Err(failure),
                Err(Unproved::Differs(difference)) if writes >= WRITES => {
                    return Err(difference.at("destination"));
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

    /// One write; the inner error is that something is there which must not be written over.
    async fn put(
        &self,
        options: &PutOptions,
        fetched: &Fetched,
    ) -> Result<Result<Written, storage::Error>, Failure> {
        let mover = self.mover;
        let mut turn = self.turn(Side::Destination);
        loop {
            let begun = Instant::now();
            let put = mover.destination.put(&self.entry.key, options, &fetched.payload).await;
            mover.waits.destination.fetch_add(micros(begun.elapsed()), Ordering::Relaxed);
            match put {
                Ok(written) => {
                    mover.breaker.good(Side::Destination);
                    return Ok(Ok(written));
                }
                Err(error) if self.is_taken(error.kind()) => return Ok(Err(error)),
                Err(error) => turn.failed(error).await?,
            }
        }
    }

    /// The destination refused to write over what is there, as the job asked it to.
    pub(crate) fn is_taken(&self, kind: ErrorKind) -> bool {
        let refused = matches!(kind, ErrorKind::PreconditionFailed | ErrorKind::Conflict);
        refused && self.mover.job.destination.forbid_overwrite
    }
}
