//! Commands on a home where nothing runs: a dormant master answers from the state.

use std::time::{Duration, Instant};

use conf::Home;
use conf::home::Role;
use tokio::time::sleep;

use crate::exit::{Exit, Failure};
use crate::lock::{self, Lock};
use crate::service::Service;
use crate::standalone::{self, Standalone};

/// An import that was asked to stop may take this long.
const ENDING: Duration = Duration::from_secs(30);

/// A master that answers: the running service, or one of our own that starts nothing.
#[derive(Debug)]
pub(crate) enum Answering {
    Running(Service),
    Dormant(Box<Standalone>),
}

impl Answering {
    /// The running service; else, where there is state from earlier jobs, a dormant master.
    pub(crate) async fn connect(home: &Home) -> Result<Answering, Failure> {
        match Service::connect(home).await {
            Ok(service) => Ok(Answering::Running(service)),
            Err(failure) if failure.exit == Exit::Unreachable && home.state().exists() => {
                let control = lock::control(home).await?;
                Answering::settled(home, control).await
            }
            Err(failure) => Err(failure),
        }
    }

    /// While this command alone may begin or end roles: whoever holds the state answers, or is about to end.
    async fn settled(home: &Home, control: Lock) -> Result<Answering, Failure> {
        let end = Instant::now() + ENDING;
        loop {
            if let Ok(service) = Service::connect(home).await {
                return Ok(Answering::Running(service));
            }
            let ended = lock::try_take(home, Role::Master)?;
            if ended.is_some() || Instant::now() >= end {
                let lock = ended.map_or_else(|| Err(standalone::held(home)), Ok)?;
                let master = Standalone::dormant(home, control, lock).await?;
                return Ok(Answering::Dormant(Box::new(master)));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn service(&self) -> &Service {
        match self {
            Answering::Running(service) => service,
            Answering::Dormant(master) => master.service(),
        }
    }

    /// Ends a dormant master; a running one goes on.
    pub(crate) async fn leave(self) {
        if let Answering::Dormant(master) = self {
            // What it was asked is answered; why it could not go on stands in that answer.
            let _ = master.stop().await;
        }
    }
}
