//! From a file to its valid form, whichever format it has: TOML, or the predecessor's properties.

use std::path::{Path, PathBuf};

use crate::check;
use crate::convert;
use crate::job::JobConf;
use crate::keys;
use crate::ossimport::properties::{self, decode};
use crate::ossimport::{self, Format, detect};
use crate::problem::Problems;
pub use crate::problem::{Checked, Problem};
use crate::raw::{self, Raw};
use crate::sys::SysConf;

/// Reads a job file. Secrets stay as they are written: see `JobConf::fill_in`.
///
/// # Errors
/// All that is wrong with the file, in the order of its lines.
pub fn job(path: &Path) -> Result<Checked<JobConf>, Vec<Problem>> {
    let path = standing_in(path);
    let mut problems = Problems::new(&path);
    let value = read(&path, &mut problems).and_then(|bytes| {
        let raw = job_raw(&path, &bytes, &mut problems)?;
        let job = check::job(&raw, &base(&path), &mut problems)?;
        open_secrets(&path, &job, &mut problems);
        Some(job)
    });
    problems.finish(value)
}

/// Reads the system's parameters; a file that is not there means the defaults.
///
/// # Errors
/// All that is wrong with the file, in the order of its lines.
pub fn sys(path: &Path) -> Result<Checked<SysConf>, Vec<Problem>> {
    let path = standing_in(path);
    if !path.exists() {
        return Ok(Checked { value: SysConf::default(), warnings: Vec::new() });
    }
    let mut problems = Problems::new(&path);
    let value = read(&path, &mut problems).and_then(|bytes| {
        let raw = sys_raw(&path, &bytes, &mut problems)?;
        Some(check::sys(&raw, &base(&path), &mut problems))
    });
    problems.finish(value)
}

/// The hosts of a deployment, one a line, in their order; the file has the same form as the predecessor's.
///
/// # Errors
/// All that is wrong with the file, in the order of its lines.
pub fn workers(path: &Path) -> Result<Checked<Vec<String>>, Vec<Problem>> {
    let mut problems = Problems::new(path);
    let hosts = read(path, &mut problems).map(|bytes| {
        let mut hosts: Vec<String> = Vec::new();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = decode(line);
            let host = line.split('#').next().unwrap_or_default().trim_start_matches('\u{feff}').trim();
            host_line(host, index + 1, &mut hosts, &mut problems);
        }
        if hosts.is_empty() {
            problems.error(None, "there is no host in it: write one a line, a name or an IP address");
        }
        hosts
    });
    problems.finish(hosts)
}

fn host_line(host: &str, line: usize, hosts: &mut Vec<String>, problems: &mut Problems) {
    let bare_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    if host.is_empty() {
    } else if hosts.iter().any(|known| known == host) {
        problems.warn(Some(line), format!("{host} is there twice: one worker runs on it"));
    } else if bare_v6
        || check::host::Host::parse(host).is_ok_and(|parsed| parsed.port.is_none()) && !host.contains('/')
    {
        hosts.push(host.to_owned());
    } else {
        problems.error(
            Some(line),
            format!("{host:?} is no host: write a name or an IP address, without port and user"),
        );
    }
}

/// What a configuration file is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A job.
    Job,
    /// The system's parameters.
    Sys,
    /// The hosts of a deployment.
    Workers,
}

/// By content, and by name where that says nothing; a file that cannot be read counts as a job.
pub fn kind(path: &Path) -> Kind {
    let path = standing_in(path);
    if path.file_name().is_some_and(|name| name == "workers") {
        return Kind::Workers;
    }
    let bytes = std::fs::read(&path).unwrap_or_default();
    match detect(&path, &bytes) {
        Format::Job => Kind::Job,
        Format::Sys => Kind::Sys,
        Format::Toml => {
            let named = path.file_stem().is_some_and(|stem| stem == "sys");
            let sys_key = |key: &str| match key.strip_prefix('[').and_then(|key| key.strip_suffix(']')) {
                Some(section) => !section.is_empty() && keys::section(keys::SYS, section).is_some(),
                None => false,
            };
            let job_key = |key: &str| key == "[source]" || key == "[destination]";
            let found = properties::parse(&bytes);
            let sys =
                found.iter().any(|property| sys_key(&property.key) || property.key.ends_with("_address"));
            let job = found.iter().any(|property| job_key(&property.key));
            if !job && (sys || named) { Kind::Sys } else { Kind::Job }
        }
    }
}

/// What is odd about the file, whatever it is about.
///
/// # Errors
/// All that is wrong with the file, in the order of its lines.
pub fn check(path: &Path) -> Result<Vec<Problem>, Vec<Problem>> {
    match kind(path) {
        Kind::Job => job(path).map(|checked| checked.warnings),
        Kind::Sys => sys(path).map(|checked| checked.warnings),
        Kind::Workers => workers(path).map(|checked| checked.warnings),
    }
}

/// Any accepted file as commented TOML that loads to the same; hosts stay as they are. The text holds the
/// file's secrets.
///
/// # Errors
/// All that is wrong with the file, in the order of its lines.
pub fn convert(path: &Path) -> Result<Checked<String>, Vec<Problem>> {
    convert::convert(path)
}

fn job_raw(path: &Path, bytes: &[u8], problems: &mut Problems) -> Option<Raw> {
    match detect(path, bytes) {
        Format::Toml => raw::read(&text(bytes, problems)?, keys::JOB, problems),
        Format::Job => Some(ossimport::job(path, bytes, problems)),
        Format::Sys => {
            problems.error(None, "this is a sys.properties, not a job: give a job.cfg or a job in TOML");
            None
        }
    }
}

fn sys_raw(path: &Path, bytes: &[u8], problems: &mut Problems) -> Option<Raw> {
    match detect(path, bytes) {
        Format::Toml => raw::read(&text(bytes, problems)?, keys::SYS, problems),
        Format::Sys => Some(ossimport::sys(bytes, problems)),
        Format::Job => {
            problems.error(
                None,
                "this is a job, not the system's parameters: give a sys.toml or a sys.properties",
            );
            None
        }
    }
}

/// The directory that relative paths in the file are taken from: the home when the file lies in its `conf`
/// directory, else the file's own.
fn base(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let own = absolute.parent().unwrap_or(Path::new("/"));
    match own.parent() {
        Some(home) if own.file_name().is_some_and(|name| name == "conf") => home.to_owned(),
        _ => own.to_owned(),
    }
}

/// The predecessor's file of the same meaning, where the TOML file is not there.
fn standing_in(path: &Path) -> PathBuf {
    let old = match path.file_name().and_then(|name| name.to_str()) {
        Some("sys.toml") => path.with_extension("properties"),
        Some("job.toml" | "local_job.toml") => path.with_extension("cfg"),
        _ => return path.to_owned(),
    };
    if !path.exists() && old.exists() { old } else { path.to_owned() }
}

fn read(path: &Path, problems: &mut Problems) -> Option<Vec<u8>> {
    match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            problems.error(None, "there is no such file: check the path, or --home");
            None
        }
        Err(error) => {
            problems.error(None, format!("cannot be read: {error}"));
            None
        }
    }
}

fn text(bytes: &[u8], problems: &mut Problems) -> Option<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.trim_start_matches('\u{feff}').replace("\r\n", "\n")),
        Err(error) => {
            let line = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
            problems.error(Some(line), "this is not UTF-8: save the file as UTF-8");
            None
        }
    }
}

/// Secrets that stand in a file which others may read deserve a word.
fn open_secrets(path: &Path, job: &JobConf, problems: &mut Problems) {
    use std::os::unix::fs::PermissionsExt;
    let literal = [&job.source, &job.destination].into_iter().any(|end| {
        let secrets = [&end.secret_key, &end.session_token, &end.sas_token, &end.connection_string];
        secrets.iter().any(|secret| secret.is_literal()) || end.proxy.contains('@')
    });
    let mode = std::fs::metadata(path).map(|meta| meta.permissions().mode()).unwrap_or(0);
    if literal && mode & 0o044 != 0 {
        let file = path.display();
        problems.warn(None, format!("others on this machine can read the secrets in it: run chmod 600 {file}, or write them as \"${{ENV}}\" or {{ file = \"...\" }}"));
    }
}

#[cfg(test)]
mod tests;
