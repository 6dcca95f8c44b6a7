//! `brigade serve ROLE`: one role in the foreground. `start` launches it.

use std::net::SocketAddr;

use conf::{Home, SysConf};
use storage::error::chain;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Role};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::standalone::host_name;
use crate::{check, lock, roles};

pub(crate) async fn run(cli: &Cli, role: Role, home: &Home) -> Outcome {
    // A session of its own: closing the terminal that ran `start` must not end the service.
    let _ = nix::unistd::setsid();
    let output = Output::new(cli.output);
    let conf = check::sys_conf(home, &output)?;
    let place = role.home_role();
    let Some(_lock) = lock::take_soon(home, place).await? else {
        return Err(Failure::new(format!("a {} already runs on {}", place.name(), home.root().display())));
    };
    super::log(cli, home, place, &conf.log_level)?;
    roles::write_pid(home, place)?;
    tracing::info!(role = place.name(), version = env!("CARGO_PKG_VERSION"), "starts");
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(until_asked(shutdown.clone()));
    let ended = serve(role, home, &conf, shutdown).await;
    signals.abort();
    roles::remove(home, place);
    match &ended {
        Ok(_) => tracing::info!("ends"),
        Err(failure) => tracing::error!("{failure}"),
    }
    ended
}

async fn serve(role: Role, home: &Home, conf: &SysConf, shutdown: CancellationToken) -> Outcome {
    let token =
        roles::read_token(home).ok_or_else(|| Failure::new("there is no run/token: use `brigade start`"))?;
    let address = |role| roles::read_address(home, role);
    let missing =
        |name: &str| Failure::new(format!("the {name} has said no address yet: use `brigade start`"));
    let ended = match role {
        Role::Master => {
            let listener = listen(home, role, conf.master_address).await?;
            let options = master::Options { home: home.clone(), listener, token, dormant: false };
            master::run(conf, options, shutdown).await.map_err(|error| chain(&error))
        }
        Role::Tracker => {
            let master = address(conf::home::Role::Master).ok_or_else(|| missing("master"))?;
            let listener = listen(home, role, conf.tracker_address).await?;
            tracker::run(conf, tracker::Options { listener, master, token, alone: false }, shutdown)
                .await
                .map_err(|error| chain(&error))
        }
        Role::Worker => {
            let tracker = address(conf::home::Role::Tracker).ok_or_else(|| missing("tracker"))?;
            let options = worker::Options { tracker, token, name: host_name(), home: home.clone() };
            worker::run(conf, options, shutdown).await.map_err(|error| chain(&error))
        }
    };
    ended.map(|()| Exit::Done).map_err(Failure::new)
}

/// A role that is started again while the others run keeps its address: they know only that one.
async fn listen(home: &Home, role: Role, configured: SocketAddr) -> Result<TcpListener, Failure> {
    let place = role.home_role();
    let last = std::fs::read_to_string(home.run().join(format!("{}.last", place.name())));
    let last = last.ok().and_then(|text| text.trim().parse::<SocketAddr>().ok());
    let again = last.filter(|last| configured.port() == 0 && last.ip() == configured.ip());
    let bound = match again {
        Some(last) => match TcpListener::bind(last).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind(configured).await,
        },
        None => TcpListener::bind(configured).await,
    };
    let in_use = |error: std::io::Error| {
        let key = if role == Role::Master { "master_address" } else { "tracker_address" };
        Failure::new(format!(
            "the {} cannot listen on {configured}: {error}. Choose another {key} in conf/sys.toml, or end what uses the port (`ss -ltnp 'sport = :{}'` says who)",
            place.name(),
            configured.port()
        ))
    };
    let listener = bound.map_err(in_use)?;
    let address = listener.local_addr().map_err(|error| Failure::new(format!("no address: {error}")))?;
    roles::write_address(home, place, address)?;
    roles::write_private(&home.run().join(format!("{}.last", place.name())), &address.to_string())?;
    Ok(listener)
}

/// SIGINT or SIGTERM: stop; SIGHUP means nothing to a service.
async fn until_asked(shutdown: CancellationToken) {
    let (Ok(mut terminate), Ok(mut hang_up)) =
        (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = tokio::signal::ctrl_c() => break,
            _ = hang_up.recv() => {}
        }
    }
    tracing::info!("was asked to stop");
    shutdown.cancel();
}
