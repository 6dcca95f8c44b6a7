//! Every path of an installation, named once.

use std::path::{Path, PathBuf};

/// The home directory of an installation (`--home`, `BRIGADE_HOME`, or the current directory).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

/// A process of an installation; names its log, address and pid files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Jobs, state, scan, audit record.
    Master,
    /// Dispatch.
    Tracker,
    /// Moves objects.
    Worker,
    /// All of them in one process: `brigade import`.
    Import,
}

impl Role {
    /// The name in file names and logs.
    pub fn name(self) -> &'static str {
        match self {
            Role::Master => "master",
            Role::Tracker => "tracker",
            Role::Worker => "worker",
            Role::Import => "import",
        }
    }
}

impl Home {
    /// The installation at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Home(root.into())
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// `conf/`: the user's configuration.
    pub fn conf(&self) -> PathBuf {
        self.0.join("conf")
    }

    /// `conf/sys.toml`.
    pub fn sys_conf(&self) -> PathBuf {
        self.conf().join("sys.toml")
    }

    /// `conf/local_job.toml`: the job of the one-click import.
    pub fn local_job(&self) -> PathBuf {
        self.conf().join("local_job.toml")
    }

    /// `conf/workers`: one host a line.
    pub fn workers(&self) -> PathBuf {
        self.conf().join("workers")
    }

    /// `logs/`.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// `logs/<role>.log`.
    pub fn log(&self, role: Role) -> PathBuf {
        self.logs().join(format!("{}.log", role.name()))
    }

    /// `run/`: what lives only as long as the processes.
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// `run/token`: the secret of every call between the roles, 0600.
    pub fn token(&self) -> PathBuf {
        self.run().join("token")
    }

    /// `run/<role>.address`: where the role listens.
    pub fn address(&self, role: Role) -> PathBuf {
        self.run().join(format!("{}.address", role.name()))
    }

    /// `run/<role>.pid`.
    pub fn pid(&self, role: Role) -> PathBuf {
        self.run().join(format!("{}.pid", role.name()))
    }

    /// `run/<role>.lock`: held (flock) as long as the role runs.
    pub fn lock(&self, role: Role) -> PathBuf {
        self.run().join(format!("{}.lock", role.name()))
    }

    /// `master/`.
    pub fn master(&self) -> PathBuf {
        self.0.join("master")
    }

    /// `master/state/`: sled.
    pub fn state(&self) -> PathBuf {
        self.master().join("state")
    }

    /// `master/secret.key`: seals the secrets that rest in the state, 0600.
    pub fn secret_key(&self) -> PathBuf {
        self.master().join("secret.key")
    }

    /// `master/jobs/<job>/`.
    pub fn job(&self, job: &str) -> PathBuf {
        self.master().join("jobs").join(job)
    }
}
