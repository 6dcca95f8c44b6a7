//! What may be recorded, and what may stand at the destination, by the history of what lived when.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use proto::Proof;
use proto::v1::{AuditRecord, Outcome};
use serde_json::Value;
use tests::crash::{End, files, temporaries};
use tests::writers::{History, Moment, Writers};

use super::{JOB, Scenario};

impl Scenario {
    /// What was recorded since a moment, and what stands at the destination, may be so. Gives how many objects
    /// failed.
    pub(super) fn check(&mut self, document: &Value, since: Moment) -> usize {
        let last = self.records(since);
        let count = |outcome| last.values().filter(|record| record.outcome() == outcome).count();
        let counts = [Outcome::Succeeded, Outcome::Skipped, Outcome::Failed].map(count);
        let said =
            ["succeeded", "skipped", "failed"].map(|name| document["objects"][name].as_u64().unwrap_or(0));
        assert_eq!(said, counts.map(|count| count as u64), "{document}");
        assert!(self.skips || counts[1] == 0);
        let history = self.writers.history();
        for key in history.keys().filter(|key| history.stayed(key, self.begun)) {
            let record =
                last.get(key).unwrap_or_else(|| panic!("{key} was there all the time and is not recorded"));
            let still = history.is_still(key, self.begun) && !may_be_blocked(&self.writers, &history, key);
            assert!(!still || record.outcome() != Outcome::Failed, "{key} was not touched: {record:?}");
        }
        let there = self.writers.destination.objects();
        for key in
            there.keys().chain(self.before.keys()).chain(history.keys()).filter(|key| !key.ends_with('/'))
        {
            self.may_stand(&history, key, there.get(key), last.get(key));
        }
        drop(history);
        self.nothing_is_left();
        counts[2]
    }

    /// Every record on disk; the last one of each object counts. The new ones are looked at.
    fn records(&mut self, since: Moment) -> BTreeMap<String, AuditRecord> {
        let audit = files(&self.home.path().join("master/jobs").join(JOB).join("audit"));
        let mut last = BTreeMap::<String, (PathBuf, AuditRecord)>::new();
        let history = self.writers.history();
        for path in audit {
            let decoded = proto::audit::decode(&std::fs::read(&path).unwrap()).unwrap();
            let seen = self.seen.insert(path.clone(), decoded.records.len()).unwrap_or(0);
            for (number, record) in decoded.records.into_iter().enumerate() {
                let key = String::from_utf8(record.key.clone()).unwrap();
                if number >= seen {
                    self.may_be_recorded(&history, &key, &record, since);
                }
                let shown = format!("{number} of {seen} seen in {path:?}: {record:?}");
                let earlier = last.insert(key, (path.clone(), record));
                // A failure is tried again by a retry, and by the next holder of a task that was lost.
                let may = number < seen || seen > 0 || self.died;
                let again = earlier
                    .iter()
                    .all(|(of, record)| may && *of == path && record.outcome() == Outcome::Failed);
                assert!(again, "recorded twice: {earlier:?}, and {shown}");
            }
        }
        last.into_iter().map(|(key, (_, record))| (key, record)).collect()
    }

    fn may_be_recorded(&self, history: &History, key: &str, record: &AuditRecord, since: Moment) {
        if key.ends_with('/') {
            return;
        }
        let lived = history.since(key, since);
        match (record.outcome(), record.code.as_str()) {
            (Outcome::Succeeded, "") => {
                let one = lived.iter().any(|life| is_of(record, &life.data));
                assert!(one, "not a version that lived: {record:?}");
            }
            (Outcome::Skipped, "") => {
                let mut there: Vec<&Bytes> = self.before.get(key).into_iter().collect();
                there.extend(
                    history.touched(key, self.begun).into_iter().filter_map(|touched| touched.data.as_ref()),
                );
                if self.died {
                    there.extend(lived.iter().map(|life| &life.data));
                }
                let same = lived.iter().any(|life| there.contains(&&life.data));
                assert!(same, "skipped, and the destination had another version: {record:?}");
            }
            (Outcome::Failed, "SOURCE_GONE") => {
                assert!(!history.stayed(key, self.begun), "it was there all the time: {record:?}");
            }
            (Outcome::Failed, "SOURCE_CHANGED") => {
                assert!(!history.is_still(key, self.begun), "it was not changed: {record:?}");
            }
            (Outcome::Failed, "INVALID_NAME") => {
                assert!(may_be_blocked(&self.writers, history, key), "{record:?}");
            }
            _ => panic!("that is not the whole truth: {record:?}"),
        }
    }

    fn may_stand(&self, history: &History, key: &str, there: Option<&Bytes>, last: Option<&AuditRecord>) {
        let touched = history.touched(key, self.begun);
        if touched.iter().any(|touched| touched.data.as_ref() == there) {
            return;
        }
        let was = self.before.get(key);
        let lived = history.since(key, self.begun);
        let is_there = || there.is_some_and(|there| lived.iter().any(|life| life.data == there));
        let fits = match last.map(AuditRecord::outcome) {
            Some(Outcome::Succeeded) => is_there() && there.is_some_and(|there| is_of(last.unwrap(), there)),
            // What died before it was recorded may have been written.
            _ => there == was || self.died && is_there(),
        };
        assert!(
            fits,
            "{key} has {:?} bytes at the destination and had {:?}; {last:?}",
            there.map(Bytes::len),
            was.map(Bytes::len)
        );
    }

    /// No upload and no temporary file, but those of others.
    fn nothing_is_left(&self) {
        let foreign = self.writers.history().foreign();
        let mut left = self.writers.destination.leavings();
        left.sort();
        let ours: Vec<_> = left.iter().filter(|left| !foreign.contains(left)).collect();
        assert_eq!(ours, Vec::<&String>::new(), "left at the destination");
        // After a death uploads of the same key that are as young as ours are taken for ours.
        let spared = |gone: &str| self.died && gone.starts_with("upload");
        let gone: Vec<_> =
            foreign.iter().filter(|foreign| !left.contains(foreign) && !spared(foreign)).collect();
        assert_eq!(gone, Vec::<&String>::new(), "somebody else's, and gone");
        assert_eq!(temporaries(self.home.path()), Vec::<String>::new(), "left in the home");
    }

    /// The writers stopped before the last run.
    pub(super) fn must_be_equal(&self) {
        let history = self.writers.history();
        let (from, there) = (self.writers.source.objects(), self.writers.destination.objects());
        for (key, data) in &from {
            let lives = history.since(key, history.now());
            assert!(lives.iter().any(|life| life.data == data), "{key}: somebody wrote to the source");
            let blocked = self.writers.is_blocked(key);
            assert!(blocked || there.get(key) == Some(data), "{key} is not what the source has");
        }
        for (key, data) in self.before.iter().filter(|(key, _)| !from.contains_key(*key)) {
            assert!(there.get(key) == Some(data), "{key} is not at the source, and was changed");
        }
    }
}

/// A file stood, at some time, where a directory is needed, or the reverse.
fn may_be_blocked(writers: &Writers, history: &History, key: &str) -> bool {
    let below = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
    matches!(writers.destination, End::Tree(_))
        && history.keys().any(|other| below(other, key) || below(key, other))
}

/// The record speaks of these bytes.
fn is_of(record: &AuditRecord, data: &[u8]) -> bool {
    use base64::Engine;
    let crc = |kind| checksum(kind, data);
    let value = match record.proof.as_str() {
        proof if proof == Proof::Crc64ecma.name() => crc(CrcAlgorithm::Crc64Xz).to_string(),
        proof if proof == Proof::Crc64nvme.name() => {
            base64::engine::general_purpose::STANDARD.encode(crc(CrcAlgorithm::Crc64Nvme).to_be_bytes())
        }
        other => panic!("proved by {other:?}"),
    };
    record.size == data.len() as u64 && record.proof_value == value
}
