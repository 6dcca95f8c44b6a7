//! The tables of the schema are those of `docs/configuration.md` and of the shipped files.

use std::fmt::Write as _;

use super::{Form, JOB, Key, SYS, Schema, nearest};
use crate::defaults;
use crate::ossimport::fields::{self, Field};

const PAGE: &str = include_str!("../../../docs/configuration.md");

fn unit(form: Form) -> &'static str {
    match form {
        Form::Text => "text",
        Form::Number => "number",
        Form::Switch => "true, false",
        Form::Size => "size",
        Form::Rate => "rate",
        Form::Duration => "duration",
        Form::Time => "time",
        Form::Secret => "secret",
        Form::Path => "path",
        Form::Pairs => "table",
        Form::Choice(_) => "word",
    }
}

fn table(keys: &[Key]) -> String {
    let mut text = "| key | default | unit | meaning |\n|---|---|---|---|\n".to_owned();
    for key in keys {
        let default = if key.default.is_empty() { "none".into() } else { format!("`{}`", key.default) };
        let words = match key.form {
            Form::Choice(words) => format!("One of {}. ", words.join(", ")),
            _ => String::new(),
        };
        writeln!(text, "| `{}` | {default} | {} | {words}{} |", key.name, unit(key.form), key.meaning)
            .unwrap();
    }
    text
}

fn old_table(fields: &[Field]) -> String {
    let mut text = "| field | default | becomes | remarks |\n|---|---|---|---|\n".to_owned();
    for field in fields {
        let default = if field.default.is_empty() { String::new() } else { format!("`{}`", field.default) };
        let becomes = if field.becomes.is_empty() { String::new() } else { format!("`{}`", field.becomes) };
        writeln!(text, "| `{}` | {default} | {becomes} | {} |", field.name, field.meaning).unwrap();
    }
    text
}

#[test]
fn the_page_of_the_configuration_has_every_key_as_it_is() {
    let mut missing = String::new();
    for (section, keys) in JOB.iter().chain(SYS) {
        let table = table(keys);
        if !PAGE.contains(&table) {
            write!(missing, "[{section}]\n\n{table}\n").unwrap();
        }
    }
    for fields in [fields::JOB, fields::SYS] {
        let table = old_table(fields);
        if !PAGE.contains(&table) {
            writeln!(missing, "{table}").unwrap();
        }
    }
    assert!(missing.is_empty(), "docs/configuration.md has to hold these tables:\n{missing}");
}

/// Every key stands in its section of the shipped file, live or behind `# `; a key behind `# ` has its default.
fn must_show(text: &str, schema: Schema, absent: &[&str]) {
    let mut section = "";
    let mut shown = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        }
        let (hidden, line) = line.strip_prefix("# ").map_or((false, line), |line| (true, line));
        let Some((name, value)) = line.split_once(" = ") else { continue };
        let keys = schema.iter().find(|(known, _)| *known == section).unwrap().1;
        let Some(key) = keys.iter().find(|key| key.name == name) else { continue };
        shown.push((section, key.name));
        let default = if key.default.is_empty() { "\"\"" } else { key.default };
        assert!(
            !hidden || value == default,
            "[{section}] {name} is shown as {value}, its default is {default}"
        );
    }
    for (section, keys) in schema {
        for key in keys.iter().filter(|key| !absent.contains(&format!("{section}.{}", key.name).as_str())) {
            let count = shown.iter().filter(|known| **known == (*section, key.name)).count();
            assert_eq!(count, 1, "[{section}] {} is shown {count} times", key.name);
        }
    }
}

#[test]
fn the_shipped_files_show_every_key_with_its_default() {
    must_show(defaults::SYS_TOML, SYS, &[]);
    let idle = [
        "source.storage_class",
        "source.server_side_encryption",
        "source.kms_key_id",
        "source.acl",
        "source.forbid_overwrite",
        "destination.follow_symlinks",
        "destination.key_list",
        "destination.cdn_domain",
        "destination.on_archived",
        "destination.restore_tier",
        "destination.restore_days",
        "rename.match",
        "rename.to",
        "destination.prefix_column",
        "destination.path_column",
        "destination.domain_requests_per_s",
    ];
    must_show(defaults::JOB_TOML, JOB, &idle);
    must_show(defaults::LOCAL_JOB_TOML, JOB, &idle);
}

#[test]
fn what_a_field_becomes_is_a_key() {
    for field in fields::JOB.iter().chain(fields::SYS).filter(|field| !field.becomes.is_empty()) {
        let (section, name) = field.becomes.split_once('.').unwrap_or(("", field.becomes));
        let known = JOB
            .iter()
            .chain(SYS)
            .any(|(known, keys)| *known == section && keys.iter().any(|key| key.name == name));
        assert!(known, "{} becomes {}", field.name, field.becomes);
    }
}

#[test]
fn the_nearest_key_is_found_and_nonsense_has_none() {
    let names = || JOB.iter().flat_map(|(_, keys)| keys.iter().map(|key| key.name));
    for (word, meant) in [
        ("skip_exsting", "skip_existing"),
        ("retrys", "retries"),
        ("buckt", "bucket"),
        ("secretKey", "secret_key"),
    ] {
        assert_eq!(nearest(word, names()), Some(meant));
    }
    assert_eq!(nearest("xyz", names()), None);
}
