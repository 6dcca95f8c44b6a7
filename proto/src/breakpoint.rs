//! Named places where a test lets the process die, as `kill -9` would: `BRIGADE_BREAKPOINT=name`, or `name#3`
//! for the third time that it comes there. With `BRIGADE_MEANWHILE=command` somebody else does that at the place
//! instead, and the process goes on. And time that a test does not wait for: rounds up to `BRIGADE_ROUNDS=2` are
//! due at once; what waits for a restore is looked at after `BRIGADE_LOOK_MS`. All exist only with the feature `fake`.

/// Manifests are on disk, their tasks are not.
pub const MANIFEST_WRITTEN: &str = "between manifest and commit";
/// Tasks are durable, the scan does not know.
pub const COMMITTED: &str = "committed, not acknowledged";
/// The store has the batch in memory, nothing was asked of the disk.
pub const COMMIT_APPLIED: &str = "commit applied, not flushed";
/// The store has written the batch, the disk was not asked to keep it.
pub const COMMIT_FLUSHED: &str = "commit flushed, not synced";
/// A configuration is sealed, its job is not stored.
pub const SEALED: &str = "configuration sealed, job not stored";
/// A hand-out is durable, the tracker does not know.
pub const HANDED_OUT: &str = "handed out, not answered";
/// The first half of an audit frame is in the file.
pub const AUDIT_HALF: &str = "audit batch half written";
/// Records are durable, the worker does not know.
pub const RECORDED: &str = "outcomes recorded, not answered";
/// The end of a task is durable, the worker does not know.
pub const SETTLED: &str = "settle recorded, not answered";
/// A retry is durable, the caller does not know.
pub const RETRIED: &str = "retry stored, not answered";
/// A job is cancelled, nothing of it is removed.
pub const CLEAN_BEGUN: &str = "clean: cancelled";
/// Its uploads are aborted, its records stand.
pub const CLEAN_ABORTED: &str = "clean: uploads aborted";
/// Some records of it are deleted.
pub const CLEAN_HALF: &str = "clean: some records deleted";
/// Its files are removed, its own record stands.
pub const CLEAN_FILES: &str = "clean: files removed";
/// All outcomes are acknowledged, the task is not settled.
pub const NOT_SETTLED: &str = "outcomes recorded, lease not settled";
/// An upload is to be begun, and that is durable; it is not begun.
pub const INTENDED: &str = "upload intended, not begun";
/// An upload is begun, the master does not know its id.
pub const BEGUN: &str = "upload begun, its id not saved";
/// An upload's id is saved; those that an earlier holder may have begun are not looked for yet.
pub const ID_SAVED: &str = "upload's id saved, others not looked for";
/// A part is at the destination, the master does not know it.
pub const PART_UPLOADED: &str = "part uploaded, not reported";
/// An upload is complete, the object is not recorded.
pub const COMPLETED: &str = "upload complete, not recorded";
/// A piece of a file is read, and it is not the last one.
pub const PIECE_READ: &str = "a piece is read";
/// A file is written and on disk, it has no name.
pub const NOT_NAMED: &str = "file written, not named";
/// An archived object is asked for, the master does not know.
pub const ASKED_FOR: &str = "restore asked for, not settled";
/// A task whose objects wait for a restore is durable, the worker does not know.
pub const PARKED: &str = "waiting task stored, not answered";
/// A file is written under its temporary name.
pub const NOT_RENAMED: &str = "file written, not renamed";

/// Is the process to die here now? Counts how often it was asked.
#[cfg(feature = "fake")]
pub fn armed(place: &str) -> bool {
    use std::sync::atomic::{AtomicU32, Ordering};
    static TIMES: AtomicU32 = AtomicU32::new(0);
    let wanted = std::env::var("BRIGADE_BREAKPOINT").unwrap_or_default();
    let (name, nth) = wanted.split_once('#').unwrap_or((&wanted, "1"));
    name == place && TIMES.fetch_add(1, Ordering::Relaxed) + 1 == nth.parse().unwrap_or(1)
}

/// Is the process to die here now? Not in a program that is shipped.
#[cfg(not(feature = "fake"))]
pub fn armed(_place: &str) -> bool {
    false
}

/// Is this round of an incremental job due at once?
#[cfg(feature = "fake")]
pub fn round_at_once(round: u32) -> bool {
    let upto = std::env::var("BRIGADE_ROUNDS").ok().and_then(|upto| upto.parse::<u32>().ok());
    upto.is_some_and(|upto| round <= upto)
}

/// Is this round of an incremental job due at once? Not in a program that is shipped.
#[cfg(not(feature = "fake"))]
pub fn round_at_once(_round: u32) -> bool {
    false
}

/// Milliseconds after which what waits for a restore is looked at again, where a test says so (`BRIGADE_LOOK_MS`).
#[cfg(feature = "fake")]
pub fn look_after_ms() -> Option<i64> {
    std::env::var("BRIGADE_LOOK_MS").ok().and_then(|ms| ms.parse().ok())
}

/// Nobody says so in a program that is shipped.
#[cfg(not(feature = "fake"))]
pub fn look_after_ms() -> Option<i64> {
    None
}

/// Dies here, if that was asked for.
pub fn breakpoint(place: &str) {
    if armed(place) && !meanwhile() {
        die();
    }
}

/// Somebody else does something now.
#[cfg(feature = "fake")]
fn meanwhile() -> bool {
    let Some(command) = std::env::var_os("BRIGADE_MEANWHILE") else { return false };
    let done = std::process::Command::new("sh").arg("-ec").arg(command).status();
    done.is_ok_and(|status| status.success())
}

/// Nobody else does anything in a program that is shipped.
#[cfg(not(feature = "fake"))]
fn meanwhile() -> bool {
    false
}

/// Ends the process at once: nothing is flushed, nothing is dropped.
pub fn die() -> ! {
    std::process::abort()
}
