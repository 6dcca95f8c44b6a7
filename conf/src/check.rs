//! From the shape of a file to its valid form. Every refusal and every warning is collected with its line,
//! the key as the user wrote it, what is wrong and what to do.

mod archived;
mod azure;
mod carry;
pub(crate) mod endpoint;
pub(crate) mod host;
mod reader;
mod rename;
mod same;
mod vendor;
mod web_list;

use std::path::Path;
use std::time::Duration;

use crate::carry::Carry;
use crate::job::{EndpointType, JobConf, JobKind, TaskConf, TransferConf, Verify};
use crate::problem::Problems;
use crate::raw::Raw;
use crate::sys::SysConf;
use reader::Reader;

/// Smallest part that every service takes.
pub(crate) const SMALLEST_PART: u64 = 5 << 20;
/// Largest part, and largest object in one request, that every service takes.
pub(crate) const LARGEST_PART: u64 = 5 << 30;
/// Smallest threshold for multipart.
pub(crate) const SMALLEST_THRESHOLD: u64 = 1 << 20;

/// A job. `base` is the directory that relative paths are taken from.
pub(crate) fn job(raw: &Raw, base: &Path, problems: &mut Problems) -> Option<JobConf> {
    let mut read = Reader { raw, base, problems };
    let name = name(&mut read);
    let kind = read.choice("", "type", &[("import", JobKind::Import), ("audit", JobKind::Audit)]);
    let since = read.time("", "since").unwrap_or(0);
    let incremental = read.switch("", "incremental").unwrap_or(false);
    let interval = interval(&mut read, incremental);
    let priority = read.number("", "priority", -100, 100).unwrap_or(0);
    let source = endpoint::check(&mut read, endpoint::Side::Source);
    let destination = endpoint::check(&mut read, endpoint::Side::Destination);
    let task = task(&mut read);
    let transfer = transfer(&mut read);
    let rename = rename::check(&mut read);
    let (source, destination) = (source?, destination?);
    same::refuse(&mut read, &source, &destination);
    if source.kind == EndpointType::Http && !rename.is_empty() {
        let line = raw.renames.first().and_then(|rule| rule.line);
        let what = "[[rename]] does not work with a list of URLs: write the keys into the list's path column";
        read.problems.error(line, what.to_owned());
    }
    carry::fits(&mut read, &source, &destination, &transfer, !rename.is_empty());
    let job = JobConf {
        name: name?,
        kind: kind.unwrap_or(JobKind::Import),
        since,
        incremental,
        interval,
        priority: i32::try_from(priority).unwrap_or(0),
        source,
        destination,
        task,
        transfer,
        rename,
    };
    Some(job)
}

/// Is it a name that a job may have?
pub fn is_job_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (4..=128).contains(&name.len()) && name.chars().all(good)
}

fn name(read: &mut Reader<'_>) -> Option<String> {
    let Some(name) = read.text("", "name").filter(|name| !name.is_empty()) else {
        if read.raw.get("", "name").is_none_or(|given| given.is_empty()) {
            read.missing("", "name", "the job has no name: add name = \"...\" at the top");
        }
        return None;
    };
    if is_job_name(&name) {
        return Some(name);
    }
    read.bad(
        "",
        "name",
        &format!("is {name:?}: a job's name has 4 to 128 of the characters a-z A-Z 0-9 _ -"),
    );
    None
}

fn interval(read: &mut Reader<'_>, incremental: bool) -> Duration {
    let range = (Duration::from_secs(900), Duration::from_secs(366 * 86_400));
    let interval = read.duration("", "interval", range).unwrap_or(Duration::from_secs(86_400));
    if incremental && interval < Duration::from_secs(3600) {
        let advice = "is below one hour: every round lists the whole source, which costs requests; 1h or more is better";
        read.odd("", "interval", advice);
    }
    interval
}

fn task(read: &mut Reader<'_>) -> TaskConf {
    let default = TaskConf::default();
    TaskConf {
        object_count_limit: read.small("task", "object_count_limit", 1, 50_000, default.object_count_limit),
        object_size_limit: read
            .size("task", "object_size_limit", (1, 1 << 60))
            .unwrap_or(default.object_size_limit),
        scan_threads: read.small("task", "scan_threads", 1, 64, default.scan_threads),
        scan_depth: read.small("task", "scan_depth", 0, 16, default.scan_depth),
    }
}

fn transfer(read: &mut Reader<'_>) -> TransferConf {
    let default = TransferConf::default();
    let section = "transfer";
    let verifies = [("checksum", Verify::Checksum), ("size", Verify::Size), ("full", Verify::Full)];
    let steps = (Duration::from_secs(1), Duration::from_secs(3600));
    let switch = |read: &mut Reader<'_>, name, default| read.switch(section, name).unwrap_or(default);
    let (directory_markers, make_markers) = carry::markers(read, default.directory_markers);
    TransferConf {
        multipart_threshold: read
            .size(section, "multipart_threshold", (SMALLEST_THRESHOLD, LARGEST_PART))
            .unwrap_or(default.multipart_threshold),
        part_size: read
            .size(section, "part_size", (SMALLEST_PART, LARGEST_PART))
            .unwrap_or(default.part_size),
        parts_in_flight: read.small(section, "parts_in_flight", 1, 64, default.parts_in_flight),
        skip_existing: switch(read, "skip_existing", default.skip_existing),
        verify: read.choice(section, "verify", &verifies).unwrap_or(default.verify),
        retries: read.small(section, "retries", 1, 100, default.retries),
        abort_on_unknown_error: switch(read, "abort_on_unknown_error", default.abort_on_unknown_error),
        record_md5: switch(read, "record_md5", default.record_md5),
        record_mtime: switch(read, "record_mtime", default.record_mtime),
        directory_markers,
        timeout: read.duration(section, "timeout", steps).unwrap_or(default.timeout),
        patience: read
            .duration(section, "patience", (steps.0, Duration::from_secs(7 * 86400)))
            .unwrap_or(default.patience),
        bytes_per_s: read.rate(section, "bytes_per_s").unwrap_or(default.bytes_per_s),
        requests_per_s: read.count(section, "requests_per_s").unwrap_or(default.requests_per_s),
        carry: Carry { make_markers, ..carry::read(read) },
    }
}

/// The system's parameters.
pub(crate) fn sys(raw: &Raw, base: &Path, problems: &mut Problems) -> SysConf {
    let mut read = Reader { raw, base, problems };
    let default = SysConf::default();
    let leases = (Duration::from_secs(1), Duration::from_secs(3600));
    let key_file = read.path("ssh", "private_key_file");
    SysConf {
        master_address: read.address("", "master_address").unwrap_or(default.master_address),
        tracker_address: read.address("", "tracker_address").unwrap_or(default.tracker_address),
        task_threads: read.small("worker", "task_threads", 1, 4096, default.task_threads),
        worker_bytes_per_s: read.rate("worker", "bytes_per_s").unwrap_or(0),
        worker_requests_per_s: read.count("worker", "requests_per_s").unwrap_or(0),
        cluster_bytes_per_s: read.rate("limits", "bytes_per_s").unwrap_or(0),
        cluster_requests_per_s: read.count("limits", "requests_per_s").unwrap_or(0),
        memory_limit: read.size("worker", "memory_limit", (8 << 20, 1 << 50)).unwrap_or(default.memory_limit),
        lease: read.duration("", "lease", leases).unwrap_or(default.lease),
        log_level: log_level(&mut read).unwrap_or(default.log_level),
        worker_user: read.text("ssh", "user").unwrap_or_default(),
        private_key_file: key_file.map(|path| path.display().to_string()).unwrap_or_default(),
        ssh_port: u16::try_from(read.small("ssh", "port", 1, 65_535, 22)).unwrap_or(22),
    }
}

fn log_level(read: &mut Reader<'_>) -> Option<String> {
    let level = read.text("", "log_level")?;
    let words = ["error", "warn", "info", "debug", "trace", "off"];
    let directives = level.contains([',', '=']) || words.contains(&level.to_ascii_lowercase().as_str());
    if directives && tracing_subscriber::EnvFilter::builder().parse(&level).is_ok() {
        return Some(level);
    }
    let advice = format!(
        "is {level:?}: write error, warn, info, debug, trace, or a filter such as \"info,storage=debug\""
    );
    read.bad("", "log_level", &advice);
    None
}
