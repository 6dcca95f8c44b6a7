//! The server that the console calls.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use proto::JobState;
use proto::v1;
use proto::v1::jobs_server::Jobs;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::error::MasterError;
use crate::master::Master;
use crate::report;

/// A changed `stat` is sent this often.
const TICK: Duration = Duration::from_millis(500);

/// Jobs, over gRPC.
#[derive(Debug)]
pub(crate) struct JobsService {
    master: Arc<Master>,
    standalone: bool,
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl JobsService {
    pub(crate) fn new(master: Arc<Master>, standalone: bool) -> Self {
        JobsService { master, standalone }
    }

    fn stat_of(&self, job: &str) -> Result<Response<v1::JobStat>, Status> {
        Ok(Response::new(self.master.stat(job)?))
    }
}

#[tonic::async_trait]
impl Jobs for JobsService {
    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Result<Response<v1::JobStat>, Status> {
        let config = request.into_inner().config;
        let job = self.master.blocking(move |master| master.submit(&config)).await?;
        self.stat_of(&job)
    }

    async fn stat(&self, request: Request<v1::StatRequest>) -> Result<Response<v1::StatReply>, Status> {
        let job = request.into_inner().job;
        let (mut jobs, workers, tracker) = self.master.stat_all();
        if !job.is_empty() {
            jobs = vec![self.master.stat(&job)?];
        }
        Ok(Response::new(v1::StatReply { jobs, workers, tracker }))
    }

    type WatchStream = Streamed<v1::JobStat>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let job = request.into_inner().job;
        self.master.stat(&job)?;
        let watch =
            Watch { moved: self.master.moved.subscribe(), master: self.master.clone(), job, last: None };
        let changes = stream::unfold(Some(watch), |watch| async move {
            let mut watch = watch?;
            Some(match watch.next().await {
                Ok(stat) if ended(&stat) => (Ok(stat), None),
                Ok(stat) => (Ok(stat), Some(watch)),
                // It was cleaned.
                Err(error) => (Err(error.into()), None),
            })
        });
        let stop = self.master.shutdown.clone().cancelled_owned();
        Ok(Response::new(Box::pin(changes.take_until(stop))))
    }

    async fn retry(&self, request: Request<v1::JobRequest>) -> Result<Response<v1::RetryReply>, Status> {
        let job = request.into_inner().job;
        let name = job.clone();
        let mut reply = self.master.blocking(move |master| master.retry(&name)).await?;
        reply.stat = Some(self.master.stat(&job)?);
        Ok(Response::new(reply))
    }

    async fn clean(&self, request: Request<v1::CleanRequest>) -> Result<Response<v1::CleanReply>, Status> {
        let request = request.into_inner();
        Ok(Response::new(self.master.clean(&request.job, request.keep_uploads, request.force).await?))
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Result<Response<v1::JobStat>, Status> {
        let v1::PauseRequest { job, reason } = request.into_inner();
        let name = job.clone();
        self.master.blocking(move |master| master.pause(&name, &reason)).await?;
        self.stat_of(&job)
    }

    async fn resume(&self, request: Request<v1::JobRequest>) -> Result<Response<v1::JobStat>, Status> {
        let job = request.into_inner().job;
        let name = job.clone();
        self.master.blocking(move |master| master.resume(&name)).await?;
        self.stat_of(&job)
    }

    async fn limit(&self, request: Request<v1::LimitRequest>) -> Result<Response<v1::JobStat>, Status> {
        let request = request.into_inner();
        let job = request.job.clone();
        self.master.blocking(move |master| master.limit(&request)).await?;
        if job.is_empty() { Ok(Response::new(v1::JobStat::default())) } else { self.stat_of(&job) }
    }

    async fn refresh(
        &self,
        request: Request<v1::RefreshRequest>,
    ) -> Result<Response<v1::RefreshReply>, Status> {
        let v1::RefreshRequest { config, compare_only } = request.into_inner();
        let reply = self.master.blocking(move |master| master.refresh(&config, compare_only)).await?;
        Ok(Response::new(reply))
    }

    type ReportStream = Streamed<v1::ReportChunk>;

    async fn report(
        &self,
        request: Request<v1::ReportRequest>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let v1::ReportRequest { job, failed_only, not_carried_only } = request.into_inner();
        let only = match (failed_only, not_carried_only) {
            (true, _) => report::Only::Failed,
            (_, true) => report::Only::NotCarried,
            _ => report::Only::Any,
        };
        self.master.stat(&job)?;
        Ok(Response::new(Box::pin(report::stream(self.master.clone(), job, only))))
    }

    async fn info(&self, _request: Request<v1::InfoRequest>) -> Result<Response<v1::InfoReply>, Status> {
        Ok(Response::new(v1::InfoReply {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            home: self.master.home.root().display().to_string(),
            standalone: self.standalone,
        }))
    }
}

/// One `Watch` that goes on.
struct Watch {
    master: Arc<Master>,
    /// Jobs changed their state.
    moved: watch::Receiver<()>,
    job: String,
    last: Option<v1::JobStat>,
}

impl Watch {
    /// The first one at once, then what is new: a state at once, figures from time to time.
    async fn next(&mut self) -> Result<v1::JobStat, MasterError> {
        loop {
            if self.last.is_some() {
                // An error means that the time is over, or that the master stops.
                let _ = timeout(TICK, self.moved.changed()).await;
            }
            let stat = self.master.stat(&self.job)?;
            if self.last.as_ref() != Some(&stat) {
                self.last = Some(stat.clone());
                return Ok(stat);
            }
        }
    }
}

fn ended(stat: &v1::JobStat) -> bool {
    stat.state.parse::<JobState>().is_ok_and(JobState::ended)
}
