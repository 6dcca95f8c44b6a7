//! Objects that have to be restored before they can be read: they fail, are left alone, or are asked for and waited
//! for, as the job says.
//!
//! Nobody here remembers what was asked for: the object itself says it (one HEAD), so that neither a kill nor another
//! worker asks twice. And nobody waits here: the object is given back, and its task comes again later.

use conf::job::OnArchived;
use proto::Proof;
use proto::breakpoint::{self, breakpoint};
use storage::archive::{Asked, Stand, Wish, is_archived};
use storage::{Error, ErrorKind, Op, Side, retry};

use crate::copy::Mover;
use crate::trip::{Done, Failure, Trip};

impl Mover {
    /// An archived object that does not fail for that.
    pub(crate) fn may_be_read(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::Archived && self.job.source.on_archived != OnArchived::Fail
    }
}

impl Trip<'_> {
    /// Where the listing says that the object is archived, and the job restores: it can be read, or it waits. A read
    /// would only be refused.
    pub(crate) async fn restored_before(&self) -> Result<(), Failure> {
        let source = &self.mover.job.source;
        let class = self.entry.class.as_deref().unwrap_or_default();
        if source.on_archived != OnArchived::Restore || !is_archived(source.kind, class) {
            return Ok(());
        }
        if self.is_readable().await? { Ok(()) } else { Err(Failure::Deferred) }
    }

    /// The source refused to read it, for the first time or `again`. Nothing: it says now that it can be read.
    pub(crate) async fn archived(&self, error: Error, again: bool) -> Result<Option<Done>, Failure> {
        match self.mover.job.source.on_archived {
            OnArchived::Fail => Err(Failure::Storage { side: Side::Source, error }),
            OnArchived::Skip => {
                self.throw_away().await?;
                Ok(Some(self.left_alone()))
            }
            OnArchived::Restore if !self.is_readable().await? => Err(Failure::Deferred),
            OnArchived::Restore if !again => Ok(None),
            OnArchived::Restore => self.ask_unstated(error).await,
        }
    }

    /// HEAD says that it can be read, and twice GET refused: services state nothing of classes that they do not tell
    /// by these headers. It is asked for as one that is archived; a service that says again that there is nothing to
    /// do would be asked for ever.
    async fn ask_unstated(&self, refused: Error) -> Result<Option<Done>, Failure> {
        let class = self.entry.class.as_deref().unwrap_or_default();
        let automatic = class.eq_ignore_ascii_case("INTELLIGENT_TIERING");
        let said = match self.wish(class, automatic).await {
            Ok(Asked::Restoring | Asked::Later) => return Err(Failure::Deferred),
            Ok(Asked::Readable) => "the restore answers that there is nothing to do".to_owned(),
            Err(Failure::Storage { error, .. })
                if !retry::retryable(error.kind()) && !retry::is_systemic(error.kind()) =>
            {
                error.to_string()
            }
            Err(failure) => return Err(failure),
        };
        let text = format!("HEAD says that it can be read, GET refuses ({}), and {said}", refused.message());
        let error = Error::new(ErrorKind::Archived, Op::Get, text).on(&self.entry.key).service(
            refused.status().unwrap_or_default(),
            refused.code(),
            refused.request_id(),
        );
        Err(Failure::Storage { side: Side::Source, error })
    }

    fn left_alone(&self) -> Done {
        let class = self.entry.class.as_deref().map(|class| format!(" ({class})")).unwrap_or_default();
        Done {
            size: self.entry.size,
            proof: Proof::Archived,
            value: String::new(),
            source_proved: false,
            notes: vec![format!(
                "archived at the source{class}, and on_archived is \"skip\": it was not moved"
            )],
            not_carried: Vec::new(),
            skipped: true,
        }
    }

    /// Asks for it where nobody did.
    async fn is_readable(&self) -> Result<bool, Failure> {
        match self.stand().await? {
            Stand::Readable => Ok(true),
            Stand::Restoring => Ok(false),
            Stand::Archived { class, automatic } => {
                let asked = self.wish(&class, automatic).await?;
                tracing::debug!(class, ?asked, "asked for");
                breakpoint(breakpoint::ASKED_FOR);
                Ok(asked == Asked::Readable)
            }
        }
    }

    async fn wish(&self, class: &str, automatic: bool) -> Result<Asked, Failure> {
        let source = &self.mover.job.source;
        let (tier, days) = (source.restore_tier, source.restore_days);
        self.ask(&Wish { class, automatic, tier, days }).await
    }

    async fn stand(&self) -> Result<Stand, Failure> {
        let mut turn = self.turn(Side::Source);
        loop {
            let stand = match self.mover.archive() {
                Ok(archive) => archive.stand(&self.entry.key).await,
                Err(error) => Err(error),
            };
            match stand {
                Ok(stand) => return Ok(stand),
                Err(error) => turn.failed(error).await?,
            }
        }
    }

    async fn ask(&self, wish: &Wish<'_>) -> Result<Asked, Failure> {
        let mut turn = self.turn(Side::Source);
        loop {
            let asked = match self.mover.archive() {
                Ok(archive) => archive.restore(&self.entry.key, wish).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(asked) => return Ok(asked),
                Err(error) => turn.failed(error).await?,
            }
        }
    }
}
