//! worker.
pub(crate) mod copy;
