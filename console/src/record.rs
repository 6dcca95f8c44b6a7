//! One record of a report as a line: JSON or CSV. Nothing that a bucket holds can break a line, a table or a
//! terminal.

use proto::ObjectKey;
use proto::text::is_hostile;
use proto::v1::{AuditRecord, Outcome};
use serde_json::{Value, json};

use crate::job_stat;

/// The columns, in order.
pub(crate) const COLUMNS: [&str; 17] = [
    "round",
    "task",
    "key",
    "destination_key",
    "size",
    "outcome",
    "proof",
    "proof_value",
    "source_proved",
    "attempts",
    "millis",
    "code",
    "text",
    "note",
    "worker",
    "finished_at",
    "not_carried",
];

/// The name of an outcome.
pub(crate) fn outcome(record: &AuditRecord) -> &'static str {
    match record.outcome() {
        Outcome::Succeeded => "succeeded",
        Outcome::Skipped => "skipped",
        Outcome::Failed => "failed",
        Outcome::Unspecified => "unknown",
    }
}

/// A key as text: itself where it is UTF-8, else with `%XX` for what is not.
fn key(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => ObjectKey::new(bytes.to_vec()).to_line(),
    }
}

fn values(round: u32, task: u32, record: &AuditRecord) -> [Value; 17] {
    [
        json!(round),
        json!(task),
        json!(key(&record.key)),
        json!(key(&record.destination_key)),
        json!(record.size),
        json!(outcome(record)),
        json!(record.proof),
        json!(record.proof_value),
        json!(record.source_proved),
        json!(record.attempts),
        json!(record.millis),
        json!(record.code),
        json!(record.text),
        json!(record.note),
        json!(record.worker),
        job_stat::time(record.finished_at),
        json!(record.not_carried),
    ]
}

/// One JSON object and a line end. JSON escapes control characters, so a record is always one line.
pub(crate) fn json_line(round: u32, task: u32, record: &AuditRecord) -> String {
    let fields = COLUMNS.iter().zip(values(round, task, record));
    let mut object: serde_json::Map<String, Value> =
        fields.map(|(name, value)| ((*name).to_owned(), value)).collect();
    if [&record.key, &record.destination_key].into_iter().any(|key| std::str::from_utf8(key).is_err()) {
        // Without it `%FF` could be three letters or one byte.
        object.insert("keys_escaped".to_owned(), json!(true));
    }
    if !record.origin.is_empty() {
        object.insert("origin".to_owned(), json!(record.origin));
    }
    let text = Value::Object(object).to_string();
    let mut line = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match c {
            // serde_json escapes the others. None of these is beyond four digits.
            c if is_hostile(c) => line.push_str(&format!("\\u{:04x}", c as u32)),
            c => line.push(c),
        }
    }
    line.push('\n');
    line
}

/// RFC 4180, every text quoted. Control characters are written `%XX`; a text that a spreadsheet would take for
/// a formula gets an apostrophe in front.
pub(crate) fn csv_line(round: u32, task: u32, record: &AuditRecord) -> String {
    let cells =
        COLUMNS.into_iter().zip(values(round, task, record)).map(|(name, value)| match (name, value) {
            ("key", _) => csv_text(&record.key),
            ("destination_key", _) => csv_text(&record.destination_key),
            ("not_carried", _) => csv_text(record.not_carried.join("; ").as_bytes()),
            (_, Value::String(text)) => csv_text(text.as_bytes()),
            (_, Value::Null) => String::new(),
            (_, other) => other.to_string(),
        });
    cells.collect::<Vec<_>>().join(",") + "\r\n"
}

fn csv_text(text: &[u8]) -> String {
    let plain = ObjectKey::new(text.to_vec()).to_line().replace('"', "\"\"");
    let formula = plain.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    format!("\"{}{plain}\"", if formula { "'" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostile() -> AuditRecord {
        AuditRecord {
            key: b"a\"b\n\x1b[31m,=1".to_vec(),
            text: "=cmd()\r\n\u{202e}".into(),
            note: "\u{9b}31m\u{7f}".into(),
            ..AuditRecord::default()
        }
    }

    #[test]
    fn a_key_that_is_not_utf_8_is_told_from_one_that_looks_like_its_escape() {
        let [byte, text] = [&b"bad\xff"[..], b"bad%FF"].map(|key| {
            let record = AuditRecord { key: key.to_vec(), ..AuditRecord::default() };
            (json_line(1, 1, &record), csv_line(1, 1, &record))
        });
        assert!(byte.0.contains("\"bad%FF\"") && byte.0.contains("keys_escaped"));
        assert!(text.0.contains("\"bad%FF\"") && !text.0.contains("keys_escaped"));
        assert!(byte.1.contains("\"bad%FF\"") && text.1.contains("\"bad%25FF\""));
    }

    #[test]
    fn a_hostile_key_stays_in_its_line_and_its_cell() {
        let json = json_line(1, 2, &hostile());
        assert_eq!(json.matches('\n').count(), 1);
        let back: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(back["key"], "a\"b\n\u{1b}[31m,=1");
        assert_eq!(back["note"], "\u{9b}31m\u{7f}");
        assert!(
            !json.trim_end().contains(is_hostile)
                && !csv_line(1, 2, &hostile()).trim_end().contains(is_hostile)
        );
        let csv = csv_line(1, 2, &hostile());
        assert_eq!(csv.matches('\n').count(), 1);
        assert!(csv.contains("\"a\"\"b%0A%1B[31m,=1\""), "{csv}");
        assert!(csv.contains("\"'=cmd()%0D%0A%E2%80%AE\""), "{csv}");
    }
}
