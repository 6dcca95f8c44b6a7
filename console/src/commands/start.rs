//! `brigade start`: master, tracker and worker as processes in the background.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use conf::Home;
use serde_json::json;
use tokio::time::sleep;

use crate::cli::{Cli, Role};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::service::Service;
use crate::{check, lock, roles};

/// A role answers within this time, or has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// glibc gives threads heaps of their own, and each keeps what it once had: with the many short-lived threads that
/// read files, that is more than everything else together (mallopt(3)).
const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "2");

pub(crate) async fn run(cli: &Cli, home: &Home, output: &Output) -> Outcome {
    check::sys_conf(home, output)?;
    let _control = lock::control(home).await?;
    let running = |role: Role| roles::running(home, role.home_role());
    let all = [Role::Master, Role::Tracker, Role::Worker];
    if let Some(pid) = roles::running(home, conf::home::Role::Import) {
        return Err(Failure::new(format!(
            "an import runs on this home (process {pid}): let it end, or `brigade stop`"
        )));
    }
    for role in all {
        until_gone(home, role).await;
    }
    lock::nobody_unseen(home).await?;
    // Running roles have the token that is there; without any of them a fresh one is safer.
    if all.iter().all(|role| running(*role).is_none()) || roles::read_token(home).is_none() {
        roles::make_token(home)?;
    }
    let mut started = Vec::new();
    for role in all {
        if running(role).is_some() {
            continue;
        }
        match launch(cli, home, role).await {
            Ok(child) => started.push((role, child)),
            Err(failure) => {
                for (_, mut child) in started {
                    let _ = child.kill();
                    let _ = child.wait();
                }
                return Err(failure);
            }
        }
    }
    let names: Vec<&str> = all.iter().map(|role| role.home_role().name()).collect();
    let new: Vec<&str> = started.iter().map(|(role, _)| role.home_role().name()).collect();
    output.text(&if new.is_empty() {
        "already running: master, tracker, worker".to_owned()
    } else {
        format!("started {}; logs in {}", new.join(", "), home.logs().display())
    });
    output.json(&json!({ "running": names, "started": new, "logs": home.logs() }));
    Ok(Exit::Done)
}

/// A role that was killed this moment does not count as running.
async fn until_gone(home: &Home, role: Role) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && roles::running(home, role.home_role()).is_some_and(roles::is_ending) {
        sleep(Duration::from_millis(5)).await;
    }
}

/// Starts one role and waits until it is ready.
async fn launch(cli: &Cli, home: &Home, role: Role) -> Result<Child, Failure> {
    let place = role.home_role();
    roles::remove(home, place);
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("cannot find this program: {error}")))?;
    lock::make_private(&home.logs())?;
    let err = home.logs().join(format!("{}.err", place.name()));
    let file = std::fs::File::create(&err).map_err(|error| Failure::file("write", &err, &error))?;
    let mut command = Command::new(program);
    command
        .arg("--home")
        .arg(home.root())
        .args(std::iter::repeat_n("-v", cli.verbose.into()))
        .args(["serve", place.name()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    if std::env::var_os(ARENAS.0).is_none() {
        command.env(ARENAS.0, ARENAS.1);
    }
    let mut child = command
        .spawn()
        .map_err(|error| Failure::new(format!("cannot start the {}: {error}", place.name())))?;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Ok(Some(status)) = child.try_wait() {
            let said = std::fs::read_to_string(&err).unwrap_or_default();
            let said = said.trim().trim_start_matches("brigade: ");
            return Err(Failure::new(format!("the {} did not start ({status}): {said}", place.name())));
        }
        if ready(home, role).await {
            let _ = std::fs::remove_file(&err);
            return Ok(child);
        }
        sleep(Duration::from_millis(20)).await;
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(Failure::new(format!("the {} did not become ready; see {}", place.name(), home.log(place).display())))
}

async fn ready(home: &Home, role: Role) -> bool {
    if roles::running(home, role.home_role()).is_none() {
        return false;
    }
    match role {
        Role::Master => Service::connect(home).await.is_ok(),
        Role::Tracker => match roles::read_address(home, conf::home::Role::Tracker) {
            Some(address) => tokio::net::TcpStream::connect(address).await.is_ok(),
            None => false,
        },
        // Registered, as the master knows it from the tracker.
        Role::Worker => match Service::connect(home).await {
            Ok(service) => service.stat("").await.is_ok_and(|stat| !stat.workers.is_empty()),
            Err(_) => false,
        },
    }
}
