//! From a file to its valid form, whichever format it has: TOML, or the predecessor's properties.

use std::path::{Path, PathBuf};

use crate::check;
use crate::job::JobConf;
use crate::keys;
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

fn job_raw(path: &Path, bytes: &[u8], problems: &mut Problems) -> Option<Raw> {
    let _ = path;
    raw::read(&text(bytes, problems)?, keys::JOB, problems)
}

fn sys_raw(path: &Path, bytes: &[u8], problems: &mut Problems) -> Option<Raw> {
    let _ = path;
    raw::read(&text(bytes, problems)?, keys::SYS, problems)
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
    let literal = [&job.source, &job.destination]
        .into_iter()
        .any(|end| end.secret_key.is_literal() || end.session_token.is_literal() || end.proxy.contains('@'));
    let mode = std::fs::metadata(path).map(|meta| meta.permissions().mode()).unwrap_or(0);
    if literal && mode & 0o044 != 0 {
        let file = path.display();
        problems.warn(None, format!("others on this machine can read the secrets in it: run chmod 600 {file}, or write them as \"${{ENV}}\" or {{ file = \"...\" }}"));
    }
}

#[cfg(test)]
mod tests;
