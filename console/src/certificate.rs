//! The head of a report: what was found, what arrived, which check proved it, and a digest over all records,
//! so that the file can be archived and checked again.

use proto::text::counted;
use std::collections::BTreeMap;
use std::io::BufRead;

use proto::v1;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::exit::Failure;
use crate::record;

/// Counts of one kind of thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

/// The first line of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    /// Of this form.
    pub(crate) certificate: u32,
    pub(crate) job: String,
    pub(crate) state: String,
    pub(crate) source: String,
    pub(crate) destination: String,
    /// Only failed objects follow.
    pub(crate) failed_only: bool,
    /// Only objects follow of which something was not carried as it was.
    #[serde(default)]
    pub(crate) not_carried_only: bool,
    /// What the scan found.
    pub(crate) found: Tally,
    /// By outcome; they add up to what was found when the job has ended.
    pub(crate) succeeded: Tally,
    pub(crate) skipped: Tally,
    pub(crate) failed: Tally,
    /// Succeeded objects by the check that proved them.
    pub(crate) proofs: BTreeMap<String, Tally>,
    /// Objects whose source checksum was compared as well.
    pub(crate) source_proved: u64,
    /// Failed objects by code.
    pub(crate) failures: BTreeMap<String, Tally>,
    /// Objects of which something was not carried as it was.
    #[serde(default)]
    pub(crate) incomplete: u64,
    /// How many records follow.
    pub(crate) records: u64,
    /// SHA-256 over the record lines as they stand (JSON form), each with its line end.
    pub(crate) sha256: String,
}

/// Adds up records as they pass.
#[derive(Debug, Default)]
pub(crate) struct Summing {
    certificate: Certificate,
    digest: Sha256,
}

impl Summing {
    pub(crate) fn new(stat: &v1::JobStat, failed_only: bool, not_carried_only: bool) -> Self {
        let certificate = Certificate {
            certificate: 1,
            job: stat.job.clone(),
            state: stat.state.clone(),
            source: stat.source.clone(),
            destination: stat.destination.clone(),
            failed_only,
            not_carried_only,
            found: Tally { objects: stat.scan_objects, bytes: stat.scan_bytes },
            ..Certificate::default()
        };
        Summing { certificate, digest: Sha256::new() }
    }

    /// One record and its line in JSON form.
    pub(crate) fn add(&mut self, record: &v1::AuditRecord, line: &str) {
        self.digest.update(line.as_bytes());
        let size = record.size;
        self.certificate.incomplete += u64::from(!record.not_carried.is_empty());
        self.count(record::outcome(record), &record.proof, record.source_proved, &record.code, size);
    }

    fn count(&mut self, outcome: &str, proof: &str, source_proved: bool, code: &str, size: u64) {
        let add = |tally: &mut Tally| {
            tally.objects += 1;
            tally.bytes = tally.bytes.saturating_add(size);
        };
        let c = &mut self.certificate;
        c.records += 1;
        match outcome {
            "succeeded" => {
                add(&mut c.succeeded);
                add(c.proofs.entry(proof.to_owned()).or_default());
                c.source_proved += u64::from(source_proved);
            }
            "skipped" => add(&mut c.skipped),
            _ => {
                add(&mut c.failed);
                add(c.failures.entry(code.to_owned()).or_default());
            }
        }
    }

    pub(crate) fn finish(mut self) -> Certificate {
        self.certificate.sha256 = hex(&self.digest.finalize());
        self.certificate
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a report in JSON form and compares it with its own head. Says what differs.
pub(crate) fn check(file: impl BufRead) -> Result<Certificate, Failure> {
    let bad = |why: String| Failure::new(format!("the report is not what its certificate says: {why}"));
    let mut lines = file.split(b'\n');
    let head = lines.next().transpose().map_err(|error| bad(error.to_string()))?.unwrap_or_default();
    let head: Certificate =
        serde_json::from_slice(&head).map_err(|error| bad(format!("no certificate: {error}")))?;
    let empty = v1::JobStat::default();
    let mut summing = Summing::new(&empty, head.failed_only, head.not_carried_only);
    for line in lines {
        let mut line = line.map_err(|error| bad(error.to_string()))?;
        if line.is_empty() {
            continue;
        }
        let value: serde_json::Value =
            serde_json::from_slice(&line).map_err(|error| bad(error.to_string()))?;
        line.push(b'\n');
        summing.digest.update(&line);
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let (size, proved) =
            (value["size"].as_u64().unwrap_or(0), value["source_proved"].as_bool().unwrap_or(false));
        let lost = value["not_carried"].as_array().is_some_and(|lost| !lost.is_empty());
        summing.certificate.incomplete += u64::from(lost);
        summing.count(&text("outcome"), &text("proof"), proved, &text("code"), size);
    }
    let sums = summing.finish();
    if sums.sha256 != head.sha256 {
        return Err(bad(format!("sha256 of the records is {}, not {}", sums.sha256, head.sha256)));
    }
    let same = (sums.records, sums.succeeded, sums.skipped, sums.failed, &sums.proofs, &sums.failures)
        == (head.records, head.succeeded, head.skipped, head.failed, &head.proofs, &head.failures);
    if !same || sums.incomplete != head.incomplete {
        return Err(bad("its totals do not add up".into()));
    }
    if head.state == "succeeded"
        && !head.failed_only
        && !head.not_carried_only
        && head.found.objects != head.records
    {
        let (found, records) = (counted(head.found.objects, "object"), counted(head.records, "record"));
        return Err(bad(format!("the scan found {found}, and it holds {records}")));
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> String {
        let record = v1::AuditRecord {
            key: b"k".to_vec(),
            size: 5,
            outcome: 1,
            proof: "crc64ecma".into(),
            not_carried: vec!["metadata a: …".into()],
            ..Default::default()
        };
        let line = record::json_line(1, 1, &record);
        let mut summing = Summing::new(&v1::JobStat::default(), false, false);
        summing.add(&record, &line);
        format!("{}\n{line}", serde_json::to_string(&summing.finish()).unwrap())
    }

    #[test]
    fn an_untouched_report_checks_and_a_changed_one_does_not() {
        let report = report();
        assert_eq!(check(report.as_bytes()).unwrap().succeeded, Tally { objects: 1, bytes: 5 });
        let all_found = "\"found\":{\"objects\":0";
        let complete = report.replace("\"state\":\"\"", "\"state\":\"succeeded\"");
        assert!(check(complete.as_bytes()).is_err(), "more records than were found");
        let complete = complete.replace(all_found, "\"found\":{\"objects\":1");
        assert!(check(complete.as_bytes()).is_ok());
        for (from, to) in [
            ("\"size\":5", "\"size\":6"),
            ("\"records\":1", "\"records\":2"),
            ("\"incomplete\":1", "\"incomplete\":0"),
            ("crc64ecma\",\"proof_value", "size\",\"proof_value"),
        ] {
            assert!(check(report.replace(from, to).as_bytes()).is_err(), "{from}");
        }
    }
}
