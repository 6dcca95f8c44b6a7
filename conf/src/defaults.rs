//! The shipped default files, for `deploy` and for a home that has none yet.

/// `conf/sys.toml`: every key of the system, with its default.
pub const SYS_TOML: &str = include_str!("../sys.toml");

/// `conf/local_job.toml`: the job of the one-click import; moves the bundled sample into `out/`.
pub const LOCAL_JOB_TOML: &str = include_str!("../local_job.toml");

/// `conf/job.toml`: a job between two clouds, to be filled in.
pub const JOB_TOML: &str = include_str!("../job.toml");

/// `conf/workers`: the hosts of a deployment.
pub const WORKERS: &str = include_str!("../workers");
