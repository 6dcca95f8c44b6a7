//! worker.
pub(crate) mod budget;
pub(crate) mod concurrency;
pub(crate) mod copy;
pub(crate) mod skip;
pub(crate) mod verify;
