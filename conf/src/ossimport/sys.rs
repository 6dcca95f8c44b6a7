//! `sys.properties`.

use super::{Old, fields};
use crate::problem::Problems;
use crate::raw::Raw;
use crate::units::ByteSize;

/// Reads it into the raw form.
pub(crate) fn sys(bytes: &[u8], problems: &mut Problems) -> Raw {
    let mut old = Old::new(bytes, fields::SYS, problems);
    user(&mut old);
    old.carry("privateKeyFile", "ssh", "private_key_file");
    old.carry("sshPort", "ssh", "port");
    old.carry("workerTaskThreadNum", "worker", "task_threads");
    throughput(&mut old);
    memory(&mut old);
    unused(&mut old);
    old.raw
}

/// The two switches of the file that belong to a job here.
pub(super) struct JobSwitches {
    pub(super) abort_on_unknown_error: bool,
    pub(super) record_md5: bool,
}

/// Reads only those; what is wrong with the file is said where it is read itself.
pub(super) fn job_switches(bytes: &[u8]) -> JobSwitches {
    let mut silent = Problems::new(std::path::Path::new(""));
    let mut old = Old::new(bytes, fields::SYS, &mut silent);
    JobSwitches {
        abort_on_unknown_error: old.switch("workerAbortWhenUncatchedException", false),
        record_md5: old.switch("workerRecordMd5", false),
    }
}

fn user(old: &mut Old<'_>) {
    let both = (old.value("workerUser"), old.value("workerUserName"));
    if let (Some(one), Some(other)) = &both
        && one != other
    {
        old.warn("workerUserName", "differs from `workerUser`, which counts: remove one of them");
    }
    let name = if both.0.is_some() { "workerUser" } else { "workerUserName" };
    old.carry(name, "ssh", "user");
    if old.value("workerPassword").is_some() && old.value("privateKeyFile").is_none() {
        old.warn(
            "workerPassword",
            "is not used: SSH goes by keys here; name one in privateKeyFile, or load it into the SSH agent",
        );
    }
}

fn throughput(old: &mut Old<'_>) {
    let name = "workerMaxThroughput(KB/s)";
    let Some(value) = old.value(name) else { return };
    match value.parse::<u64>().ok().and_then(|kib| kib.checked_mul(1024)) {
        Some(rate) => old.put("worker", "bytes_per_s", name, rate.to_string()),
        None => {
            old.error(name, &format!("is {value:?}: write a whole number of KB a second, or 0 for no limit"))
        }
    }
}

/// The heap held everything; here the limit is for object data alone.
fn memory(old: &mut Old<'_>) {
    let name = "javaHeapMaxSize";
    let Some(value) = old.value(name) else { return };
    match value.parse::<ByteSize>() {
        Ok(heap) => old.put("worker", "memory_limit", name, (heap.0 / 4).max(32 << 20).to_string()),
        Err(_) => old.error(name, &format!("is {value:?}: write a size such as 1024m")),
    }
}

fn unused(old: &mut Old<'_>) {
    if old.value("workingDir").is_some_and(|value| value != ".") {
        old.warn("workingDir", "is not used: say the home directory with --home or BRIGADE_HOME");
    }
    if old.value("dispatcherThreadNum").is_some_and(|value| value != "1") {
        old.warn("dispatcherThreadNum", "is not needed: workers ask for tasks as they have room");
    }
    for (name, key) in
        [("workerAbortWhenUncatchedException", "abort_on_unknown_error"), ("workerRecordMd5", "record_md5")]
    {
        if old.switch(name, false) {
            old.warn(name, &format!("counts for the job.cfg and local_job.cfg beside this file; in a TOML job write {key} = true below [transfer]"));
        }
    }
}
