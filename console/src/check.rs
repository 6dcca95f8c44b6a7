//! The first look, before anything starts: what can be known now ends the command now.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use conf::job::EndpointType;
use conf::load::Checked;
use conf::{Endpoint, Home, JobConf, SysConf};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use proto::text::counted;
use storage::open::Context;
use storage::{ErrorKind, Meter, Source, retry};

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// How long one question of the first look may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A service that throttles is asked as often as one that fails.
const ATTEMPTS: u32 = 3;

/// `conf/sys.toml`, or `conf/sys.properties` of the predecessor, or the defaults.
pub(crate) fn sys_conf(home: &Home, output: &Output) -> Result<SysConf, Failure> {
    let old = home.conf().join("sys.properties");
    let path = if !home.sys_conf().exists() && old.exists() { old } else { home.sys_conf() };
    let mut conf = take(conf::load::sys(&path), output)?;
    conf.task_threads = conf.task_threads.min(objects_in_flight(raise_open_files())?);
    Ok(conf)
}

/// Raises this process's limit of open files as far as it may go, and answers it.
fn raise_open_files() -> u64 {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

/// How many objects the limit of open files allows in flight: fewer are slower, and none of them fails.
fn objects_in_flight(open_files: u64) -> Result<u32, Failure> {
    /// Of the roles: state, logs, records, connections, listings.
    const OWN: u64 = 44;
    /// An object has a connection at each end, or its file, the one it becomes, and their directories.
    const EACH: u64 = 4;
    match open_files.saturating_sub(OWN) / EACH {
        0 => Err(Failure::new(format!(
            "this process may open {open_files} files, and needs {} at least: raise the limit (`ulimit -n 1024`), then do it again",
            OWN + EACH
        ))),
        objects => Ok(u32::try_from(objects).unwrap_or(u32::MAX)),
    }
}

/// A job file with every warning said and every problem listed.
pub(crate) fn job_conf(path: &Path, output: &Output) -> Result<JobConf, Failure> {
    if !path.exists() {
        return Err(Failure::usage(format!(
            "there is no job file {}: write one (docs/configuration.md has every key), or name another, or another home with --home",
            path.display()
        )));
    }
    take(conf::load::job(path), output)
}

/// The job file of the one-click import.
pub(crate) fn local_job(home: &Home) -> PathBuf {
    first_existing(home, &["local_job.toml", "local_job.cfg"])
}

/// The first of these in `conf/`, or the first name where there is none.
pub(crate) fn first_existing(home: &Home, names: &[&str]) -> PathBuf {
    let paths: Vec<PathBuf> = names.iter().map(|name| home.conf().join(name)).collect();
    paths.iter().find(|path| path.exists()).or(paths.first()).cloned().unwrap_or_default()
}

fn take<T>(loaded: Result<Checked<T>, Vec<conf::load::Problem>>, output: &Output) -> Result<T, Failure> {
    match loaded {
        Ok(checked) => {
            for warning in &checked.warnings {
                output.note(&format!("warning: {warning}"));
            }
            Ok(checked.value)
        }
        Err(problems) => {
            let (odd, wrong): (Vec<_>, Vec<_>) = problems.iter().partition(|problem| problem.odd);
            odd.iter().for_each(|warning| output.note(&format!("warning: {warning}")));
            let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            Err(Failure::usage(format!(
                "the configuration has {}:\n{}",
                counted(lines.len() as u64, "problem"),
                lines.join("\n")
            )))
        }
    }
}

/// Opens both ends and asks each whether it is there and may be used.
pub(crate) async fn first_look(job: &JobConf) -> Result<JobConf, Failure> {
    let job = job.fill_in().map_err(|error| Failure::usage(error.to_string()))?;
    let context = || Context { meter: Meter::unlimited(), timeout: PATIENCE, job: job.name.clone() };
    let source = storage::open::source(&job.source, &context())
        .map_err(|error| explain("source", &job.source, &error))?;
    let destination = storage::open::destination(&job.destination, &context());
    let destination = destination.map_err(|error| explain("destination", &job.destination, &error))?;
    asked(|| source.check()).await.map_err(|error| explain("source", &job.source, &error))?;
    asked(|| destination.check()).await.map_err(|error| explain("destination", &job.destination, &error))?;
    Ok(job)
}

/// Opens the source alone, and asks whether it is there and may be listed.
pub(crate) async fn source(job: &JobConf, meter: &Meter) -> Result<(JobConf, Arc<dyn Source>), Failure> {
    let job = job.fill_in().map_err(|error| Failure::usage(error.to_string()))?;
    let context = |meter: Meter, timeout| Context { meter, timeout, job: job.name.clone() };
    let opened = |context| {
        storage::open::source(&job.source, &context).map_err(|error| explain("source", &job.source, &error))
    };
    let look = opened(context(Meter::unlimited(), PATIENCE))?;
    asked(|| look.check()).await.map_err(|error| explain("source", &job.source, &error))?;
    let source = opened(context(meter.clone(), job.transfer.timeout))?;
    Ok((job, source))
}

/// Asks again where the answer may pass.
async fn asked<F: Future<Output = storage::Result<()>>>(ask: impl Fn() -> F) -> storage::Result<()> {
    let policy = retry::Policy::new(ATTEMPTS, PATIENCE);
    let mut attempt = 1;
    loop {
        let error = match ask().await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match policy.decide(&error, attempt, if attempt < ATTEMPTS { Duration::ZERO } else { PATIENCE }) {
            retry::Decision::Retry(pause) if error.kind() != ErrorKind::CredentialsExpired => {
                tokio::time::sleep(pause).await
            }
            _ => return Err(error),
        }
        attempt += 1;
    }
}

fn explain(side: &str, endpoint: &Endpoint, error: &storage::Error) -> Failure {
    let exit = match error.kind() {
        ErrorKind::Unreachable | ErrorKind::Timeout => Exit::Unreachable,
        ErrorKind::DiskFull
        | ErrorKind::ReadOnly
        | ErrorKind::Io
        | ErrorKind::Throttled
        | ErrorKind::ServiceFailure
        | ErrorKind::Broken => Exit::Failure,
        ErrorKind::AccessDenied if side == "destination" && endpoint.kind == EndpointType::Local => {
            Exit::Failure
        }
        _ => Exit::Usage,
    };
    let place = endpoint.describe();
    let next = match error.kind() {
        // It is not an object that is asked for here.
        ErrorKind::NotFound => "Make it, or correct its name in the job file.",
        kind => retry::next_step(kind),
    };
    Failure { exit, message: format!("the {side} {place} cannot be used: {error}\n{next}") }
}
