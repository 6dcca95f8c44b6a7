//! Azurite, the emulator of Azure Blob that its vendor keeps, as a child process on 127.0.0.1; and a service that is
//! busy at times before it. What Azurite gets wrong: a `\` in a name is listed as `/`, and a control character in one
//! breaks every later listing of its container.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::servers::{ACCESS_KEY, SECRET_KEY, free_port, tools};

/// The account's key: base64 of the secret that the tests look for everywhere.
pub fn account_key() -> String {
    STANDARD.encode(SECRET_KEY)
}

/// A running emulator; ends when it is dropped.
#[derive(Debug)]
pub struct Azurite {
    child: Child,
    port: u16,
    _root: TempDir,
}

impl Azurite {
    /// Starts it and waits until it answers.
    pub fn start() -> Azurite {
        let root = TempDir::new().unwrap_or_else(|error| panic!("no directory: {error}"));
        let port = free_port();
        let mut command = Command::new(tools().join("npm/node_modules/.bin/azurite-blob"));
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--location"]);
        command.arg(root.path()).args(["--silent", "--disableTelemetry", "--skipApiVersionCheck"]);
        command.env("AZURITE_ACCOUNTS", format!("{ACCESS_KEY}:{}", account_key()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start Azurite: {error}; run tests/run.sh --set-up"));
        let mut server = Azurite { child, port, _root: root };
        let end = Instant::now() + Duration::from_secs(90);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "Azurite does not answer");
            if let Ok(Some(status)) = server.child.try_wait() {
                panic!("Azurite ended at once: {status}");
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        server
    }

    /// `http://127.0.0.1:port`.
    pub fn host(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// With the account in its path, as clients want it.
    pub fn endpoint(&self) -> String {
        format!("{}/{ACCESS_KEY}", self.host())
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Stands before a server and says for it that it is busy, as often as it is told.
#[derive(Debug)]
pub struct Busy {
    port: u16,
    left: Arc<AtomicU32>,
    pass: Arc<AtomicU32>,
    refused: Arc<AtomicU32>,
}

impl Busy {
    /// Before `host` (`http://host:port`).
    pub fn before(host: &str) -> Busy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("no port: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let target = host.trim_start_matches("http://").to_owned();
        let [left, good, refused] = [(); 3].map(|()| Arc::new(AtomicU32::new(0)));
        let (more, first, counted) = (left.clone(), good.clone(), refused.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let one_less = |number: &AtomicU32| {
                    number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
                };
                let busy = !one_less(&first) && one_less(&more);
                counted.fetch_add(u32::from(busy), Ordering::Relaxed);
                let target = target.clone();
                std::thread::spawn(move || if busy { refuse(stream) } else { pass(stream, &target) });
            }
        });
        Busy { port, left, pass: good, refused }
    }

    /// The account behind it.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCESS_KEY}", self.port)
    }

    /// So many connections, after some that are well.
    pub fn refuse(&self, well: u32, connections: u32) {
        self.pass.store(well, Ordering::Relaxed);
        self.left.store(connections, Ordering::Relaxed);
    }

    /// So many were.
    pub fn refused(&self) -> u32 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// As the service says it.
fn refuse(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    let body = "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>ServerBusy</Code><Message>The server is currently unable to receive requests. Please retry your request.</Message></Error>";
    let answer = format!(
        "HTTP/1.1 503 The server is busy.\r\nx-ms-error-code: ServerBusy\r\nx-ms-request-id: busy-1\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    // What is still on its way is read, so that the answer is not lost in a reset.
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

fn pass(client: TcpStream, target: &str) {
    let Ok(server) = TcpStream::connect(target) else { return };
    let (Ok(mut from), Ok(mut to)) = (client.try_clone(), server.try_clone()) else { return };
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let (mut from, mut to) = (server, client);
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}
