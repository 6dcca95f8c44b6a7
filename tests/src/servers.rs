//! S3 servers that others wrote, as child processes on 127.0.0.1. What each of them gets wrong is said where
//! a test meets it.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The key pair of every test server.
pub const ACCESS_KEY: &str = "brigadetestkey";
/// See [`ACCESS_KEY`]. The tests look for it in every file that Brigade writes.
pub const SECRET_KEY: &str = "brigade/test+secret=0123456789";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// s3s-fs: plain files. Rewrites `a//b`, lists without ETags.
    S3sFs,
    /// SeaweedFS: lists in folder order, not in key order.
    Seaweed,
    /// moto: keeps keys as they are; checks neither signatures nor checksums.
    Moto,
}

/// A running server; ends when it is dropped.
#[derive(Debug)]
pub struct S3Server {
    child: Child,
    port: u16,
    root: TempDir,
}

/// Where `tests/run.sh` installed the servers.
pub fn tools() -> PathBuf {
    let default = || PathBuf::from(std::env::var("HOME").unwrap_or_default()).join(".cache/brigade-tests");
    std::env::var_os("BRIGADE_TEST_TOOLS").map_or_else(default, PathBuf::from)
}

/// A port for a server that cannot be told to take any. The kernel gives these to nobody (they are below those of
/// outgoing connections), no other test of this process gets the same, and the one 10,000 above is free as well:
/// SeaweedFS listens there, too.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_240;
    const PORTS: u32 = 9_900;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..PORTS)
        .map(|_| std::process::id().wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % PORTS + FIRST)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| free(*port) && free(port + 10_000))
        .unwrap_or_else(|| panic!("no free port"))
}

impl S3Server {
    /// Starts it and waits until it answers.
    pub fn start(kind: Kind) -> S3Server {
        let root = TempDir::new().unwrap_or_else(|error| panic!("no directory: {error}"));
        let port = free_port();
        let mut command = command(kind, port, root.path());
        let log = std::fs::File::create(log_of(&root)).map_or_else(|_| Stdio::null(), Stdio::from);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .env("HOME", root.path())
            .env("RUST_LOG", "error");
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {kind:?}: {error}; run tests/run.sh --set-up"));
        let mut server = S3Server { child, port, root };
        server.wait_until_ready(kind);
        server
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where it keeps its data: for s3s-fs a directory a bucket, with plain files.
    pub fn root(&self) -> &std::path::Path {
        self.root.path()
    }

    /// Its process, to stop and go on (SIGSTOP, SIGCONT).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self, kind: Kind) {
        let end = Instant::now() + Duration::from_secs(90);
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                let said = std::fs::read_to_string(log_of(&self.root)).unwrap_or_default();
                panic!("{kind:?} ended at once: {status}: {said}");
            }
            let open = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            // SeaweedFS opens its port before it can write: a first write through another client tells.
            if open && (kind != Kind::Seaweed || self.accepts_a_write()) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        panic!("{kind:?} did not become ready");
    }

    fn accepts_a_write(&self) -> bool {
        let side = crate::world::Side::s3(&self.endpoint(), "ready-probe", "");
        side.seed_quietly("small:1")
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(log_of(&self.root));
    }
}

/// What the server says. Beside its data: s3s-fs takes what is in there for buckets.
fn log_of(root: &TempDir) -> PathBuf {
    root.path().with_extension("log")
}

fn command(kind: Kind, port: u16, root: &std::path::Path) -> Command {
    let tools = tools();
    match kind {
        Kind::S3sFs => {
            let mut command = Command::new(tools.join("bin/s3s-fs"));
            command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
            command.args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]).arg(root);
            command
        }
        Kind::Moto => {
            let mut command = Command::new(tools.join("venv/bin/moto_server"));
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            command
        }
        Kind::Seaweed => seaweed(&tools, port, root),
    }
}

fn seaweed(tools: &std::path::Path, port: u16, root: &std::path::Path) -> Command {
    let identities = format!(
        r#"{{"identities":[{{"name":"t","credentials":[{{"accessKey":"{ACCESS_KEY}","secretKey":"{SECRET_KEY}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
    );
    let config = root.join("s3.json");
    std::fs::write(&config, identities).unwrap_or_else(|error| panic!("cannot write {config:?}: {error}"));
    let mut command = Command::new(tools.join("venv/bin/weed"));
    command.args(["-v=0", "-logtostderr=false"]).arg(format!("-logdir={}", root.display()));
    command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
    command.arg(format!("-dir={}", root.display()));
    command.arg(format!("-master.port={}", free_port())).arg(format!("-volume.port={}", free_port()));
    command.arg(format!("-filer.port={}", free_port())).arg(format!("-s3.port={port}"));
    command.arg(format!("-s3.config={}", config.display()));
    command.args([
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-volume.max=100",
        "-master.volumeSizeLimitMB=1024",
    ]);
    command.arg("-master.telemetry=false");
    command.arg(format!("-filer.localSocket={}", root.join("filer.sock").display()));
    command.arg(format!("-s3.localSocket={}", root.join("s3.sock").display()));
    command
}
