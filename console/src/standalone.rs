//! All roles in one process, over gRPC on 127.0.0.1: for the one-click import.

use std::net::SocketAddr;
use std::time::Duration;

use conf::home::Role;
use conf::{Home, SysConf};
use proto::channel::Token;
use storage::error::chain;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::lock::{self, Lock};
use crate::roles;
use crate::service::Service;

/// A master, and with it a tracker and a worker, in this process.
#[derive(Debug)]
pub(crate) struct Standalone {
    home: Home,
    address: SocketAddr,
    token: Token,
    service: Service,
    master: Running,
    others: Vec<Running>,
    /// In `run/` for others to find: not of a dormant master.
    announced: bool,
    _lock: Lock,
    _control: Option<Lock>,
}

#[derive(Debug)]
struct Running {
    name: &'static str,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), String>>,
}

impl Running {
    /// Asks it to end and waits for it; says why it could not go on.
    async fn stop(self) -> Result<(), String> {
        self.stop.cancel();
        let ended = self.ended.await.unwrap_or_else(|error| Err(format!("a bug: {error}")));
        ended.inspect_err(|error| tracing::error!(role = self.name, "ended with an error: {error}"))
    }

    /// Ends it at once, as a kill would.
    async fn abort(self) {
        self.ended.abort();
        let _ = self.ended.await;
    }
}

impl Standalone {
    /// Only the master, which moves nothing by itself.
    pub(crate) async fn master_only(home: &Home, conf: &SysConf) -> Result<Standalone, Failure> {
        let control = lock::control(home).await?;
        let lock = lock::take_soon(home, Role::Master).await?.ok_or_else(|| held(home))?;
        let token = roles::make_token(home)?;
        let mut all = Standalone::begin(home, conf, token, lock, None).await?;
        all.announced = true;
        roles::write_address(home, Role::Master, all.address)?;
        roles::write_pid(home, Role::Import)?;
        drop(control);
        Ok(all)
    }

    /// A master that answers this command alone, from the state: it scans nothing, and nobody else finds it.
    pub(crate) async fn dormant(home: &Home, control: Lock, lock: Lock) -> Result<Standalone, Failure> {
        Standalone::begin(home, &SysConf::default(), Token::generate(), lock, Some(control)).await
    }

    async fn begin(
        home: &Home,
        conf: &SysConf,
        token: Token,
        lock: Lock,
        control: Option<Lock>,
    ) -> Result<Standalone, Failure> {
        let dormant = control.is_some();
        let (listener, address) = listen().await?;
        let master = spawn("master", {
            let options = master::Options { home: home.clone(), listener, token: token.clone(), dormant };
            let conf = conf.clone();
            move |stop| async move { master::run(&conf, options, stop).await.map_err(|error| chain(&error)) }
        });
        let service = Service::at(address, &token)?;
        let home = home.clone();
        let (others, announced) = (Vec::new(), false);
        let mut all = Standalone {
            home,
            address,
            token,
            service,
            master,
            others,
            announced,
            _lock: lock,
            _control: control,
        };
        all.wait_until_ready().await?;
        Ok(all)
    }

    /// A tracker and a worker join the master: everything that an import needs.
    pub(crate) async fn join(&mut self, conf: &SysConf) -> Result<(), Failure> {
        let (listener, tracker) = listen().await?;
        roles::write_address(&self.home, Role::Tracker, tracker)?;
        self.others = vec![
            worker(&self.home, conf, tracker, &self.token),
            spawn("tracker", {
                let (conf, token) = (conf.clone(), self.token.clone());
                let options = tracker::Options { listener, master: self.address, token, alone: true };
                move |stop| async move { tracker::run(&conf, options, stop).await.map_err(|error| chain(&error)) }
            }),
        ];
        Ok(())
    }

    /// The master answers, or says why it cannot.
    async fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let mut pause = Duration::from_millis(2);
        loop {
            if self.service.info().await.is_some() {
                return Ok(());
            }
            if let Ok(ended) = timeout(pause, &mut self.master.ended).await {
                let why = ended
                    .map_err(|error| error.to_string())
                    .and_then(|ended| ended.map(|()| "it ended".to_owned()));
                return Err(Failure::new(why.unwrap_or_else(|why| why)));
            }
            pause = (pause * 2).min(Duration::from_millis(100));
            sleep(Duration::ZERO).await;
        }
    }

    /// The master's service.
    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// Workers settle, then the tracker passes that on, then the master ends. Without a master nothing can be
    /// settled. Says why the master could not go on.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        for role in self.others {
            if self.master.ended.is_finished() {
                role.abort().await;
            } else {
                // What it says stands in the log.
                let _ = role.stop().await;
            }
        }
        let ended = self.master.stop().await;
        if self.announced {
            let _ = std::fs::remove_file(self.home.token());
            // That the import runs goes last: until then nobody else writes these files.
            for role in [Role::Master, Role::Tracker, Role::Import] {
                roles::remove(&self.home, role);
            }
        }
        ended.map_err(Failure::new)
    }
}

/// Says by name who else is the master of this home.
pub(crate) fn held(home: &Home) -> Failure {
    let what = match (roles::running(home, Role::Import), roles::running(home, Role::Master)) {
        (Some(pid), _) => format!("an import (process {pid}) already runs"),
        (None, Some(pid)) => {
            format!("a service (process {pid}) runs already, which takes jobs with `brigade submit`,")
        }
        (None, None) => return lock::unseen(home),
    };
    let home = home.root().display();
    Failure::new(format!("{what} on {home}: look at it with `brigade stat`, end it with `brigade stop`"))
}

fn worker(home: &Home, conf: &SysConf, tracker: SocketAddr, token: &Token) -> Running {
    let options = worker::Options { tracker, token: token.clone(), name: host_name(), home: home.clone() };
    let conf = conf.clone();
    spawn("worker", move |stop| async move {
        worker::run(&conf, options, stop).await.map_err(|error| chain(&error))
    })
}

/// This host's name, for records and `stat`.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '-' })
        .collect();
    if name.is_empty() { "localhost".into() } else { name }
}

async fn listen() -> Result<(TcpListener, SocketAddr), Failure> {
    let bind = async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        Ok::<_, std::io::Error>((listener, address))
    };
    bind.await.map_err(|error| Failure::new(format!("cannot listen on 127.0.0.1: {error}")))
}

fn spawn<F, R>(name: &'static str, run: F) -> Running
where
    F: FnOnce(CancellationToken) -> R,
    R: Future<Output = Result<(), String>> + Send + 'static,
{
    let stop = CancellationToken::new();
    Running { name, ended: tokio::spawn(run(stop.clone())), stop }
}
