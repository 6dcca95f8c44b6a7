//! What an import says at its end.

use proto::text::counted;
use proto::v1;

use crate::job_stat::{count, duration, found, lost, named, requests, size, waits};

/// For people: what moved, what proved it, what failed and why, and where to read on.
pub(crate) fn text(stat: &v1::JobStat, report: Option<&str>) -> String {
    let mut lines = vec![format!("{}: {}", stat.job, stat.state)];
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {name:<10} {value}"));
        }
    };
    line("found", found(stat));
    let done = if stat.r#type == "audit" { "equal" } else { "moved" };
    line(done, format!("{}, {}", counted(stat.objects_succeeded, "object"), size(stat.bytes_succeeded)));
    if stat.objects_skipped > 0 {
        line("skipped", format!("{}, {}", counted(stat.objects_skipped, "object"), size(stat.bytes_skipped)));
    }
    if stat.listed_special > 0 {
        line(
            "left out",
            format!("{} that are no objects (links, sockets, devices)", count(stat.listed_special)),
        );
    }
    line("proved by", proofs(stat));
    if stat.objects_incomplete > 0 {
        line("lost", format!("{} (`brigade report {} --not-carried` lists them)", lost(stat), stat.job));
    }
    line(
        "failed",
        if stat.objects_failed == 0 {
            "0".into()
        } else {
            format!("{} ({})", count(stat.objects_failed), named(&stat.failures))
        },
    );
    let seconds = (stat.finished_at_ms - stat.started_at_ms).max(0) as f64 / 1000.0;
    if stat.finished_at_ms > 0 {
        let rate = if seconds > 0.0 {
            format!(", {}/s", size((stat.bytes_succeeded as f64 / seconds) as u64))
        } else {
            String::new()
        };
        line(
            "time",
            format!("{}{rate}", if seconds < 10.0 { format!("{seconds:.1}s") } else { duration(seconds) }),
        );
    }
    line("waiting", waits(stat));
    line("requests", requests(&stat.requests));
    line("reason", stat.reason.clone());
    for warning in &stat.warnings {
        line("warning", warning.clone());
    }
    line("report", report.unwrap_or_default().to_owned());
    if stat.objects_failed > 0 {
        line("failures", format!("{}/failed_tasks/", stat.folder));
    }
    lines.join("\n")
}

/// `crc64ecma 1,000; the source's own checksum agreed for 990`. What only has its length compared is said.
fn proofs(stat: &v1::JobStat) -> String {
    let mut text = named(&stat.proofs);
    if stat.proofs.iter().any(|proof| proof.cause == "size" && proof.objects > 0) {
        text.push_str(" (size: no checksum was to be had, only the length was compared)");
    }
    if stat.proofs.iter().any(|proof| proof.cause == "archived" && proof.objects > 0) {
        text.push_str(" (archived: left alone at the source, nothing was moved)");
    }
    if stat.source_proved > 0 {
        text.push_str(&format!("; the source's own checksum agreed for {}", count(stat.source_proved)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_has_its_length_compared_is_said() {
        let proof = |name: &str, objects| v1::CauseCount { cause: name.into(), objects, bytes: 0 };
        let mut stat = v1::JobStat { proofs: vec![proof("crc64ecma", 2)], ..v1::JobStat::default() };
        assert!(!text(&stat, None).contains("only the length"));
        stat.proofs.push(proof("size", 1));
        assert!(text(&stat, None).contains("only the length"));
    }

    #[test]
    fn failures_are_named_by_cause_with_the_place_to_read_on() {
        let stat = v1::JobStat {
            objects_failed: 3,
            failures: vec![v1::CauseCount { cause: "ACCESS_DENIED".into(), objects: 3, bytes: 9 }],
            folder: "/home/x/master/jobs/j".into(),
            ..v1::JobStat::default()
        };
        let text = text(&stat, Some("/r.jsonl"));
        for word in ["3 (ACCESS_DENIED 3)", "/home/x/master/jobs/j/failed_tasks/", "/r.jsonl"] {
            assert!(text.contains(word), "{text}");
        }
    }
}
