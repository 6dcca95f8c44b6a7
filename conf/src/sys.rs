//! The system's own parameters: the valid form, with the shipped defaults.

use std::net::SocketAddr;
use std::time::Duration;

/// `conf/sys.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct SysConf {
    /// The master's gRPC address. Port 0: any free one (it is written to `run/master.address`).
    pub master_address: SocketAddr,
    /// The tracker's gRPC address, likewise (`run/tracker.address`).
    pub tracker_address: SocketAddr,
    /// Object copies at the same time in one worker; the ceiling of the adaptive concurrency.
    pub task_threads: u32,
    /// Ceiling of one worker, bytes a second; 0 = none.
    pub worker_bytes_per_s: u64,
    /// Ceiling of one worker, requests a second; 0 = none.
    pub worker_requests_per_s: u64,
    /// Ceiling of the whole cluster, bytes a second; 0 = none.
    pub cluster_bytes_per_s: u64,
    /// Ceiling of the whole cluster, requests a second; 0 = none.
    pub cluster_requests_per_s: u64,
    /// Bytes of object data that one worker holds at most; less where its control group allows less.
    pub memory_limit: u64,
    /// A lease ends this long after its last heartbeat.
    pub lease: Duration,
    /// Log filter in the form of tracing-subscriber's `EnvFilter`, or one of error, warn, info, debug, trace.
    pub log_level: String,
    /// SSH user for `deploy`; empty: the current one.
    pub worker_user: String,
    /// SSH private key for `deploy`; empty: the agent's.
    pub private_key_file: String,
    /// SSH port for `deploy`.
    pub ssh_port: u16,
}

impl Default for SysConf {
    fn default() -> Self {
        SysConf {
            master_address: SocketAddr::from(([127, 0, 0, 1], 7701)),
            tracker_address: SocketAddr::from(([127, 0, 0, 1], 7702)),
            task_threads: 256,
            worker_bytes_per_s: 0,
            worker_requests_per_s: 0,
            cluster_bytes_per_s: 0,
            cluster_requests_per_s: 0,
            memory_limit: 64 << 20,
            lease: Duration::from_secs(30),
            log_level: "info".into(),
            worker_user: String::new(),
            private_key_file: String::new(),
            ssh_port: 22,
        }
    }
}
