//! `job.cfg` and `local_job.cfg`.

use std::path::Path;

use super::sys::job_switches;
use super::{Old, fields};
use crate::problem::Problems;
use crate::raw::Raw;
use crate::units::ByteSize;

/// Reads it into the raw form. A `sys.properties` beside it holds two switches of a job.
pub(crate) fn job(path: &Path, bytes: &[u8], problems: &mut Problems) -> Raw {
    let mut old = Old::new(bytes, fields::JOB, problems);
    top(&mut old);
    source(&mut old);
    destination(&mut old);
    task(&mut old);
    transfer(&mut old);
    verify(&mut old);
    refused(&mut old);
    if let Ok(beside) = std::fs::read(path.with_file_name("sys.properties")) {
        let switches = job_switches(&beside);
        old.put("transfer", "abort_on_unknown_error", "", switches.abort_on_unknown_error.to_string());
        old.put("transfer", "record_md5", "", switches.record_md5.to_string());
    }
    old.raw
}

fn top(old: &mut Old<'_>) {
    old.carry_or("jobName", "", "name", "local_test");
    let kind = old.value("jobType").unwrap_or_else(|| "import".into());
    old.put("", "type", "jobType", kind.to_ascii_lowercase());
    old.carry("isIncremental", "", "incremental");
    old.carry("incrementalModeInterval", "", "interval");
    old.carry("importSince", "", "since");
    if old.value("lastModify").is_some_and(|value| value != "0") {
        old.warn(
            "lastModify",
            "is not used: every object is verified; one that changes meanwhile is reported as SOURCE_CHANGED",
        );
    }
}

fn source(old: &mut Old<'_>) {
    let kind = old.value("srcType").unwrap_or_default().to_ascii_lowercase();
    if !kind.is_empty() {
        old.put("source", "type", "srcType", kind.as_str());
    }
    if kind == "local" {
        directory(old, "srcPrefix", "source");
        old.carry("isAllowSymbolicLink", "source", "follow_symlinks");
        return;
    }
    old.switch("isAllowSymbolicLink", false);
    if kind == "http" {
        old.raw.alias("source.key_list", "httpListFilePath", old.line("httpListFilePath"));
        old.carry("httpListFilePath", "source", "key_list");
        old.carry("httpPrefixColumn", "source", "prefix_column");
        old.carry("relativePathColumn", "source", "path_column");
        return;
    }
    old.carry("srcAccessKey", "source", "access_key");
    old.carry("srcSecretKey", "source", "secret_key");
    old.carry("srcRegion", "source", "region");
    bucket(old, &kind);
    prefix(old, &kind);
    let domain = old.value("srcDomain").unwrap_or_default();
    if let Some(endpoint) = endpoint(old, &kind, &domain) {
        old.put("source", "endpoint", "srcDomain", endpoint);
    }
    if kind == "youpai" && old.switch("isDownloadFromCdn", false) {
        match old.value("cdnDomain").filter(|domain| !domain.is_empty()) {
            Some(domain) => old.put("source", "cdn_domain", "cdnDomain", domain),
            None => {
                old.error("cdnDomain", "is empty, and isDownloadFromCdn is true: write the domain of the CDN")
            }
        }
    }
}

fn bucket(old: &mut Old<'_>, kind: &str) {
    let Some(bucket) = old.value("srcBucket") else { return };
    let app = old.value("appId").filter(|app| app != "0");
    let full = match app {
        Some(app) if kind == "cos" => {
            let number = app.chars().all(|c| c.is_ascii_digit());
            if !number {
                old.error("appId", &format!("is {app:?}: write the number of the COS application, or 0"));
            }
            // One problem is said once.
            let end = if number { format!("-{app}") } else { "-0".to_owned() };
            if bucket.ends_with(&end) { bucket } else { bucket + &end }
        }
        _ => bucket,
    };
    old.put("source", "bucket", "srcBucket", full);
}

fn prefix(old: &mut Old<'_>, kind: &str) {
    let Some(prefix) = old.value("srcPrefix") else { return };
    // The original's COS samples write `/docs/` for the prefix `docs/`.
    // Its client for youpai took paths, which begin with a slash.
    let slashed = matches!(kind, "cos" | "youpai");
    let bare = prefix.strip_prefix('/').filter(|_| slashed).unwrap_or(&prefix).to_owned();
    old.put("source", "prefix", "srcPrefix", bare);
}

/// The address, where the file says it in a way of its own; older names are understood where all are (`address`).
fn endpoint(old: &mut Old<'_>, kind: &str, domain: &str) -> Option<String> {
    let bare =
        domain.split_once("://").map_or(domain, |(_, rest)| rest).trim_end_matches('/').to_ascii_lowercase();
    let found = match kind {
        "cos" if domain.is_empty() => {
            old.error(
                "srcDomain",
                "is empty, and the bucket's region is not looked up: write the one that the console shows, such as ap-guangzhou",
            );
            return Some("cos.ap-guangzhou.myqcloud.com".to_owned());
        }
        "youpai" if domain.is_empty() => "http://v0.api.upyun.com".to_owned(),
        "azure" if !bare.contains("blob.") => azure(old, &bare),
        _ => domain.to_owned(),
    };
    (!found.is_empty()).then_some(found)
}

fn azure(old: &mut Old<'_>, suffix: &str) -> String {
    let suffix = if suffix.is_empty() { "core.windows.net" } else { suffix };
    let account = old.value("srcAccessKey").filter(|account| !account.starts_with("${"));
    if account.is_none() {
        old.error("srcAccessKey", "has to be the account's name itself: the address is made from it");
    }
    format!("https://{}.blob.{suffix}", account.as_deref().unwrap_or("account"))
}

fn destination(old: &mut Old<'_>) {
    let kind = old.value("destType").unwrap_or_else(|| "oss".into()).to_ascii_lowercase();
    old.put("destination", "type", "destType", kind.as_str());
    let encrypted = old.switch("isServerSideEncryption", false);
    if kind == "local" {
        directory(old, "destPrefix", "destination");
        if encrypted {
            old.warn("isServerSideEncryption", "does nothing for a directory");
        }
        return;
    }
    old.carry("destAccessKey", "destination", "access_key");
    old.carry("destSecretKey", "destination", "secret_key");
    old.carry("destDomain", "destination", "endpoint");
    old.carry("destRegion", "destination", "region");
    old.carry("destBucket", "destination", "bucket");
    old.carry("destPrefix", "destination", "prefix");
    if encrypted {
        old.put("destination", "server_side_encryption", "isServerSideEncryption", "AES256");
    }
}

/// A prefix that is a directory. Backslashes of Windows are slashes.
fn directory(old: &mut Old<'_>, name: &'static str, section: &'static str) {
    let dotted = if section == "source" { "source.path" } else { "destination.path" };
    old.raw.alias(dotted, name, old.line(name));
    let Some(path) = old.value(name) else { return };
    // As it is, so that it is refused: a share of Windows is no directory of this machine.
    if path.starts_with('\\') || path.contains('\\') && !path.contains('/') {
        return old.put(section, "path", name, path);
    }
    let path = path.replace('\\', "/");
    if path.contains("//") {
        old.error(name, "has two slashes in a row, which no directory has: write one");
    }
    old.put(section, "path", name, path);
}

fn task(old: &mut Old<'_>) {
    old.carry("taskObjectCountLimit", "task", "object_count_limit");
    old.carry("taskObjectSizeLimit", "task", "object_size_limit");
    old.at_most("scanThreadCount", "task", "scan_threads", 32);
    old.at_most("maxMultiThreadScanDepth", "task", "scan_depth", 16);
}

fn transfer(old: &mut Old<'_>) {
    old.carry("isSkipExistFile", "transfer", "skip_existing");
    old.carry_or("uploadThreadNumPerLargeFile", "transfer", "parts_in_flight", "3");
    old.carry_or("multipartUploadThreshold", "transfer", "multipart_threshold", "150m");
    let name = "multipartUploadPartSize";
    old.carry_or(name, "transfer", "part_size", "50m");
    let Some(Ok(size)) = old.value(name).map(|value| value.parse::<ByteSize>()) else { return };
    if size.0 < 100 << 10 {
        old.warn(name, &format!("is {size}, less than 100k: the default of 50m is used"));
        old.put("transfer", "part_size", name, "50m");
    } else if size.0 < 5 << 20 {
        old.warn(name, &format!("is {size}, less than some services take: 5m is used"));
        old.put("transfer", "part_size", name, "5m");
    }
}

fn verify(old: &mut Old<'_>) {
    let mode = old.value("auditMode").unwrap_or_else(|| "general".into()).to_ascii_lowercase();
    let verify = match mode.as_str() {
        "simple" => "size",
        "general" | "detailed" => "checksum",
        _ => {
            old.error("auditMode", &format!("is {mode:?}: write simple, general or detailed"));
            "checksum"
        }
    };
    old.put("transfer", "verify", "auditMode", verify);
    let audit = old.value("jobType").is_some_and(|kind| kind.eq_ignore_ascii_case("audit"));
    if !old.switch("isAuditAfterImport", true) && !audit {
        old.warn("isAuditAfterImport", "is false: lengths are compared all the same, checksums are not; checksums cost no further requests, so that true is better");
        old.put("transfer", "verify", "isAuditAfterImport", "size");
    }
}

fn refused(old: &mut Old<'_>) {
    if old.switch("isUseExpressTunnel", false) {
        old.error("isUseExpressTunnel", "is true: the vendor's internal tunnel is not supported; set it to false, and use the ordinary addresses or a proxy (key proxy in TOML)");
    }
    let youpai = old.value("srcType").is_some_and(|kind| kind.eq_ignore_ascii_case("youpai"));
    if old.switch("isDownloadFromCdn", false) && !youpai {
        old.error(
            "isDownloadFromCdn",
            "is true: objects are read from the service itself, not from a CDN; set it to false",
        );
    }
    if let Some(mode) = old.value("getObjectMetaMode").filter(|mode| mode != "stat" && mode != "head") {
        old.error("getObjectMetaMode", &format!("is {mode:?}: write head or stat; it does nothing here"));
    }
}
