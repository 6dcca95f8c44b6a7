//! A job's figures: the contract's JSON document, and the table for people.

use jiff::Timestamp;
use proto::text::counted;
pub(crate) use proto::text::grouped as count;
use proto::v1;
use serde_json::{Value, json};

/// The document of `stat JOB --output json`. Scripts read it: fields are only ever added.
pub(crate) fn document(stat: &v1::JobStat) -> Value {
    let bytes =
        |done: bool| if done && stat.sizes_unknown == 0 { json!(stat.scan_bytes) } else { Value::Null };
    let total = if stat.scan_done { json!(stat.scan_objects) } else { Value::Null };
    json!({
        "job": stat.job,
        "type": stat.r#type,
        "state": stat.state,
        "reason": text(&stat.reason),
        "round": stat.round,
        "scan": {
            "done": stat.scan_done,
            "objects": stat.scan_objects,
            "bytes": bytes(true),
            "sizes_unknown": stat.sizes_unknown,
            "special": stat.listed_special,
            "sorted_on_disk": stat.order_sorted > 0,
        },
        "tasks": {
            "pending": stat.tasks_pending,
            "dispatched": stat.tasks_dispatched,
            "succeeded": stat.tasks_succeeded,
            "failed": stat.tasks_failed,
        },
        "objects": {
            "total": total,
            "succeeded": stat.objects_succeeded,
            "skipped": stat.objects_skipped,
            "failed": stat.objects_failed,
            "source_proved": stat.source_proved,
            "not_whole": stat.objects_incomplete,
        },
        "bytes": {
            "total": bytes(stat.scan_done),
            "moved": stat.bytes_succeeded + stat.bytes_in_flight,
            "skipped": stat.bytes_skipped,
            "failed": stat.bytes_failed,
        },
        "rate": { "bytes_per_s": stat.bytes_per_s, "objects_per_s": stat.objects_per_s },
        "eta_s": stat.eta_s,
        "started_at": time(stat.started_at_ms),
        "finished_at": time(stat.finished_at_ms),
        "failures": causes(&stat.failures),
        "proofs": causes(&stat.proofs),
        "not_carried": causes(&stat.not_carried),
        "requests": stat.requests.iter().map(request).collect::<Vec<_>>(),
        "limited_by": text(&stat.limited_by),
        "limits": stat.limits.map(|limits| json!({ "bytes_per_s": limits.bytes_per_s, "requests_per_s": limits.requests_per_s })),
        "priority": stat.priority,
        "warnings": stat.warnings,
        "source": stat.source,
        "destination": stat.destination,
        "waiting": waiting(stat),
        "folder": stat.folder,
    })
}

/// What waits for a restore at the source; null: nothing does.
fn waiting(stat: &v1::JobStat) -> Value {
    match stat.objects_waiting {
        0 => Value::Null,
        objects => json!({
            "objects": objects, "since": time(stat.waiting_since_ms), "next_look": time(stat.next_look_ms),
        }),
    }
}

/// `12 objects for a restore since 2026-11-21 10:00:00 UTC, looked at again at 11:00:00`.
pub(crate) fn waits(stat: &v1::JobStat) -> String {
    if stat.objects_waiting == 0 {
        return String::new();
    }
    let at = |ms, form| {
        let time = Timestamp::from_millisecond(ms).unwrap_or_default();
        time.strftime(form).to_string()
    };
    let next = match stat.next_look_ms {
        0 => "being looked at".to_owned(),
        ms => format!("looked at again at {}", at(ms, "%H:%M:%S")),
    };
    let since = at(stat.waiting_since_ms, "%Y-%m-%d %H:%M:%S UTC");
    format!("{} for a restore at the source since {since}, {next}", counted(stat.objects_waiting, "object"))
}

fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn causes(causes: &[v1::CauseCount]) -> Vec<Value> {
    let one = |cause: &v1::CauseCount| json!({ "name": cause.cause, "objects": cause.objects, "bytes": cause.bytes });
    causes.iter().map(one).collect()
}

fn request(count: &v1::RequestCount) -> Value {
    json!({
        "side": count.side, "kind": count.kind, "count": count.count,
        "errors": count.errors, "throttled": count.throttled,
    })
}

/// RFC 3339, or null.
pub(crate) fn time(millis: i64) -> Value {
    match Timestamp::from_millisecond(millis) {
        Ok(time) if millis > 0 => json!(time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()),
        _ => Value::Null,
    }
}

/// A worker of `stat --output json`.
pub(crate) fn worker_document(worker: &v1::WorkerStat) -> Value {
    json!({
        "worker": worker.worker, "host": worker.host, "version": worker.version, "slots": worker.slots,
        "leases": worker.leases, "last_seen": time(worker.last_seen_ms), "cpu_share": worker.cpu_share,
        "memory_bytes": worker.memory_bytes,
    })
}

/// The table of one job.
pub(crate) fn table(stat: &v1::JobStat) -> String {
    let mut lines = vec![format!("{} ({}): {}", stat.job, stat.r#type, stat.state)];
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {name:<12} {value}"));
        }
    };
    line("reason", stat.reason.clone());
    line("from", stat.source.clone());
    line("to", stat.destination.clone());
    if stat.round > 1 {
        line("round", stat.round.to_string());
    }
    let found = found(stat);
    line("scan", if stat.scan_done { format!("{found}, complete") } else { format!("{found} so far") });
    line(
        "tasks",
        format!(
            "{} pending, {} dispatched, {} succeeded, {} failed",
            stat.tasks_pending, stat.tasks_dispatched, stat.tasks_succeeded, stat.tasks_failed
        ),
    );
    line(
        "objects",
        format!(
            "{} succeeded, {} skipped, {} failed",
            count(stat.objects_succeeded),
            count(stat.objects_skipped),
            count(stat.objects_failed)
        ),
    );
    line("waiting", waits(stat));
    line("bytes", format!("{} moved", size(stat.bytes_succeeded + stat.bytes_in_flight)));
    line("failures", named(&stat.failures));
    line("proved by", named(&stat.proofs));
    line("not carried", lost(stat));
    if matches!(stat.state.as_str(), "scanning" | "running") {
        line("rate", rate(stat));
        line("limited by", stat.limited_by.clone());
    }
    line("requests", requests(&stat.requests));
    for warning in &stat.warnings {
        line("warning", warning.clone());
    }
    lines.join("\n")
}

/// `of 12 objects: expires 3, metadata 10`.
pub(crate) fn lost(stat: &v1::JobStat) -> String {
    match stat.objects_incomplete {
        0 => String::new(),
        objects => format!("of {}: {}", counted(objects, "object"), named(&stat.not_carried)),
    }
}

/// `120 objects, 3.2 MiB`: what the scan found.
pub(crate) fn found(stat: &v1::JobStat) -> String {
    let objects = counted(stat.scan_objects, "object");
    match stat.sizes_unknown {
        0 => format!("{objects}, {}", size(stat.scan_bytes)),
        _ => format!("{objects}, whose sizes are known when they are read"),
    }
}

/// `120 objects/s, 3.2 MiB/s, 5m left`.
pub(crate) fn rate(stat: &v1::JobStat) -> String {
    let eta = stat.eta_s.map_or(String::new(), |seconds| format!(", {} left", duration(seconds)));
    format!("{:.0} objects/s, {}/s{eta}", stat.objects_per_s, size(stat.bytes_per_s as u64))
}

/// `ACCESS_DENIED 2, TIMEOUT 1`.
pub(crate) fn named(causes: &[v1::CauseCount]) -> String {
    let shown = causes.iter().filter(|cause| cause.objects > 0);
    shown.map(|cause| format!("{} {}", cause.cause, count(cause.objects))).collect::<Vec<_>>().join(", ")
}

/// `source: get 3,000, list 7; destination: put 3,000`.
pub(crate) fn requests(counts: &[v1::RequestCount]) -> String {
    let side = |side: &str| {
        let of_side = counts.iter().filter(|count| count.side == side && count.count > 0);
        let shown: Vec<String> = of_side.map(|line| format!("{} {}", line.kind, count(line.count))).collect();
        (!shown.is_empty()).then(|| format!("{side}: {}", shown.join(", ")))
    };
    [side("source"), side("destination")].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// 1.5 GiB
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// 1h 05m
pub(crate) fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        _ => format!("{}h {:02}m", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_field_of_the_contract_and_unknown_is_null() {
        let document = document(&v1::JobStat { job: "local_test".into(), ..v1::JobStat::default() });
        for field in [
            "job",
            "type",
            "state",
            "round",
            "scan",
            "tasks",
            "objects",
            "bytes",
            "rate",
            "eta_s",
            "started_at",
            "finished_at",
        ] {
            assert!(document.get(field).is_some(), "{field}");
        }
        assert!(
            document["eta_s"].is_null()
                && document["finished_at"].is_null()
                && document["objects"]["total"].is_null()
        );
    }

    #[test]
    fn requests_are_shown_by_side() {
        let one = |side: &str, kind: &str, count| v1::RequestCount {
            side: side.into(),
            kind: kind.into(),
            count,
            ..v1::RequestCount::default()
        };
        let counts = [one("destination", "put", 3000), one("source", "get", 3000), one("source", "list", 7)];
        assert_eq!(requests(&counts), "source: get 3,000, list 7; destination: put 3,000");
        assert_eq!(requests(&[]), "");
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(1_790_000_000_123), json!("2026-09-21T14:13:20.123Z"));
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!([size(0), size(1023), size(1536), size(3 << 30)], ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]);
        assert_eq!([duration(5.2), duration(65.0), duration(3900.0)], ["5s", "1m 05s", "1h 05m"]);
    }
}
