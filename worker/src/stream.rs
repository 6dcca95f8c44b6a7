//! An object that can be read only once, from its first byte to its last: in parts, while it comes. One part is
//! written while the next one is read. Nothing of it can be read again, so that whatever breaks begins anew.
//!
//! Parts grow where the length is not known: 10,000 of them have to hold it.

use std::collections::VecDeque;
use std::sync::Mutex;

use proto::ObjectErrorCode;
use proto::v1;
use storage::checksum::Hasher;
use storage::{ObjectMeta, Opened, PutOptions, Unwanted, Version};
use tokio_util::sync::CancellationToken;

use crate::budget::Held;
use crate::large::Large;
use crate::parts::part_size;
use crate::trip::{Done, Failure, Fetched, Trip};
use crate::unknown::{Piece, Torn, fill, known};
use crate::verify::{Difference, Reach};

/// Parts of one size before they double.
const OF_ONE_SIZE: u32 = 1500;

/// A part on its way.
struct Next {
    number: u32,
    offset: u64,
    fetched: Fetched,
    _held: Vec<Option<Held>>,
}

impl Trip<'_> {
    /// Bytes of the first part of an object of no known length. Where the destination has to know that length, no
    /// second one can follow: then it is what is written whole at most.
    pub(crate) fn first_part(&self) -> u64 {
        if self.mover.destination.limits().needs_length { self.most_at_once() } else { self.part_at(1) }
    }

    /// An object of no known length that is longer than what is written whole.
    pub(crate) fn has_no_length(&self) -> Torn {
        let kind = self.mover.job.destination.kind.name();
        let text = format!(
            "the server does not say how long it is (no Content-Length), {kind} has to be told that before the first \
             part of an upload, and it is longer than the {} bytes that are written whole at most: set \
             multipart_threshold and memory_limit (twice as much) higher than it is, or read it from a server that \
             says its length",
            self.most_at_once()
        );
        Torn::Failed(Failure::Object { code: ObjectErrorCode::UploadFailed, text })
    }

    fn part_at(&self, number: u32) -> u64 {
        let (limits, budget) = (self.mover.destination.limits(), self.mover.engine.budget.size());
        let configured = self.mover.job.transfer.part_size.max(limits.part_min);
        let grown = configured.saturating_mul(1 << (number / OF_ONE_SIZE).min(20));
        grown.min(budget / 2).max(limits.part_min).min(limits.part_max).max(1)
    }

    /// Moves what is open; `first` was read already.
    pub(crate) async fn stream(
        &self,
        opened: Opened,
        first: Option<(Piece, Vec<Option<Held>>)>,
    ) -> Result<Done, Torn> {
        let note = self.unmarked(&opened);
        let limits = self.mover.destination.limits();
        let budget = &self.mover.engine.budget;
        let of_known = opened.length.map(|length| {
            let part = part_size(length, self.mover.job.transfer.part_size.min(budget.size() / 2), limits);
            self.fitting(length, part)
        });
        let of_known = of_known.transpose().map_err(Torn::Failed)?;
        let size_of = |number| of_known.unwrap_or_else(|| self.part_at(number));
        let Opened { meta, length, mut body, .. } = opened;
        let (mut piece, mut held) = match first {
            Some(first) => first,
            None => {
                let held = budget.take(size_of(1)).await;
                let (piece, rest) = fill(body, None, size_of(1)).await.map_err(Torn::Source)?;
                body = rest;
                (piece, vec![Some(held)])
            }
        };
        let mut md5 = self.whole_md5(&meta);
        let mut large = self.begin_stream(&meta, length.unwrap_or(0), size_of(1)).await?;
        let (mut number, mut offset) = (1, 0);
        loop {
            hash(&mut md5, &piece);
            let (len, ended, rest) = (piece.len, piece.ended, piece.rest);
            let fetched = self.hashed(meta.clone(), piece.chunks, Reach::Part);
            let part = Next { number, offset, fetched, _held: held };
            offset += len;
            let write = async { self.write_next(&large, part).await.map_err(Torn::from) };
            if ended {
                write.await?;
                break;
            }
            number += 1;
            self.may_go_on(number, offset)?;
            let read = async {
                let held = budget.take(size_of(number)).await;
                let read = fill(body, rest, size_of(number)).await.map_err(Torn::Source)?;
                Ok::<_, Torn>((read, held))
            };
            let ((), ((next, left), next_held)) = futures::try_join!(write, read)?;
            (piece, held, body) = (next, vec![Some(next_held)], left);
            if piece.ended && piece.len == 0 {
                break;
            }
        }
        if let Some(announced) = length.filter(|length| *length != offset) {
            return Err(self.other_length(announced, offset));
        }
        let taken = self.same_md5(md5, &meta)?;
        let stated = taken.is_some();
        (large.size, large.options.size, large.md5) = (offset, offset, taken);
        let known = known(self.entry, &ObjectMeta { size: offset, ..meta });
        let mut done = Trip { entry: &known, ..*self }.finish(&large).await?;
        done.source_proved |= stated;
        done.notes.extend(note);
        Ok(done)
    }

    fn may_go_on(&self, number: u32, offset: u64) -> Result<(), Torn> {
        let most = self.mover.destination.limits().parts;
        if number <= most {
            return Ok(());
        }
        let text = format!(
            "the server does not say how long it is, and {most} parts, {offset} bytes, do not hold it: set \
             part_size and memory_limit higher"
        );
        Err(Torn::Failed(Failure::Object { code: ObjectErrorCode::UploadFailed, text }))
    }

    async fn begin_stream(&self, meta: &ObjectMeta, size: u64, part_size: u64) -> Result<Large<'_>, Torn> {
        let options = PutOptions { size, ..self.upload_options(meta, part_size).await? };
        let version = Version { size, modified_ms: meta.modified_ms, etag: meta.etag.clone() };
        let begun_ms = self.tally.astray().unwrap_or_else(|| jiff::Timestamp::now().as_millisecond());
        let intention = v1::Upload {
            index: self.index,
            key: self.entry.target().as_bytes().to_vec(),
            part_size,
            // No reader of it goes on with this upload: it has no parts that could be read again.
            source_version: "a stream".to_owned(),
            begun_ms,
            ..v1::Upload::default()
        };
        let to = self.begin_upload(&options, intention).await?;
        let large = Large {
            to,
            part_size,
            begun_ms,
            size,
            version,
            options,
            in_parts_of_source: false,
            source: meta.checksums,
            md5: None,
            todo: Mutex::new(VecDeque::new()),
            ready: Mutex::new(None),
            parts: Mutex::default(),
            saved: tokio::sync::Mutex::default(),
            drained: CancellationToken::new(),
            resumed: false,
            flight: self.mover.flight(),
        };
        let mut record = large.record(self.index);
        record.source_version = "a stream".to_owned();
        if let Err(failure) = self.save(record).await {
            let _ = self.mover.destination.abort(&Unwanted::Known(large.to)).await;
            return Err(failure.into());
        }
        self.abort_astray(&large.to.id).await;
        Ok(large)
    }

    async fn write_next(&self, large: &Large<'_>, part: Next) -> Result<(), crate::multipart::Stopped> {
        let done = self.write_part(large, part.number, part.offset, &part.fetched).await?;
        let bytes = done.size;
        large.parts().insert(part.number, (done, part.fetched.hashes));
        large.flight.add(bytes);
        self.mover.gate.finished(bytes);
        Ok(())
    }

    /// The parts' hashes combine to a CRC of the whole, not to an MD5.
    fn whole_md5(&self, meta: &ObjectMeta) -> Option<Hasher> {
        let storage::Checksums { md5, claimed, .. } = meta.checksums;
        let only = storage::Checksums { md5, claimed, ..storage::Checksums::default() };
        let wanted = self.mover.job.transfer.verify != conf::job::Verify::Size;
        (wanted && only.md5.is_some() && meta.checksums == only).then(|| Hasher::new(&[], true))
    }

    /// The MD5 of all bytes, where the source states one and it is the same.
    fn same_md5(&self, hasher: Option<Hasher>, meta: &ObjectMeta) -> Result<Option<[u8; 16]>, Torn> {
        let ours = hasher.and_then(|hasher| hasher.finish().md5);
        let (Some(ours), Some(theirs)) = (ours, meta.checksums.md5) else { return Ok(None) };
        if ours == theirs {
            return Ok(Some(ours));
        }
        let (ours, theirs) = (hex::encode(ours), hex::encode(theirs));
        let difference = Difference { check: "content_md5", ours, theirs, by_etag: false };
        Err(Torn::Again(difference.at("source")))
    }
}

fn hash(md5: &mut Option<Hasher>, piece: &Piece) {
    if let Some(md5) = md5 {
        piece.chunks.iter().for_each(|chunk| md5.update(chunk));
    }
}
