//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Moves buckets between clouds and proves that every object arrived.
#[derive(Debug, Parser)]
#[command(name = "brigade", version, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 done; 1 failure; 2 usage or configuration error, nothing was started; \
3 the job ended and some objects failed; 4 the service is not reachable."
)]
pub(crate) struct Cli {
    /// The installation; the current directory when left out
    #[arg(long, global = true, env = "BRIGADE_HOME", value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// text for people, json for programs
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) output: Format,
    /// Never ask
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Log more (-vv: still more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One-click import: everything in one process, until the job's end
    Import(Import),
    /// Start master, tracker and worker in the background
    Start,
    /// Stop them: what is in flight may end first
    Stop {
        /// Seconds before a process is killed
        #[arg(long, default_value_t = 30)]
        grace: u64,
    },
    /// Hand a job to the running service
    Submit {
        /// The job file; conf/job.toml, else conf/local_job.toml, when left out
        file: Option<PathBuf>,
    },
    /// What a job would find: list the source and count, write nothing
    Plan {
        /// The job file; conf/job.toml, else conf/local_job.toml, when left out
        file: Option<PathBuf>,
    },
    /// Where a job stands; without a name all jobs and workers
    Stat {
        job: Option<String>,
        /// Again every second, until the job has ended
        #[arg(long)]
        watch: bool,
    },
    /// Move what failed once more
    Retry { job: Option<String> },
    /// Forget a job: its records and files, and its unfinished uploads at the destination
    Clean {
        job: Option<String>,
        /// Also a job that runs
        #[arg(long)]
        force: bool,
    },
    /// Stop handing out the job's tasks; what is in flight ends
    Pause { job: String },
    /// Go on with a paused job
    Resume {
        job: String,
        /// Take over keys of access, retries and limits from this job file
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Change limits and priority while it runs
    Limit(Limit),
    /// What happened to each object, with a certificate as its head
    Report(Report),
    /// Check or convert a configuration file
    Config {
        #[command(subcommand)]
        action: Config,
    },
    /// The version
    Version,
    /// Run one role in the foreground (`start` does this)
    #[command(hide = true)]
    Serve { role: Role },
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The job file; conf/local_job.toml when left out
    pub(crate) file: Option<PathBuf>,
    /// Go on with the earlier job of this name
    #[arg(long, conflicts_with = "restart")]
    pub(crate) resume: bool,
    /// Forget the earlier job of this name and start anew
    #[arg(long)]
    pub(crate) restart: bool,
    /// Retry failures up to N times without asking
    #[arg(long, value_name = "N")]
    pub(crate) retry: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// The job; the whole cluster when left out
    pub(crate) job: Option<String>,
    /// Bytes a second, such as 50MiB/s; 0 = no limit
    #[arg(long, value_name = "RATE")]
    pub(crate) bytes: Option<String>,
    /// Requests a second; 0 = no limit
    #[arg(long, value_name = "N")]
    pub(crate) requests: Option<u64>,
    /// Higher goes first, -100 to 100
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) priority: Option<i32>,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    pub(crate) job: Option<String>,
    /// How records are written
    #[arg(long, value_enum, default_value = "jsonl")]
    pub(crate) format: ReportFormat,
    /// Only objects that failed
    #[arg(long)]
    pub(crate) failed: bool,
    /// Only objects of which something was not carried as it was
    #[arg(long, conflicts_with = "failed")]
    pub(crate) not_carried: bool,
    /// Write to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Check an archived report (jsonl) against its own certificate
    #[arg(long, value_name = "FILE", conflicts_with_all = ["job", "out", "failed", "not_carried"])]
    pub(crate) check: Option<PathBuf>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    Jsonl,
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// List every problem of a file
    Check { file: PathBuf },
    /// Print a file of ossimport (or TOML) as TOML
    Convert { file: PathBuf },
}

/// A role as a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Master,
    Tracker,
    Worker,
}

impl Role {
    pub(crate) fn home_role(self) -> conf::home::Role {
        match self {
            Role::Master => conf::home::Role::Master,
            Role::Tracker => conf::home::Role::Tracker,
            Role::Worker => conf::home::Role::Worker,
        }
    }
}
