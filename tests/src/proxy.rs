//! A TCP proxy that does what networks do: refuses, resets, stalls, cuts, slows and damages, by plan. It
//! stands before servers that others wrote, and knows nothing of HTTP: the `Host` that clients sign is the
//! proxy's own address, and the servers behind it take it as it comes.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// What happens to a connection. Bytes are counted from its begin, over all of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is reset at once.
    Reset,
    /// It is reset when the client has sent so many bytes: in a request's head or body.
    ResetUp(u64),
    /// It is reset when the server has sent so many bytes: in an answer's head or body.
    ResetDown(u64),
    /// What the client sends after so many bytes is not passed on, and not read either.
    StallUp(u64),
    /// What the server sends after so many bytes does not arrive.
    StallDown(u64),
    /// It is closed in good order after so many bytes of answers.
    CutDown(u64),
    /// One bit of this byte of the answers differs.
    FlipDown(u64),
    /// So many bytes a second, each way.
    Rate(u64),
    /// Everything takes so much longer, each way.
    Latency(Duration),
}

/// Which connections meet the trouble.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// So many new connections pass first.
    pub skip: u32,
    /// So many meet it then.
    pub times: u32,
    /// What they meet.
    pub trouble: Trouble,
}

/// A running proxy; ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

#[derive(Debug)]
struct Shared {
    target: String,
    state: Mutex<State>,
    changed: Condvar,
    /// Counts each going down: living connections end with it.
    downs: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    plans: Vec<Plan>,
    connections: u64,
    troubled: u64,
    up: u64,
    down: u64,
    /// What passed, and when.
    up_log: Vec<(Instant, u64)>,
    down_log: Vec<(Instant, u64)>,
    /// The port, while nobody listens.
    held: Option<TcpSocket>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// How one direction ended.
enum Ended {
    Closed,
    Reset,
}

// === impl Proxy ===

impl Proxy {
    /// On a free port of 127.0.0.1, before `endpoint` (`http://host:port`).
    pub fn before(endpoint: &str) -> Proxy {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap_or_else(|error| panic!("no runtime: {error}"));
        let target = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let shared = Arc::new(Shared {
            target,
            state: Mutex::default(),
            changed: Condvar::new(),
            downs: watch::Sender::new(0),
        });
        let listener = runtime
            .block_on(async {
                let socket = TcpSocket::new_v4()?;
                // What waits in here for the client has not passed yet.
                socket.set_send_buffer_size(64 << 10)?;
                socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
                socket.listen(1024)
            })
            .unwrap_or_else(|error: std::io::Error| panic!("no port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        runtime.spawn(accept(listener, shared.clone()));
        Proxy { address, shared, runtime: Some(runtime) }
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Plans trouble for connections that come.
    pub fn plan(&self, plan: Plan) {
        self.shared.state().plans.push(plan);
    }

    /// Trouble for every connection that comes, until [`Proxy::heal`].
    pub fn always(&self, trouble: Trouble) {
        self.plan(Plan { skip: 0, times: u32::MAX, trouble });
    }

    /// Nothing is planned any more, and living connections end.
    pub fn heal(&self) {
        self.shared.state().plans.clear();
        self.shared.downs.send_modify(|downs| *downs += 2);
    }

    /// Nobody listens, and living connections are reset. [`Proxy::up`] listens again on the same port.
    pub fn down(&self) {
        let Some(runtime) = &self.runtime else { return };
        self.shared.downs.send_modify(|downs| *downs += 1);
        let _entered = runtime.enter();
        // The listener is closed by its own task. The port stays ours, bound and not listened on: otherwise some
        // other server of these tests gets it, and answers in our place.
        let held = loop {
            let socket = TcpSocket::new_v4().unwrap_or_else(|error| panic!("no socket: {error}"));
            let _ = socket.set_reuseaddr(true);
            if socket.bind(self.address).is_ok() {
                break socket;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        };
        self.shared.state().held = Some(held);
    }

    /// Listens again.
    pub fn up(&self) {
        let Some(runtime) = &self.runtime else { return };
        let Some(held) = self.shared.state().held.take() else { return };
        let _entered = runtime.enter();
        let listener = held.listen(1024).unwrap_or_else(|error| panic!("cannot listen: {error}"));
        self.shared.downs.send_modify(|downs| *downs += 1);
        runtime.spawn(accept(listener, self.shared.clone()));
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.state().connections
    }

    /// Connections that met planned trouble so far.
    pub fn troubled(&self) -> u64 {
        self.shared.state().troubled
    }

    /// What clients sent so far, heads and bodies: when how many bytes had passed.
    pub fn sent(&self) -> Vec<(Instant, u64)> {
        self.shared.state().up_log.clone()
    }

    /// What the server sent so far.
    pub fn answered(&self) -> Vec<(Instant, u64)> {
        self.shared.state().down_log.clone()
    }

    /// Waits until so many bytes came from clients; panics after a minute.
    #[track_caller]
    pub fn wait_for_up(&self, bytes: u64) {
        self.wait_for("bytes from the client", |state| state.up >= bytes);
    }

    /// Waits until so many bytes came from the server; panics after a minute.
    #[track_caller]
    pub fn wait_for_down(&self, bytes: u64) {
        self.wait_for("bytes from the server", |state| state.down >= bytes);
    }

    #[track_caller]
    fn wait_for(&self, what: &str, fits: impl Fn(&State) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        let mut state = self.shared.state();
        while !fits(&state) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "never: {what}");
            state =
                self.shared.changed.wait_timeout(state, left).unwrap_or_else(|poison| poison.into_inner()).0;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// The trouble of the next connection.
    fn next(&self) -> Option<Trouble> {
        let mut state = self.state();
        state.connections += 1;
        for plan in state.plans.iter_mut().filter(|plan| plan.times > 0) {
            if plan.skip > 0 {
                plan.skip -= 1;
                continue;
            }
            plan.times -= 1;
            let trouble = plan.trouble;
            state.troubled += 1;
            return Some(trouble);
        }
        None
    }

    fn passed(&self, way: Way, bytes: usize) {
        let mut state = self.state();
        match way {
            Way::Up => {
                state.up += bytes as u64;
                state.up_log.push((Instant::now(), bytes as u64));
            }
            Way::Down => {
                state.down += bytes as u64;
                state.down_log.push((Instant::now(), bytes as u64));
            }
        }
        self.changed.notify_all();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut downs = shared.downs.subscribe();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                tokio::spawn(connection(client, shared.clone(), downs.clone()));
            }
            changed = downs.changed() => {
                // Odd: down. Even: healed, or up by another listener.
                if changed.is_err() || *downs.borrow_and_update() % 2 == 1 {
                    return;
                }
            }
        }
    }
}

async fn connection(client: TcpStream, shared: Arc<Shared>, mut downs: watch::Receiver<u64>) {
    let _ = client.set_nodelay(true);
    let trouble = shared.next();
    if trouble == Some(Trouble::Reset) {
        let _ = client.set_zero_linger();
        return;
    }
    let Ok(server) = TcpStream::connect(&shared.target).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = server.set_nodelay(true);
    let (mut client, mut server) = (client, server);
    let ended = {
        let (mut client_in, mut client_out) = client.split();
        let (mut server_in, mut server_out) = server.split();
        // Both directions in one task: what ends one ends the other.
        tokio::select! {
            ended = copy(&mut client_in, &mut server_out, Way::Up, trouble, &shared) => ended,
            ended = copy(&mut server_in, &mut client_out, Way::Down, trouble, &shared) => ended,
            _ = downs.changed() => Ended::Reset,
        }
    };
    if matches!(ended, Ended::Reset) {
        let _ = client.set_zero_linger();
    }
}

/// Passes bytes on until an end of the connection, or of the plan.
async fn copy(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    way: Way,
    trouble: Option<Trouble>,
    shared: &Shared,
) -> Ended {
    let mut buffer = vec![0; 64 << 10];
    let mut passed = 0;
    loop {
        // Where something happens to this direction after so many bytes.
        let mark = match (trouble, way) {
            (Some(Trouble::ResetUp(at) | Trouble::StallUp(at)), Way::Up) => Some(at),
            (Some(Trouble::ResetDown(at) | Trouble::StallDown(at) | Trouble::CutDown(at)), Way::Down) => {
                Some(at)
            }
            _ => None,
        };
        let left = mark.map_or(u64::MAX, |at| at.saturating_sub(passed));
        if left == 0 {
            match trouble {
                Some(Trouble::ResetUp(_) | Trouble::ResetDown(_)) => return Ended::Reset,
                Some(Trouble::CutDown(_)) => return Ended::Closed,
                _ => std::future::pending::<()>().await,
            }
        }
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let most =
            if let Some(Trouble::Rate(rate)) = trouble { most.min(rate.max(1) as usize) } else { most };
        let Ok(n) = from.read(&mut buffer[..most]).await else { return Ended::Reset };
        if n == 0 {
            return Ended::Closed;
        }
        match trouble {
            Some(Trouble::FlipDown(at)) if way == Way::Down && (passed..passed + n as u64).contains(&at) => {
                buffer[(at - passed) as usize] ^= 1;
            }
            Some(Trouble::Rate(rate)) => {
                tokio::time::sleep(Duration::from_secs_f64(n as f64 / rate.max(1) as f64)).await;
            }
            Some(Trouble::Latency(long)) => tokio::time::sleep(long).await,
            _ => {}
        }
        passed += n as u64;
        if to.write_all(&buffer[..n]).await.is_err() {
            return Ended::Reset;
        }
        shared.passed(way, n);
    }
}
