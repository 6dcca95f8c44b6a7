//! What a job carries on request: tags, access lists, links, directory markers that are not there. A job that asks
//! for none of it does nothing here.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use conf::carry::Symlinks;
use proto::{ObjectErrorCode, ObjectKey, Proof};
use storage::fidelity::Property;
use storage::{Error, ErrorKind, Headers, Link, Payload, PutOptions, Side};

use crate::trip::{Done, Failure, Trip};

/// Directories that are remembered to have their marker; beyond it a request is repeated now and then.
const REMEMBERED: usize = 100_000;

/// The directories of one job that have their marker.
#[derive(Debug, Default)]
pub(crate) struct Made(Mutex<BTreeSet<ObjectKey>>);

impl Made {
    fn has(&self, key: &ObjectKey) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    fn add(&self, key: ObjectKey) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= REMEMBERED {
            made.clear();
        }
        made.insert(key);
    }
}

/// A refusal that leaves the object itself alone: it is moved without that, and the record says so.
fn is_refusal(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::AccessDenied | ErrorKind::Unsupported | ErrorKind::Refused | ErrorKind::NotFound
    )
}

impl Trip<'_> {
    /// Adds to the options what the job asks for beside the object itself.
    pub(crate) async fn ask_beside(&self, options: &mut PutOptions) -> Result<(), Failure> {
        let carry = &self.mover.job.transfer.carry;
        if carry.tags {
            match self.asked(Property::Tags, || self.mover.source.tags(&self.entry.key)).await? {
                Ok(tags) => options.tags = tags,
                Err(note) => options.lost.push(note),
            }
        }
        if carry.acl {
            match self.asked(Property::Acl, || self.mover.source.acl(&self.entry.key)).await? {
                Ok(acl) => self.take_acl(options, acl),
                Err(note) => options.lost.push(note),
            }
        }
        Ok(())
    }

    fn take_acl(&self, options: &mut PutOptions, acl: Option<String>) {
        let kind = self.mover.job.destination.kind;
        match acl {
            // The bucket's own counts: so it does at the destination.
            Some(acl) if acl == "default" => {}
            Some(acl) if kind.canned_acls().contains(&acl.as_str()) => options.acl = Some(acl),
            Some(acl) => options.lost.push(format!("acl {acl}: {} has no such list", kind.name())),
            None => options
                .lost
                .push("acl: it is none of the canned ones, the destination's own was taken".into()),
        }
    }

    /// Asks until there is an answer; a refusal of it is a note.
    async fn asked<T, F: Future<Output = Result<T, Error>> + Send>(
        &self,
        property: Property,
        ask: impl Fn() -> F + Send + Sync,
    ) -> Result<Result<T, String>, Failure> {
        let mut turn = self.turn(Side::Source);
        loop {
            match ask().await {
                Ok(found) => return Ok(Ok(found)),
                Err(error) if is_refusal(error.kind()) => return Ok(Err(format!("{property}: {error}"))),
                Err(error) => turn.failed(error).await?,
            }
        }
    }

    /// Makes the link anew where the job wants that, and reads it back. Nothing: its target's content is to be moved.
    pub(crate) async fn carry_link(&self, lost: &mut Vec<String>) -> Result<Option<Done>, Failure> {
        if self.mover.job.transfer.carry.symlinks != Symlinks::Carry {
            return Ok(None);
        }
        let link = self.link_at(Side::Source).await?;
        let Some(link) = link else {
            lost.push(
                "symlink: it leads out of what is moved, the content of its target was moved".to_owned(),
            );
            return Ok(None);
        };
        let carry = &self.mover.job.transfer.carry;
        let mut options = PutOptions {
            headers: Headers { user: link.user, ..Headers::default() },
            class: carry.class_for(None).map(str::to_owned),
            ..PutOptions::default()
        };
        if carry.acl {
            match self.asked(Property::Acl, || self.mover.source.acl(&self.entry.key)).await? {
                Ok(acl) => self.take_acl(&mut options, acl),
                Err(note) => options.lost.push(note),
            }
        }
        let mut turn = self.turn(Side::Destination);
        let written = loop {
            match self.mover.destination.put_link(self.entry.target(), &link.target, &options).await {
                Ok(written) => break written,
                Err(error) => turn.failed(error).await?,
            }
        };
        let stands = self.link_at(Side::Destination).await?.map(|link| link.target);
        if stands.as_ref() != Some(&link.target) {
            let text = format!(
                "the link leads to {}, and at the destination to {}. Retry; if it stays, somebody else writes there.",
                link.target,
                stands.map_or_else(|| "another place".to_owned(), |target| target.to_string())
            );
            return Err(Failure::Object { code: ObjectErrorCode::ChecksumNotMatch, text });
        }
        Ok(Some(Done {
            size: self.entry.size,
            proof: Proof::Readback,
            value: link.target.to_line(),
            source_proved: false,
            notes: vec!["a link: it was made anew and read back".to_owned()],
            not_carried: options.not_carried(written.not_carried),
            skipped: false,
        }))
    }

    async fn link_at(&self, side: Side) -> Result<Option<Link>, Failure> {
        let mut turn = self.turn(side);
        loop {
            let end = match side {
                Side::Source => Ok(self.mover.source.clone()),
                Side::Destination => self.mover.standing(),
            };
            let key = if side == Side::Source { &self.entry.key } else { self.entry.target() };
            let found = match end {
                Ok(end) => end.link(key).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(link) => return Ok(link),
                Err(error) => turn.failed(error).await?,
            }
        }
    }

    /// Makes the markers of the directories that the object stands in, where there are none.
    pub(crate) async fn make_markers(&self) -> Result<(), Failure> {
        let key = self.entry.target().to_bytes();
        let inner = key.strip_suffix(b"/").unwrap_or(&key);
        let ends = inner.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
        for end in ends.collect::<Vec<_>>() {
            let marker = ObjectKey::new(key.slice(..end));
            if !self.mover.made.has(&marker) {
                self.make_marker(&marker).await?;
                self.mover.made.add(marker);
            }
        }
        Ok(())
    }

    async fn make_marker(&self, marker: &ObjectKey) -> Result<(), Failure> {
        let options = PutOptions { keep_standing: true, ..PutOptions::default() };
        let mut turn = self.turn(Side::Destination);
        loop {
            match self.mover.destination.put(marker, &options, &Payload::default()).await {
                Ok(_) => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::PreconditionFailed | ErrorKind::Conflict) => {
                    return Ok(());
                }
                Err(error) => turn.failed(error).await?,
            }
        }
    }
}
