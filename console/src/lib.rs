//! The `brigade` command: drives everything, and joins all roles in one process for the one-click import.

mod certificate;
mod check;
mod cli;
mod commands;
mod exit;
mod job_stat;
mod lock;
mod offline;
mod output;
mod progress;
mod record;
mod roles;
mod service;
mod standalone;
mod summary;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use cli::Cli;
use output::Output;

/// Threads that drive connections: half of the processors. Each event wakes a thread, and more threads share the same
/// events in smaller helpings: 10,000 objects of 4 KiB cost a fifth less processor time with one thread than with two
/// (docs/performance.md). What blocks or computes for long has threads of its own.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |all| (all.get() / 2).max(1))
}

/// Parses the command line, runs the command, and answers its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    let output = Output::new(cli.output);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads()).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(&exit::Failure::new(format!("cannot start: {error}"))),
    };
    let outcome = runtime.block_on(Box::pin(commands::run(&cli, &output)));
    // What still runs now (a lookup of a name, a read of a terminal) must not hold the exit.
    runtime.shutdown_background();
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => output.fail(&failure),
    }
}
