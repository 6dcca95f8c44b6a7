//! A control group with a memory limit, for a program that a test starts (cgroups(7), version 1 and 2).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// Both versions are mounted somewhere below.
const MOUNT: &str = "/sys/fs/cgroup";

/// A group; removed when it is dropped.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    second: bool,
}

/// What a program took.
#[derive(Debug, Clone, Copy)]
pub struct Peak {
    /// The most resident memory that the process had, in bytes.
    pub resident: u64,
    /// How often the kernel killed for want of memory in the group.
    pub killed: u64,
}

impl Group {
    /// With so many bytes; `None` where this user may not make one.
    pub fn with_memory(bytes: u64) -> Option<Group> {
        let name = format!("brigade-test-{}-{}", std::process::id(), bytes);
        let (first, second) = (Path::new(MOUNT).join("memory"), Path::new(MOUNT).join(&name));
        if fs::create_dir(first.join(&name)).is_ok() {
            let group = Group { path: first.join(&name), second: false };
            return group.limited("memory.limit_in_bytes", bytes);
        }
        let _ = fs::write(Path::new(MOUNT).join("cgroup.subtree_control"), "+memory");
        fs::create_dir(&second).ok()?;
        Group { path: second, second: true }.limited("memory.max", bytes)
    }

    fn limited(self, file: &str, bytes: u64) -> Option<Group> {
        fs::write(self.path.join(file), bytes.to_string()).is_ok().then_some(self)
    }

    /// The same command, in the group from its beginning.
    pub fn enter(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        let script = r#"echo $$ > "$0" && exec "$@""#;
        inside.arg("-c").arg(script).arg(self.path.join("cgroup.procs"));
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Waits for its end, and watches what it takes.
    pub fn watch(&self, child: &mut Child) -> Peak {
        let status = format!("/proc/{}/status", child.id());
        let mut resident = 0;
        while matches!(child.try_wait(), Ok(None)) {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            resident = resident.max(kib.unwrap_or(0) << 10);
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Peak { resident, killed: self.killed() }
    }

    fn killed(&self) -> u64 {
        let file = if self.second { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(self.path.join(file)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The last process may be on its way out.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}
