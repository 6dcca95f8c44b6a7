//! Goes on with a multipart upload that an earlier holder of the task left unfinished.
//!
//! What the record says is not trusted: the source must still have the version that the upload was begun
//! with, and the destination must still have the parts. Whatever does not fit is begun anew.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use proto::v1;
use storage::checksum::Hashes;
use storage::{ErrorKind, ObjectMeta, PartDone, Side, UploadRef};
use tokio_util::sync::CancellationToken;

use crate::composite::whole;
use crate::large::Large;
use crate::multipart::{Begin, Stopped};
use crate::parts::part_range;
use crate::trip::{Failure, Trip};
use crate::verify::{Ours, join, upload_crc};

impl<'a> Trip<'a> {
    /// The upload to write to: the recorded one where it still fits, else a new one.
    pub(crate) async fn begin_or_resume(&self) -> Result<Begin<'a>, Stopped> {
        match self.tally.upload() {
            // An earlier holder was about to begin one: it may have come to that.
            Some(intention) if intention.upload_id.is_empty() => {
                self.tally.set_astray(Some(intention.begun_ms));
            }
            Some(recorded) => {
                self.tally.set_astray(recorded.astray.then_some(recorded.begun_ms));
                if let Some(begin) = self.resume(&recorded).await? {
                    return Ok(begin);
                }
                self.throw_away().await?;
            }
            None => {}
        }
        Ok(Begin::Parts(self.begin().await?))
    }

    async fn resume(&self, recorded: &v1::Upload) -> Result<Option<Begin<'a>>, Stopped> {
        let Some(count) = self.part_count(recorded) else { return Ok(None) };
        let parts = self.recorded_parts(recorded, count);
        let to = UploadRef { key: self.entry.target().clone(), id: recorded.upload_id.clone() };
        match self.standing_parts(&to, &parts).await? {
            // Some services list no parts for an upload that they do not know: no recorded part is no upload.
            Some(standing) if parts.is_empty() || !standing.is_empty() => {
                self.go_on(recorded, to, count, &parts, &standing).await
            }
            // It may be gone because it was completed; only all parts together can tell.
            _ if parts.len() == count as usize => self.find_completed(recorded, &parts).await,
            _ => Ok(None),
        }
    }

    /// The upload stands: its missing parts are left to do.
    async fn go_on(
        &self,
        recorded: &v1::Upload,
        to: UploadRef,
        count: u32,
        parts: &[PartDone],
        standing: &[PartDone],
    ) -> Result<Option<Begin<'a>>, Stopped> {
        let stands = |part: &&PartDone| {
            standing.iter().any(|there| there.number == part.number && there.size == part.size)
        };
        let kept: BTreeMap<u32, (PartDone, Hashes)> = parts
            .iter()
            .filter(stands)
            .map(|part| (part.number, (part.clone(), self.hashes_of(part))))
            .collect();
        let stated = self.stated().await?;
        let mut todo: VecDeque<u32> = (1..=count).filter(|number| !kept.contains_key(number)).collect();
        let mut ready = None;
        let meta = match todo.pop_front() {
            Some(number) => {
                let range = part_range(number, recorded.part_size, self.entry.size);
                let (fetched, held) = self.read_part(range, &self.listed(), &stated.checksums).await?;
                let meta = fetched.meta.clone();
                ready = Some((number, fetched, held));
                meta
            }
            None => self.head_source().await?,
        };
        if !self.is_same_source(recorded, &meta) {
            return Ok(None);
        }
        let flight = self.mover.flight();
        flight.add(kept.values().map(|(part, _)| part.size).sum());
        tracing::info!(parts = kept.len(), of = count, "going on with an upload");
        Ok(Some(Begin::Parts(Box::new(Large {
            to,
            part_size: recorded.part_size,
            begun_ms: recorded.begun_ms,
            size: self.entry.size,
            version: self.pinned(&meta),
            options: self.upload_options(&meta, recorded.part_size).await?,
            source: whole(&stated, meta.checksums),
            in_parts_of_source: stated.part == Some(recorded.part_size),
            md5: None,
            todo: Mutex::new(todo),
            ready: Mutex::new(ready),
            saved: tokio::sync::Mutex::new(kept.len()),
            parts: Mutex::new(kept),
            drained: CancellationToken::new(),
            resumed: true,
            flight,
        }))))
    }

    /// The upload is gone: is it because an earlier holder completed it?
    async fn find_completed(
        &self,
        recorded: &v1::Upload,
        parts: &[PartDone],
    ) -> Result<Option<Begin<'a>>, Stopped> {
        let meta = self.head_source().await?;
        if !self.is_same_source(recorded, &meta) {
            return Ok(None);
        }
        let mut whole = join(&parts.iter().map(|part| self.hashes_of(part)).collect::<Vec<_>>());
        whole.md5 = self.compared_md5(&meta);
        let proven = self.completed_before(Ours { hashes: &whole, payload: None }).await?;
        let Some(proven) = proven else { return Ok(None) };
        self.forget(recorded.clone()).await?;
        let not_carried = self.not_carried(&self.options(&meta, meta.checksums.md5).await?);
        Ok(Some(Begin::Complete(proven.done(self.entry.size, not_carried))))
    }

    fn is_same_source(&self, recorded: &v1::Upload, meta: &ObjectMeta) -> bool {
        let same = self.pinned(meta).to_line() == recorded.source_version;
        if !same {
            tracing::info!("the source was changed since the upload began: it is begun anew");
        }
        same
    }

    /// How many parts the recorded upload has; nothing where the record cannot be this object's.
    fn part_count(&self, recorded: &v1::Upload) -> Option<u32> {
        let fits = recorded.key == self.entry.target().as_bytes()
            && !recorded.upload_id.is_empty()
            && recorded.part_size > 0
            && !recorded.finished;
        let count = fits.then(|| self.entry.size.div_ceil(recorded.part_size))?;
        u32::try_from(count).ok().filter(|count| (1..=100_000).contains(count))
    }

    fn recorded_parts(&self, recorded: &v1::Upload, count: u32) -> Vec<PartDone> {
        let mut parts = BTreeMap::new();
        for part in &recorded.parts {
            let range = part_range(part.number, recorded.part_size, self.entry.size);
            if (1..=count).contains(&part.number) && part.size == range.end - range.start {
                let done = PartDone {
                    number: part.number,
                    offset: range.start,
                    size: part.size,
                    etag: part.etag.clone(),
                    crc: part.crc64,
                    md5: part.md5.as_slice().try_into().ok(),
                };
                parts.insert(part.number, done);
            }
        }
        parts.into_values().collect()
    }

    fn hashes_of(&self, part: &PartDone) -> Hashes {
        let crc = upload_crc(self.mover.destination.limits());
        Hashes {
            size: part.size,
            crcs: part.crc.map(|value| (crc, value)).into_iter().collect(),
            md5: part.md5,
        }
    }

    /// The parts that are still there; nothing where the upload is gone.
    async fn standing_parts(
        &self,
        to: &UploadRef,
        recorded: &[PartDone],
    ) -> Result<Option<Vec<PartDone>>, Failure> {
        let mut turn = self.turn(Side::Destination);
        loop {
            match self.mover.destination.parts(to, recorded).await {
                Ok(parts) => return Ok(Some(parts)),
                Err(error) if error.kind() == ErrorKind::UploadNotFound => return Ok(None),
                Err(error) => turn.failed(error).await?,
            }
        }
    }

    /// The source's object as it stands.
    pub(crate) async fn head_source(&self) -> Result<ObjectMeta, Failure> {
        let mut turn = self.turn(Side::Source);
        loop {
            match self.source().head(&self.entry.key).await {
                Ok(meta) => return Ok(meta),
                Err(error) => turn.failed(error).await?,
            }
        }
    }
}
