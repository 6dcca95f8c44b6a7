//! `brigade stop`: graceful, then firm.

use std::time::{Duration, Instant};

use conf::Home;
use conf::home::Role;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::time::sleep;

use crate::exit::{Exit, Outcome};
use crate::output::Output;
use crate::{lock, roles};

/// The worker first, so that what it settles still reaches the master.
pub(crate) async fn run(home: &Home, grace: u64, output: &Output) -> Outcome {
    let _control = lock::control(home).await?;
    lock::nobody_unseen(home).await?;
    let mut stopped = Vec::new();
    let mut killed = Vec::new();
    for role in [Role::Import, Role::Worker, Role::Tracker, Role::Master] {
        let Some(pid) = roles::running(home, role) else {
            roles::remove(home, role);
            continue;
        };
        let process = Pid::from_raw(pid as i32);
        let _ = kill(process, Signal::SIGTERM);
        let end = Instant::now() + Duration::from_secs(grace);
        while roles::running(home, role).is_some() {
            if Instant::now() >= end {
                let _ = kill(process, Signal::SIGKILL);
                killed.push(role.name());
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        stopped.push(role.name());
        roles::remove(home, role);
    }
    let _ = std::fs::remove_file(home.token());
    let mut text = if stopped.is_empty() {
        "nothing was running".to_owned()
    } else {
        format!("stopped {}", stopped.join(", "))
    };
    if !killed.is_empty() {
        text.push_str(&format!(
            "; {} did not end in {grace} s and had to be killed: nothing is lost",
            killed.join(", ")
        ));
    }
    output.text(&text);
    output.json(&json!({ "stopped": stopped, "killed": killed }));
    Ok(Exit::Done)
}
