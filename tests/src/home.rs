//! An installation in a temporary home, driven through the `brigade` binary.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::discreet;
use crate::servers::SECRET_KEY;
use crate::world::Side;

/// A home directory; everything in it goes when it is dropped, running services too.
#[derive(Debug)]
pub struct Home {
    dir: TempDir,
    /// What the tests wrote themselves: secrets may be in it.
    written: Mutex<BTreeSet<PathBuf>>,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// The binary that `cargo build` made beside this test.
pub fn brigade() -> PathBuf {
    let here = std::env::current_exe().unwrap_or_else(|error| panic!("no path of this test: {error}"));
    let folder = here.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default();
    let binary = folder.join("brigade");
    assert!(binary.exists(), "{binary:?} is not built: run `cargo build --workspace`");
    binary
}

impl Home {
    /// An empty one with free ports in `conf/sys.toml`.
    pub fn new() -> Home {
        let dir = TempDir::new().unwrap_or_else(|error| panic!("no directory: {error}"));
        let home = Home { dir, written: Mutex::default() };
        home.write("conf/sys.toml", "master_address = \"127.0.0.1:0\"\ntracker_address = \"127.0.0.1:0\"\n");
        home
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file below the home.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        }
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
    }

    /// Writes `conf/local_job.toml` for a job between two ends; `more` goes below the name.
    pub fn job(&self, source: &Side, destination: &Side, more: &str) {
        let text = format!(
            "name = \"local_test\"\n{more}\n{}{}",
            source.section("source"),
            destination.section("destination")
        );
        self.write("conf/local_job.toml", &text);
    }

    /// The command, ready to run in this home.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(brigade());
        command.arg("--home").arg(self.path()).args(args).stdin(Stdio::null());
        command.env("BRIGADE_TEST_AZURE_KEY", crate::azurite::account_key());
        command.env("BRIGADE_TEST_SECRET", SECRET_KEY).env_remove("BRIGADE_HOME");
        command
    }

    /// Runs it to its end. What it says tells no secret; only `config convert` writes a job file anew.
    pub fn run(&self, args: &[&str]) -> Said {
        let output =
            self.command(args).output().unwrap_or_else(|error| panic!("cannot run brigade: {error}"));
        let said = Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        if !args.contains(&"convert") {
            discreet::must_be_discreet(self.path(), &format!("brigade {args:?}"), &said.out);
        }
        discreet::must_be_discreet(self.path(), &format!("brigade {args:?}"), &said.err);
        said
    }

    /// Runs it and insists on the exit code.
    #[track_caller]
    pub fn expect(&self, code: i32, args: &[&str]) -> Said {
        let said = self.run(args);
        assert_eq!(said.code, code, "brigade {args:?} said\n{}\n{}", said.out, said.err);
        said
    }

    /// One-click import without questions.
    #[track_caller]
    pub fn import(&self, code: i32, more: &[&str]) -> Said {
        let args: Vec<&str> = ["--no-input", "import"].iter().chain(more).copied().collect();
        self.expect(code, &args)
    }

    /// Its JSON document.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let all: Vec<&str> = ["--output", "json"].iter().chain(args).copied().collect();
        let said = self.run(&all);
        serde_json::from_str(&said.out)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {}\n{}", said.out, said.err))
    }

    /// Starts it in the background.
    pub fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap_or_else(|error| panic!("cannot run brigade: {error}"))
    }

    /// The report of a job, a JSON value a record (the head first).
    #[track_caller]
    pub fn report(&self, job: &str) -> Vec<Value> {
        let out = self.path().join(format!("report-{job}.jsonl"));
        let _ = std::fs::remove_file(&out);
        self.expect(0, &["report", job, "--format", "jsonl", "--out", &out.display().to_string()]);
        let file = std::fs::File::open(&out).unwrap_or_else(|error| panic!("{out:?}: {error}"));
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        lines
            .map(|line| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    /// Looks again until `fits`; panics after two minutes. For states of other processes, which send no event.
    #[track_caller]
    pub fn wait_for(&self, what: &str, mut fits: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(120);
        while !fits() {
            assert!(Instant::now() < end, "never: {what}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Neither its files nor its processes tell a secret. Every home is looked at when it is dropped.
    pub fn must_not_hold_the_secret(&self) {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        discreet::processes_must_be_discreet(self.path());
        discreet::files_must_be_discreet(self.path(), &written);
    }
}

impl Default for Home {
    fn default() -> Self {
        Home::new()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let calm = !std::thread::panicking();
        if calm {
            discreet::processes_must_be_discreet(self.path());
        }
        if self.path().join("run/master.pid").exists() {
            let _ = self.run(&["stop"]);
        }
        if calm {
            self.must_not_hold_the_secret();
        }
    }
}
