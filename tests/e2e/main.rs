//! The whole system through its binaries.
