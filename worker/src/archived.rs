//! Objects that have to be restored before they can be read: they fail, are left alone, or are asked for and waited
//! for, as the job says.
//!
//! Nobody here remembers what was asked for: the object itself says it (one HEAD), so that neither a kill nor another
//! worker asks twice. And nobody waits here: the object is given back, and its task comes again later.

use conf::job::OnArchived;
use proto::Proof;
use proto::breakpoint::{self, breakpoint};
use storage::archive::{Asked, Stand, Wish, is_archived};
use storage::{Error, Side};

use crate::trip::{Done, Failure, Trip};

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

    /// The source refused to read it.
    pub(crate) async fn archived(&self, error: Error) -> Result<Done, Failure> {
        match self.mover.job.source.on_archived {
            OnArchived::Fail => Err(Failure::Storage { side: Side::Source, error }),
            OnArchived::Skip => {
                self.throw_away().await?;
                Ok(self.left_alone())
            }
            OnArchived::Restore => {
                // One that can be read by now is read when its task comes again.
                self.is_readable().await?;
                Err(Failure::Deferred)
            }
        }
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
                let source = &self.mover.job.source;
                let (tier, days) = (source.restore_tier, source.restore_days);
                let asked = self.ask(&Wish { class: &class, automatic, tier, days }).await?;
                tracing::debug!(class, ?asked, "asked for");
                breakpoint(breakpoint::ASKED_FOR);
                Ok(asked == Asked::Readable)
            }
        }
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
