//! A line between a client and a server: every byte arrives later, and so many a second. One relay, all connections
//! share the line; each direction has its own. Bytes under way wait in it, as in the buffers of routers, up to a
//! bound: then who sends has to wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

/// Bytes under way in one direction at most: some milliseconds more than the line holds.
const UNDER_WAY: usize = 4 << 20;
/// Read at once.
const CHUNK: usize = 64 << 10;

/// What a line is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    /// There and back.
    pub(crate) round_trip: Duration,
    /// Bytes a second in each direction; `None`: as the machine can.
    pub(crate) bytes_per_s: Option<u64>,
}

/// A line in front of one server; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    endpoint: String,
    runtime: Option<Runtime>,
}

/// One direction of the line.
#[derive(Debug)]
struct Way {
    line: Line,
    begun: Instant,
    /// Nanoseconds after `begun` until which it is taken.
    taken: AtomicU64,
    room: Arc<Semaphore>,
}

type Chunk = (Instant, Vec<u8>, OwnedSemaphorePermit);

impl Relay {
    /// In front of `http://host:port`.
    pub(crate) fn before(endpoint: &str, line: Line) -> Relay {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let target = endpoint.trim_start_matches("http://").to_owned();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(accept(listener, target, line));
        Relay { endpoint, runtime: Some(runtime) }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, target: String, line: Line) {
    let way = || {
        let room = Arc::new(Semaphore::new(UNDER_WAY));
        Arc::new(Way { line, begun: Instant::now(), taken: AtomicU64::new(0), room })
    };
    let (there, back) = (way(), way());
    while let Ok((client, _)) = listener.accept().await {
        let (target, there, back) = (target.clone(), there.clone(), back.clone());
        tokio::spawn(async move {
            // A connection is made in one round trip.
            sleep(line.round_trip).await;
            let Ok(server) = TcpStream::connect(target).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(carry(from_client, to_server, there));
            tokio::spawn(carry(from_server, to_client, back));
        });
    }
}

/// Until one end is closed.
async fn carry(mut from: OwnedReadHalf, to: OwnedWriteHalf, way: Arc<Way>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(deliver(to, receiver));
    let mut buffer = vec![0; CHUNK];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let Ok(room) = way.room.clone().acquire_many_owned(read as u32).await else { return };
        if sender.send((way.arrival(read as u64), buffer[..read].to_vec(), room)).is_err() {
            return;
        }
    }
}

async fn deliver(mut to: OwnedWriteHalf, mut chunks: mpsc::UnboundedReceiver<Chunk>) {
    while let Some((at, bytes, room)) = chunks.recv().await {
        sleep_until(at).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
        drop(room);
    }
}

impl Way {
    /// When bytes that are sent now are there.
    fn arrival(&self, bytes: u64) -> Instant {
        let now = self.begun.elapsed().as_nanos() as u64;
        let length = self.line.bytes_per_s.map_or(0, |rate| bytes * 1_000_000_000 / rate);
        let after = |taken: u64| taken.max(now) + length;
        let before =
            self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| Some(after(taken)));
        let sent = after(before.unwrap_or_default());
        self.begun + Duration::from_nanos(sent) + self.line.round_trip / 2
    }
}
