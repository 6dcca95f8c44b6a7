//! Commands on a home where nothing runs: a dormant master answers from the state.

use conf::Home;

use crate::exit::{Exit, Failure};
use crate::service::Service;
use crate::standalone::Standalone;

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
                let conf = conf::SysConf::default();
                Standalone::master_only(home, &conf, true).await.map(Box::new).map(Answering::Dormant)
            }
            Err(failure) => Err(failure),
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
