//! The master as the console calls it.

use std::net::SocketAddr;
use std::time::Duration;

use conf::Home;
use conf::home::Role;
use proto::channel::{self, Caller, Token};
use proto::v1;
use proto::v1::jobs_client::JobsClient;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::exit::{Exit, Failure};
use crate::roles;

/// A master that answers.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    jobs: JobsClient<Caller>,
}

impl Service {
    /// The running service of a home; exit code 4 when there is none.
    pub(crate) async fn connect(home: &Home) -> Result<Service, Failure> {
        let nobody = || {
            let home = home.root().display();
            Failure::unreachable(format!(
                "no service runs at {home}; start it with `brigade start`, or use `brigade import`"
            ))
        };
        let token = roles::read_token(home).ok_or_else(nobody)?;
        let address = roles::read_address(home, Role::Master).ok_or_else(nobody)?;
        let service = Service::at(address, &token)?;
        let answer = timeout(Duration::from_secs(5), service.jobs.clone().info(v1::InfoRequest {})).await;
        match answer {
            Ok(Ok(_)) => Ok(service),
            Ok(Err(status)) if status.code() == Code::Unauthenticated => Err(Failure::unreachable(format!(
                "the service at {address} has another token; restart it with `brigade stop` and `brigade start`"
            ))),
            Ok(Err(_)) | Err(_) => Err(nobody()),
        }
    }

    /// A master whose address is known.
    pub(crate) fn at(address: SocketAddr, token: &Token) -> Result<Service, Failure> {
        let caller = channel::call(address, token)
            .map_err(|error| Failure::new(format!("no channel to {address}: {error}")))?;
        let jobs = JobsClient::new(caller)
            .max_decoding_message_size(channel::MAX_MESSAGE)
            .max_encoding_message_size(channel::MAX_MESSAGE);
        Ok(Service { jobs })
    }

    /// Does it answer?
    pub(crate) async fn info(&self) -> Option<v1::InfoReply> {
        let answer = timeout(Duration::from_secs(2), self.jobs.clone().info(v1::InfoRequest {})).await;
        answer.ok()?.ok().map(tonic::Response::into_inner)
    }

    pub(crate) async fn submit(&self, config: Vec<u8>) -> Result<v1::JobStat, Failure> {
        answer(self.jobs.clone().submit(v1::SubmitRequest { config }).await)
    }

    /// All jobs and workers, or one job.
    pub(crate) async fn stat(&self, job: &str) -> Result<v1::StatReply, Failure> {
        answer(self.jobs.clone().stat(v1::StatRequest { job: job.to_owned() }).await)
    }

    /// One job, or `None` where it is not known.
    pub(crate) async fn find(&self, job: &str) -> Result<Option<v1::JobStat>, Failure> {
        match self.jobs.clone().stat(v1::StatRequest { job: job.to_owned() }).await {
            Ok(reply) => Ok(reply.into_inner().jobs.into_iter().next()),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(failure(&status)),
        }
    }

    /// How a job goes on, until it has ended: each new state at once, new figures from time to time.
    pub(crate) async fn watch(&self, job: &str) -> Result<tonic::Streaming<v1::JobStat>, Failure> {
        answer(self.jobs.clone().watch(v1::WatchRequest { job: job.to_owned() }).await)
    }

    pub(crate) async fn retry(&self, job: &str) -> Result<v1::RetryReply, Failure> {
        answer(self.jobs.clone().retry(v1::JobRequest { job: job.to_owned() }).await)
    }

    pub(crate) async fn clean(&self, job: &str, force: bool) -> Result<v1::CleanReply, Failure> {
        let request = v1::CleanRequest { job: job.to_owned(), force, keep_uploads: false };
        answer(self.jobs.clone().clean(request).await)
    }

    pub(crate) async fn pause(&self, job: &str) -> Result<v1::JobStat, Failure> {
        let request = v1::PauseRequest { job: job.to_owned(), reason: "paused by the user".into() };
        answer(self.jobs.clone().pause(request).await)
    }

    pub(crate) async fn resume(&self, job: &str) -> Result<v1::JobStat, Failure> {
        answer(self.jobs.clone().resume(v1::JobRequest { job: job.to_owned() }).await)
    }

    pub(crate) async fn limit(&self, request: v1::LimitRequest) -> Result<v1::JobStat, Failure> {
        answer(self.jobs.clone().limit(request).await)
    }

    /// What a job file says otherwise than the job; takes over what may change while it lives.
    pub(crate) async fn refresh(
        &self,
        config: Vec<u8>,
        compare_only: bool,
    ) -> Result<v1::RefreshReply, Failure> {
        answer(self.jobs.clone().refresh(v1::RefreshRequest { config, compare_only }).await)
    }

    /// The records of a job, in chunks.
    pub(crate) async fn report(
        &self,
        job: &str,
        failed_only: bool,
        not_carried_only: bool,
    ) -> Result<tonic::Streaming<v1::ReportChunk>, Failure> {
        let request = v1::ReportRequest { job: job.to_owned(), failed_only, not_carried_only };
        answer(self.jobs.clone().report(request).await)
    }
}

fn answer<T>(answer: Result<tonic::Response<T>, Status>) -> Result<T, Failure> {
    answer.map(tonic::Response::into_inner).map_err(|status| failure(&status))
}

/// What the master refused, for people.
pub(crate) fn failure(status: &Status) -> Failure {
    // No answer of the master's: the connection broke.
    if std::error::Error::source(status).is_some() {
        tracing::debug!(?status, "no answer");
        return Failure::unreachable(
            "the service ended before it answered: `brigade stat` says what was done, `brigade start` starts it again",
        );
    }
    let exit = match status.code() {
        Code::Unavailable | Code::Unauthenticated | Code::DeadlineExceeded => Exit::Unreachable,
        Code::AlreadyExists | Code::InvalidArgument => Exit::Usage,
        _ => Exit::Failure,
    };
    Failure { exit, message: status.message().to_owned() }
}
