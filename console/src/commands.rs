//! One file a command.

mod clean;
mod config;
mod import;
mod limit;
mod pause;
mod plan;
mod report;
mod retry;
mod serve;
mod start;
mod stat;
mod stop;
mod submit;
mod version;

use std::path::PathBuf;

use conf::Home;
use conf::boot::{self, LogTo};
use conf::home::Role;

use crate::check;
use crate::cli::{Cli, Command};
use crate::exit::{Failure, Outcome};
use crate::output::Output;

/// Runs the command that was given.
pub(crate) async fn run(cli: &Cli, output: &Output) -> Outcome {
    let home = home(cli)?;
    match &cli.command {
        Command::Import(args) => import::run(cli, args, &home, output).await,
        Command::Start => start::run(cli, &home, output).await,
        Command::Stop { grace } => stop::run(&home, *grace, output).await,
        Command::Submit { file } => submit::run(file.as_deref(), &home, output).await,
        Command::Plan { file } => plan::run(file.as_deref(), &home, output).await,
        Command::Stat { job, watch } => stat::run(job.as_deref(), *watch, &home, output).await,
        Command::Retry { job } => retry::run(&named(job.as_deref(), &home, output)?, &home, output).await,
        Command::Clean { job, force } => {
            clean::run(cli, &named(job.as_deref(), &home, output)?, *force, &home, output).await
        }
        Command::Pause { job } => pause::pause(job, &home, output).await,
        Command::Resume { job, file } => pause::resume(job, file.as_deref(), &home, output).await,
        Command::Limit(args) => limit::run(args, &home, output).await,
        Command::Report(args) => report::run(args, &home, output).await,
        Command::Config { action } => config::run(action, output),
        Command::Version => version::run(output),
        Command::Serve { role } => serve::run(cli, *role, &home).await,
    }
}

fn home(cli: &Cli) -> Result<Home, Failure> {
    let given = cli.home.clone().unwrap_or_else(|| PathBuf::from("."));
    let root = std::path::absolute(&given).map_err(|error| Failure::file("find", &given, &error))?;
    if !root.is_dir() {
        return Err(Failure::usage(format!("the home {} is not a directory", root.display())));
    }
    Ok(Home::new(root))
}

/// Log lines of this process go to the role's file; more of them with `-v`.
fn log(cli: &Cli, home: &Home, role: Role, level: &str) -> Result<(), Failure> {
    let file = LogTo::File(home.clone(), role);
    boot::logging(&file, level, cli.verbose).map_err(|error| Failure::new(error.to_string()))
}

/// The job that was named, or the one of the one-click import.
fn named(job: Option<&str>, home: &Home, output: &Output) -> Result<String, Failure> {
    match job {
        Some(job) => Ok(job.to_owned()),
        None => Ok(check::job_conf(&check::local_job(home), output)?.name),
    }
}
