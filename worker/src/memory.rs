//! How much object data this worker may hold: what was configured, or less where the machine's control group
//! (a container, a service with a memory limit) would kill the process for it.
//!
//! Control groups: cgroups(7); `memory.max` of version 2, `memory.limit_in_bytes` of version 1.

use std::fs;
use std::path::Path;

/// What a process needs beside object data: code, connections, one manifest a lease.
const REST: u64 = 64 << 20;
/// Never less than one part of the smallest size that services take, and a little.
const LEAST: u64 = 8 << 20;

/// Bytes of object data: `configured`, or half of what the control group leaves beside the rest. Half,
/// because buffers of connections and what the allocator keeps come on top.
pub(crate) fn object_data(configured: u64) -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(limit) = limit(&groups, Path::new("/sys/fs/cgroup")) else { return configured };
    let fits = (limit.saturating_sub(REST) / 2).max(LEAST);
    if fits < configured {
        tracing::warn!(
            configured,
            used = fits,
            limit,
            "memory_limit is lowered to what the control group allows"
        );
    }
    configured.min(fits)
}

/// Bytes that are free for more, by the kernel's estimate (proc(5), `MemAvailable`) and the control groups; nothing
/// where nobody says it.
pub(crate) fn room() -> Option<u64> {
    let free = available(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = limit(&groups, Path::new("/sys/fs/cgroup")).map(|limit| limit.saturating_sub(REST));
    free.into_iter().chain(limit).min()
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// The lowest memory limit of the groups that this process is in, and of those above them.
fn limit(groups: &str, mount: &Path) -> Option<u64> {
    groups.lines().filter_map(|line| of_group(line, mount)).min()
}

fn of_group(line: &str, mount: &Path) -> Option<u64> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let (root, file) = match controllers {
        "" => (mount.to_path_buf(), "memory.max"),
        _ if controllers.split(',').any(|one| one == "memory") => {
            (mount.join("memory"), "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let folder = root.join(path.trim_start_matches('/'));
    let above = folder.ancestors().take_while(|folder| folder.starts_with(&root));
    above.filter_map(|folder| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_read_as_the_kernel_writes_it() {
        assert_eq!(available("MemTotal:  8 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(available("MemTotal:  8 kB\n"), None);
        assert!(room().is_some_and(|room| room > 1 << 20));
    }

    #[test]
    fn the_lowest_limit_on_the_way_up_counts_in_both_versions() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/pod/memory.limit_in_bytes", "268435456\n");
        write("memory/pod/box/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit("5:cpu:/\n4:memory:/pod/box\n", dir.path()), Some(256 << 20));
        write("a/memory.max", "134217728\n");
        write("a/b/memory.max", "max\n");
        assert_eq!(limit("0::/a/b\n", dir.path()), Some(128 << 20));
        assert_eq!(limit("0::/elsewhere\n", dir.path()), None);
        assert_eq!(limit("nonsense", dir.path()), None);
    }
}
