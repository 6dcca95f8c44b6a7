//! What stands at the destination, asked where a job leaves alone what is there.

use conf::job::EndpointType;
use proto::Proof;
use proto::manifest::Existing;
use storage::ErrorKind;

use crate::copy::Mover;
use crate::skip::{Choice, Standing, choose};
use crate::trip::{Done, Failure, Trip};

impl Mover {
    fn is_tree(&self) -> bool {
        self.job.destination.kind == EndpointType::Local
    }

    /// What stands at this job's destination.
    pub(crate) fn standing_as(&self, standing: Standing) -> Standing {
        if self.is_tree() { standing.file() } else { standing }
    }

    /// With `skip_existing`: what the destination has is left alone.
    pub(crate) async fn already_there(&self, trip: &Trip<'_>) -> Result<Option<Done>, Failure> {
        // What failed before is not left alone for its size and time: its own wrong write may be what stands there.
        if !self.job.transfer.skip_existing || trip.again {
            return Ok(None);
        }
        let choice = match &trip.entry.existing {
            Existing::Absent => return Ok(None),
            Existing::Present { size, modified_ms, etag } => {
                let (size, modified_ms) = (*size, *modified_ms);
                let listed = Standing { size, modified_ms, etag: etag.clone(), stored_ms: None };
                choose(trip.entry, &self.standing_as(listed), self.is_tree())
            }
            Existing::Unknown => Choice::Ask,
        };
        let choice = match choice {
            Choice::Ask => match trip.head_destination().await {
                Ok(meta) => choose(trip.entry, &self.standing_as(Standing::from(&meta)), true),
                // Where there is no right to list, an object that is absent is refused: write it.
                Err(Failure::Storage { error, .. })
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AccessDenied) =>
                {
                    Choice::Move
                }
                Err(failure) => return Err(failure),
            },
            known => known,
        };
        let Choice::Leave(why) = choice else { return Ok(None) };
        Ok(Some(Done {
            size: trip.entry.size,
            proof: Proof::Existing,
            value: String::new(),
            source_proved: false,
            notes: vec![why.to_owned()],
            not_carried: Vec::new(),
            skipped: true,
        }))
    }
}
