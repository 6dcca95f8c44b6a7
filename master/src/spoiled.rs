//! Objects whose last write the destination got wrong. What stands there has their size, and the time that was
//! stored with it: a later round must not take it for moved.

use std::collections::BTreeSet;

use proto::v1::Outcome;
use proto::{ObjectErrorCode, ObjectKey};

use crate::audit;
use crate::error::MasterError;
use crate::master::Master;

impl Master {
    /// Those of the rounds before this one that were not retried well. Reads files: call it where blocking is
    /// allowed.
    pub(crate) fn spoiled(&self, name: &str, round: u32) -> Result<BTreeSet<ObjectKey>, MasterError> {
        let mut spoiled = BTreeSet::new();
        if round == 1 {
            return Ok(spoiled);
        }
        let (failed, folder) = {
            let book = self.book();
            let job = book.job(name)?;
            (self.failed_tasks(job)?, self.folder(&job.name))
        };
        for (id, task) in failed.into_iter().filter(|(id, _)| id.round < round) {
            let records = audit::last_records(&audit::path(&folder, &id.stem()), task.void)?;
            let wrong = |code: &str| code == ObjectErrorCode::ChecksumNotMatch.name();
            let of_it = records.into_iter();
            let of_it = of_it.filter(|record| record.outcome() == Outcome::Failed && wrong(&record.code));
            spoiled.extend(of_it.map(|record| ObjectKey::new(record.key)));
        }
        Ok(spoiled)
    }
}

#[cfg(test)]
mod tests {
    use proto::manifest::Existing;
    use proto::v1::settlement::Result as Ending;

    use super::*;
    use crate::scan::ledger::{Commit, Ledger, ScanState};
    use crate::testing::{Bench, conf, entries, key, moved, new_task, record};

    #[tokio::test]
    async fn a_wrong_write_is_never_taken_for_moved_by_the_next_round() {
        let bench = Bench::new();
        bench.master().submit(&conf::JobConf { incremental: true, ..conf("jobs") }.to_wire()).unwrap();
        bench.scanned("jobs", 1..=1, 3, true);
        let task = bench.fetch_one();
        let failed = record(1, Outcome::Failed);
        let wrong =
            proto::v1::AuditRecord { code: "CHECKSUM_NOT_MATCH".into(), ..record(2, Outcome::Failed) };
        bench.record(&task, vec![moved(0), failed, wrong]).unwrap();
        bench.settle(&task, Ending::Finished).unwrap();
        assert!(bench.master().spoiled("jobs", 1).unwrap().is_empty());
        bench.master().begin_round("jobs").unwrap();
        let spoiled = bench.master().spoiled("jobs", 2).unwrap();
        assert_eq!(spoiled, BTreeSet::from([ObjectKey::new(key(1, 2))]));

        let mut cut = new_task(1, 3);
        for entry in &mut cut.entries {
            entry.existing = Existing::Present { size: 10, modified_ms: Some(1), etag: None };
        }
        let keeper = bench.keeper("jobs").knowing(spoiled);
        keeper.commit(Commit { tasks: vec![cut], state: ScanState::default() }).await.unwrap();
        let there = entries(&bench, &bench.fetch_one());
        let absent: Vec<bool> = there.iter().map(|entry| entry.existing == Existing::Absent).collect();
        assert_eq!(absent, [false, false, true]);
    }
}
