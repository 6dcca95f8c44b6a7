//! The master: owns jobs and all durable state, scans sources, splits them into tasks.

#[allow(dead_code, reason = "its callers are being built")]
pub(crate) mod scan;
