//! What happened to objects, counted: by outcome, error code and check.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use proto::v1::{self, AuditRecord, CauseCount, Outcome};

/// What happened to the objects of a task, or of many. Bytes that a listing made up may be more than there are
/// numbers: then the sum stands still.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Tally {
    #[prost(uint64, tag = "1")]
    pub(crate) succeeded: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) skipped: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) failed: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) bytes_succeeded: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) bytes_skipped: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) bytes_failed: u64,
    #[prost(uint64, tag = "7")]
    pub(crate) source_proved: u64,
    /// By error code.
    #[prost(btree_map = "string, message", tag = "8")]
    pub(crate) failures: BTreeMap<String, Share>,
    /// By check.
    #[prost(btree_map = "string, message", tag = "9")]
    pub(crate) proofs: BTreeMap<String, Share>,
    /// Objects of which something was not carried as it was.
    #[prost(uint64, tag = "20")]
    pub(crate) incomplete: u64,
    /// By property.
    #[prost(btree_map = "string, message", tag = "21")]
    pub(crate) not_carried: BTreeMap<String, Share>,
}

/// Objects and bytes of one cause.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Share {
    #[prost(uint64, tag = "1")]
    pub(crate) objects: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) bytes: u64,
}

// === impl Tally ===

impl Tally {
    /// Objects that are recorded.
    pub(crate) fn objects(&self) -> u64 {
        self.succeeded + self.skipped + self.failed
    }

    /// One object more.
    pub(crate) fn add(&mut self, record: &AuditRecord) {
        let one = Share { objects: 1, bytes: record.size };
        match record.outcome() {
            Outcome::Failed | Outcome::Unspecified => {
                self.failed += 1;
                self.bytes_failed = self.bytes_failed.saturating_add(record.size);
                self.failures.entry(record.code.clone()).or_default().plus(one);
                return;
            }
            Outcome::Succeeded => {
                self.succeeded += 1;
                self.bytes_succeeded = self.bytes_succeeded.saturating_add(record.size);
            }
            Outcome::Skipped => {
                self.skipped += 1;
                self.bytes_skipped = self.bytes_skipped.saturating_add(record.size);
            }
        }
        self.source_proved += u64::from(record.source_proved);
        self.proofs.entry(record.proof.clone()).or_default().plus(one);
        if !record.not_carried.is_empty() {
            self.incomplete += 1;
            let subjects: BTreeSet<&str> =
                record.not_carried.iter().map(|note| storage::fidelity::subject(note)).collect();
            for subject in subjects {
                self.not_carried.entry(subject.to_owned()).or_default().plus(one);
            }
        }
    }

    /// A failure that was overcome, or that failed anew and is added again.
    pub(crate) fn forget_failure(&mut self, code: &str, size: u64) {
        self.failed = self.failed.saturating_sub(1);
        self.bytes_failed = self.bytes_failed.saturating_sub(size);
        take(&mut self.failures, code, Share { objects: 1, bytes: size });
    }

    /// The same without any failure.
    pub(crate) fn without_failures(mut self) -> Self {
        self.failed = 0;
        self.bytes_failed = 0;
        self.failures.clear();
        self
    }

    /// All of another one more.
    pub(crate) fn plus(&mut self, other: &Tally) {
        self.succeeded += other.succeeded;
        self.skipped += other.skipped;
        self.failed += other.failed;
        self.bytes_succeeded = self.bytes_succeeded.saturating_add(other.bytes_succeeded);
        self.bytes_skipped = self.bytes_skipped.saturating_add(other.bytes_skipped);
        self.bytes_failed = self.bytes_failed.saturating_add(other.bytes_failed);
        self.source_proved += other.source_proved;
        for (code, share) in &other.failures {
            self.failures.entry(code.clone()).or_default().plus(*share);
        }
        for (proof, share) in &other.proofs {
            self.proofs.entry(proof.clone()).or_default().plus(*share);
        }
        self.incomplete += other.incomplete;
        for (subject, share) in &other.not_carried {
            self.not_carried.entry(subject.clone()).or_default().plus(*share);
        }
    }

    /// All of another one less.
    pub(crate) fn minus(&mut self, other: &Tally) {
        self.succeeded = self.succeeded.saturating_sub(other.succeeded);
        self.skipped = self.skipped.saturating_sub(other.skipped);
        self.failed = self.failed.saturating_sub(other.failed);
        self.bytes_succeeded = self.bytes_succeeded.saturating_sub(other.bytes_succeeded);
        self.bytes_skipped = self.bytes_skipped.saturating_sub(other.bytes_skipped);
        self.bytes_failed = self.bytes_failed.saturating_sub(other.bytes_failed);
        self.source_proved = self.source_proved.saturating_sub(other.source_proved);
        for (code, share) in &other.failures {
            take(&mut self.failures, code, *share);
        }
        for (proof, share) in &other.proofs {
            take(&mut self.proofs, proof, *share);
        }
        self.incomplete = self.incomplete.saturating_sub(other.incomplete);
        for (subject, share) in &other.not_carried {
            take(&mut self.not_carried, subject, *share);
        }
    }
}

impl Share {
    fn plus(&mut self, other: Share) {
        self.objects += other.objects;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

fn take(shares: &mut BTreeMap<String, Share>, cause: &str, less: Share) {
    let Some(share) = shares.get_mut(cause) else { return };
    share.objects = share.objects.saturating_sub(less.objects);
    share.bytes = share.bytes.saturating_sub(less.bytes);
    if share.objects == 0 {
        shares.remove(cause);
    }
}

/// As `stat` shows it.
pub(crate) fn causes(shares: &BTreeMap<String, Share>) -> Vec<CauseCount> {
    let line = |(cause, share): (&String, &Share)| v1::CauseCount {
        cause: cause.clone(),
        objects: share.objects,
        bytes: share.bytes,
    };
    shares.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_can_be_taken_away() {
        let mut one = Tally::default();
        let failed = AuditRecord { outcome: 3, size: 5, code: "TIMEOUT".into(), ..AuditRecord::default() };
        let not_carried = vec!["metadata a: …".into(), "metadata b: …".into(), "expires: …".into()];
        let moved =
            AuditRecord { outcome: 1, size: 7, proof: "size".into(), not_carried, ..AuditRecord::default() };
        one.add(&failed);
        one.add(&moved);
        let names: Vec<&str> = one.not_carried.keys().map(String::as_str).collect();
        assert_eq!((one.incomplete, names), (1, vec!["expires", "metadata"]));
        let mut sum = Tally::default();
        sum.plus(&one);
        sum.plus(&one);
        sum.minus(&one);
        assert_eq!(sum, one);
        one.forget_failure("TIMEOUT", 5);
        assert_eq!(one, sum.clone().without_failures());
        assert_eq!((one.objects(), one.failed), (1, 0));
    }
}
