//! One run of one program, and the loop that tells how fast the machine is meanwhile.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// What one run cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) wall_s: f64,
    /// User and system, of the program and all of its children.
    pub(crate) cpu_s: f64,
    pub(crate) peak_mib: f64,
    /// The loop of fixed work, timed right before.
    pub(crate) loop_s: f64,
}

/// The runs of one tool in one cell.
#[derive(Debug, Default)]
pub(crate) struct Taken(Vec<Figures>);

impl Taken {
    pub(crate) fn add(&mut self, run: Figures) {
        self.0.push(run);
    }

    /// Of each figure by itself.
    pub(crate) fn median(&self) -> Figures {
        let middle = |of: fn(&Figures) -> f64| {
            let mut all: Vec<f64> = self.0.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        Figures {
            wall_s: middle(|run| run.wall_s),
            cpu_s: middle(|run| run.cpu_s),
            peak_mib: middle(|run| run.peak_mib),
            loop_s: middle(|run| run.loop_s),
        }
    }
}

/// Where rclone is, if it is installed.
pub(crate) fn rclone() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("rclone")).find(|program| program.is_file())
}

/// Runs it to its end, which must be a good one.
pub(crate) fn run(command: &mut Command) -> Figures {
    let loop_s = calibrate();
    let before = children_s();
    let begun = Instant::now();
    let log = tempfile::NamedTempFile::new().unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.reopen().unwrap());
    let mut child = command.spawn().unwrap();
    let mut peak_mib = 0.0f64;
    let status = loop {
        peak_mib = peak_mib.max(resident_mib(child.id()));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::park_timeout(Duration::from_millis(10)),
        }
    };
    let wall_s = begun.elapsed().as_secs_f64();
    assert!(status.success(), "{command:?}: {}", std::fs::read_to_string(log.path()).unwrap_or_default());
    Figures { wall_s, cpu_s: children_s() - before, peak_mib, loop_s }
}

/// Processor time of all children that have ended.
fn children_s() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// The most that it ever had resident (proc(5), `VmHWM`).
fn resident_mib(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Seconds for fixed work.
fn calibrate() -> f64 {
    let (block, begun) = (vec![7u8; 1 << 20], Instant::now());
    let mut hash = Md5::new();
    (0..128).for_each(|_| hash.update(&block));
    std::hint::black_box(hash.finalize());
    begun.elapsed().as_secs_f64()
}
