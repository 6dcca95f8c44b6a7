//! Named places where a test lets the process die, as `kill -9` would: `BRIGADE_BREAKPOINT=name`. They exist
//! only with the feature `fake`.

/// Manifests are on disk, their tasks are not.
pub(crate) const MANIFEST_WRITTEN: &str = "between manifest and commit";
/// Tasks are durable, the caller does not know.
pub(crate) const COMMITTED: &str = "committed, not acknowledged";
/// The first half of an audit frame is in the file.
pub(crate) const AUDIT_HALF: &str = "audit batch half written";
/// The end of a task is durable, the worker does not know.
pub(crate) const SETTLED: &str = "settle recorded, not answered";

/// Is the process to die here?
#[cfg(any(test, feature = "fake"))]
pub(crate) fn armed(place: &str) -> bool {
    std::env::var("BRIGADE_BREAKPOINT").is_ok_and(|name| name == place)
}

/// Is the process to die here? Not in a program that is shipped.
#[cfg(not(any(test, feature = "fake")))]
pub(crate) fn armed(_place: &str) -> bool {
    false
}

/// Dies here, if that was asked for.
pub(crate) fn breakpoint(place: &str) {
    if armed(place) {
        std::process::abort();
    }
}
