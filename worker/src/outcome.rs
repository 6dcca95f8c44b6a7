//! What is recorded of an object.

use std::time::Duration;

use conf::Endpoint;
use jiff::Timestamp;
use proto::ObjectErrorCode;
use proto::manifest::Entry;
use proto::v1::{AuditRecord, Outcome};
use storage::{Error, ErrorKind, Side, retry};

use crate::trip::Done;

/// What every record of one object has, whatever became of it.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// The place in the manifest.
    pub(crate) index: u32,
    /// As listed.
    pub(crate) entry: &'a Entry,
    /// Attempts in all.
    pub(crate) attempts: u32,
    /// From its slot to its end.
    pub(crate) took: Duration,
    /// This worker's name.
    pub(crate) worker: &'a str,
    /// Where it goes.
    pub(crate) destination: &'a Endpoint,
}

impl Record<'_> {
    /// It is settled.
    pub(crate) fn done(&self, done: Done) -> Box<AuditRecord> {
        let outcome = if done.skipped { Outcome::Skipped } else { Outcome::Succeeded };
        Box::new(AuditRecord {
            size: done.size,
            outcome: outcome.into(),
            proof: done.proof.name().to_owned(),
            proof_value: done.value,
            source_proved: done.source_proved,
            note: done.notes.join("; "),
            not_carried: done.not_carried,
            ..self.head()
        })
    }

    /// It failed.
    pub(crate) fn failed(&self, code: ObjectErrorCode, text: String) -> Box<AuditRecord> {
        let outcome = Outcome::Failed.into();
        Box::new(AuditRecord { outcome, code: code.name().to_owned(), text, ..self.head() })
    }

    fn head(&self) -> AuditRecord {
        AuditRecord {
            index: self.index,
            key: self.entry.key.as_bytes().to_vec(),
            size: self.entry.size,
            attempts: self.attempts,
            millis: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            finished_at: Timestamp::now().as_millisecond(),
            worker: self.worker.to_owned(),
            origin: self.entry.origin.as_deref().unwrap_or_default().to_owned(),
            destination_key: [self.destination.prefix.as_bytes(), self.entry.target().as_bytes()].concat(),
            ..AuditRecord::default()
        }
    }
}

/// The code of an error, by the end at which it happened.
pub(crate) fn code(side: Side, error: &Error) -> ObjectErrorCode {
    match retry::object_code(error) {
        // The codes of reading speak of the source; the destination is read only to prove a write.
        ObjectErrorCode::SourceGone
        | ObjectErrorCode::SourceChanged
        | ObjectErrorCode::DownloadFailed
        | ObjectErrorCode::Archived
            if side == Side::Destination =>
        {
            ObjectErrorCode::UploadFailed
        }
        code => code,
    }
}

/// What failed, what the service said, what to do.
pub(crate) fn text(error: &Error) -> String {
    format!("{error}. {}", retry::next_step(error.kind()))
}

/// Neither the object nor the service is known to be at fault.
pub(crate) fn is_unknown(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Protocol | ErrorKind::Unsupported | ErrorKind::Io | ErrorKind::Refused)
}

#[cfg(test)]
mod tests {
    use storage::Op;

    use super::*;

    #[test]
    fn the_code_speaks_of_the_end_that_failed() {
        let gone = Error::new(ErrorKind::NotFound, Op::Head, "no such key");
        assert_eq!(code(Side::Source, &gone), ObjectErrorCode::SourceGone);
        assert_eq!(code(Side::Destination, &gone), ObjectErrorCode::UploadFailed);
        let denied = Error::new(ErrorKind::AccessDenied, Op::Put, "no");
        assert_eq!(code(Side::Destination, &denied), ObjectErrorCode::AccessDenied);
    }
}
