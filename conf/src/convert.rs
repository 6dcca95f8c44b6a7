//! `config convert`: any accepted file as commented TOML that loads to the same valid form.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use toml_edit::Value;

use crate::carry::Symlinks;
use crate::check::endpoint::{Side, counts};
use crate::job::{Addressing, Endpoint, JobConf, JobKind, OnArchived, RestoreTier, Verify};
use crate::keys::{self, Key, Schema};
use crate::load::{self, Checked, Kind, Problem};
use crate::secret::Secret;
use crate::sys::SysConf;
use crate::units::{ByteRate, ByteSize, show_duration};

/// TOML text that loads to the same as the file at `path`. It holds the file's secrets.
///
/// # Errors
/// All that is wrong with the file, in the order of its lines.
pub(crate) fn convert(path: &Path) -> Result<Checked<String>, Vec<Problem>> {
    match load::kind(path) {
        Kind::Job => load::job(path).map(|job| shown(job, job_text)),
        Kind::Sys => load::sys(path).map(|sys| shown(sys, sys_text)),
        Kind::Workers => load::workers(path).map(|hosts| shown(hosts, |hosts| hosts.join("\n") + "\n")),
    }
}

fn shown<T>(checked: Checked<T>, text: impl Fn(&T) -> String) -> Checked<String> {
    Checked { value: text(&checked.value), warnings: checked.warnings }
}

type Values = BTreeMap<(&'static str, &'static str), String>;

/// A job as commented TOML.
pub(crate) fn job_text(job: &JobConf) -> String {
    let values = job_values(job);
    let fits = |section: &str, name: &str| match section {
        "source" => counts(Side::Source, job.source.kind, name),
        "destination" => counts(Side::Destination, job.destination.kind, name),
        _ => true,
    };
    let mut text = text(keys::JOB, &values, fits);
    for rule in &job.rename {
        let (pattern, to) = (string(&rule.pattern), string(&rule.to));
        text.push_str(&format!("\n[[rename]]\nmatch = {pattern}\nto = {to}\n"));
    }
    text
}

/// The system's parameters as commented TOML.
pub(crate) fn sys_text(sys: &SysConf) -> String {
    text(keys::SYS, &sys_values(sys), |_, _| true)
}

fn text(schema: Schema, values: &Values, fits: impl Fn(&str, &str) -> bool) -> String {
    let mut text = String::new();
    // Rules are a list: they follow.
    for (section, keys) in schema.iter().filter(|(section, _)| *section != "rename") {
        if !section.is_empty() {
            text.push_str(&format!("[{section}]\n"));
        }
        for key in keys.iter().filter(|key| fits(section, key.name)) {
            let default = if key.default.is_empty() { "\"\"" } else { key.default };
            let value = values.get(&(section, key.name)).map_or(default, String::as_str);
            // What a reader looks for first is always there.
            let live = value != default || matches!(key.name, "name" | "type");
            let hash = if live { "" } else { "# " };
            text.push_str(&format!("{}{hash}{} = {value}\n\n", comment(key), key.name));
        }
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

/// The meaning, in lines of at most 110 characters.
fn comment(key: &Key) -> String {
    let mut lines = vec!["#".to_owned()];
    for word in key.meaning.split(' ') {
        if lines.last().is_some_and(|line| line.len() + word.len() > 108) {
            lines.push("#".to_owned());
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

fn string(text: impl AsRef<str>) -> String {
    Value::from(text.as_ref()).to_string()
}

fn path(path: &Path) -> String {
    string(path.to_string_lossy())
}

fn secret(secret: &Secret) -> String {
    match secret {
        Secret::Literal(value) => string(value),
        Secret::Env(name) => string(format!("${{{name}}}")),
        Secret::File(file) => format!("{{ file = {} }}", path(file)),
    }
}

/// `{ A = "B", C = "D" }`; keys are quoted where TOML wants it.
fn pairs(pairs: &std::collections::BTreeMap<String, String>) -> String {
    let one = |(name, value): (&String, &String)| format!("{} = {}", string(name), string(value));
    let all: Vec<String> = pairs.iter().map(one).collect();
    if all.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", all.join(", ")) }
}

fn duration(duration: Duration) -> String {
    string(show_duration(duration))
}

fn job_values(job: &JobConf) -> Values {
    let kind = match job.kind {
        JobKind::Import => "import",
        JobKind::Audit => "audit",
    };
    let mut values = Values::from([
        (("", "name"), string(&job.name)),
        (("", "type"), string(kind)),
        (("", "since"), job.since.to_string()),
        (("", "incremental"), job.incremental.to_string()),
        (("", "interval"), duration(job.interval)),
        (("", "priority"), job.priority.to_string()),
        (("task", "object_count_limit"), job.task.object_count_limit.to_string()),
        (("task", "object_size_limit"), string(ByteSize(job.task.object_size_limit).to_string())),
        (("task", "scan_threads"), job.task.scan_threads.to_string()),
        (("task", "scan_depth"), job.task.scan_depth.to_string()),
    ]);
    endpoint_values("source", &job.source, &mut values);
    endpoint_values("destination", &job.destination, &mut values);
    transfer_values(job, &mut values);
    values
}

fn transfer_values(job: &JobConf, values: &mut Values) {
    let transfer = &job.transfer;
    let verify = match transfer.verify {
        Verify::Checksum => "checksum",
        Verify::Size => "size",
        Verify::Full => "full",
    };
    let mut put = |name, value| values.insert(("transfer", name), value);
    put("multipart_threshold", string(ByteSize(transfer.multipart_threshold).to_string()));
    put("part_size", string(ByteSize(transfer.part_size).to_string()));
    put("parts_in_flight", transfer.parts_in_flight.to_string());
    put("skip_existing", transfer.skip_existing.to_string());
    put("verify", string(verify));
    put("retries", transfer.retries.to_string());
    put("abort_on_unknown_error", transfer.abort_on_unknown_error.to_string());
    put("record_md5", transfer.record_md5.to_string());
    put("record_mtime", transfer.record_mtime.to_string());
    let carry = &transfer.carry;
    let markers = if carry.make_markers { string("create") } else { transfer.directory_markers.to_string() };
    put("directory_markers", markers);
    put("symlinks", string(if carry.symlinks == Symlinks::Carry { "carry" } else { "read" }));
    put("carry_tags", carry.tags.to_string());
    put("carry_acl", carry.acl.to_string());
    put("storage_classes", pairs(&carry.storage_classes));
    put("timeout", duration(transfer.timeout));
    put("patience", duration(transfer.patience));
    put("bytes_per_s", string(ByteRate(transfer.bytes_per_s).to_string()));
    put("requests_per_s", transfer.requests_per_s.to_string());
}

fn endpoint_values(section: &'static str, end: &Endpoint, values: &mut Values) {
    let addressing = match end.addressing {
        Addressing::Auto => "auto",
        Addressing::Path => "path",
        Addressing::Virtual => "virtual",
    };
    let optional = |file: &Option<std::path::PathBuf>| path(file.as_deref().unwrap_or(Path::new("")));
    let mut put = |name, value| values.insert((section, name), value);
    put("type", string(end.kind.name()));
    put("provider", string(&end.provider));
    put("endpoint", string(&end.endpoint));
    put("region", string(&end.region));
    put("bucket", string(&end.bucket));
    put("prefix", string(&end.prefix));
    put("path", path(&end.path));
    put("access_key", secret(&end.access_key));
    put("secret_key", secret(&end.secret_key));
    put("session_token", secret(&end.session_token));
    put("sas_token", secret(&end.sas_token));
    put("connection_string", secret(&end.connection_string));
    put("anonymous", end.anonymous.to_string());
    put("addressing", string(addressing));
    put("signature_version", end.signature_version.to_string());
    put("ca_file", optional(&end.ca_file));
    put("proxy", string(&end.proxy));
    put("storage_class", string(&end.storage_class));
    put("server_side_encryption", string(&end.server_side_encryption));
    put("kms_key_id", string(&end.kms_key_id));
    put("acl", string(&end.acl));
    put("forbid_overwrite", end.forbid_overwrite.to_string());
    put("follow_symlinks", end.follow_symlinks.to_string());
    put("key_list", optional(&end.key_list));
    put("prefix_column", end.prefix_column.to_string());
    put("path_column", end.path_column.to_string());
    put("domain_requests_per_s", end.domain_requests_per_s.to_string());
    put("list_page", end.list_page.to_string());
    put("cdn_domain", string(&end.cdn_domain));
    let on_archived = match end.on_archived {
        OnArchived::Fail => "fail",
        OnArchived::Skip => "skip",
        OnArchived::Restore => "restore",
    };
    let tier = match end.restore_tier {
        RestoreTier::Expedited => "expedited",
        RestoreTier::Standard => "standard",
        RestoreTier::Bulk => "bulk",
    };
    put("on_archived", string(on_archived));
    put("restore_tier", string(tier));
    put("restore_days", end.restore_days.to_string());
}

fn sys_values(sys: &SysConf) -> Values {
    Values::from([
        (("", "master_address"), string(sys.master_address.to_string())),
        (("", "tracker_address"), string(sys.tracker_address.to_string())),
        (("", "lease"), duration(sys.lease)),
        (("", "log_level"), string(&sys.log_level)),
        (("worker", "task_threads"), sys.task_threads.to_string()),
        (("worker", "memory_limit"), string(ByteSize(sys.memory_limit).to_string())),
        (("worker", "bytes_per_s"), string(ByteRate(sys.worker_bytes_per_s).to_string())),
        (("worker", "requests_per_s"), sys.worker_requests_per_s.to_string()),
        (("limits", "bytes_per_s"), string(ByteRate(sys.cluster_bytes_per_s).to_string())),
        (("limits", "requests_per_s"), sys.cluster_requests_per_s.to_string()),
        (("ssh", "user"), string(&sys.worker_user)),
        (("ssh", "private_key_file"), string(&sys.private_key_file)),
        (("ssh", "port"), sys.ssh_port.to_string()),
    ])
}

#[cfg(test)]
mod tests;
