//! The server that workers call.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use proto::channel::Caller;
use proto::v1;
use proto::v1::leases_server::Leases;
use proto::v1::tasks_client::TasksClient;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use crate::shared::Shared;
use crate::state::{NotRegistered, State};

/// The longest wait of an Acquire, so that a call is never older than a lost connection is noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Leases, over gRPC.
#[derive(Debug)]
pub(crate) struct Service {
    shared: Arc<Shared>,
    master: TasksClient<Caller>,
    shutdown: CancellationToken,
}

impl Service {
    pub(crate) fn new(shared: Arc<Shared>, master: TasksClient<Caller>, shutdown: CancellationToken) -> Self {
        Service { shared, master, shutdown }
    }

    /// A report may pass only under a living lease.
    fn check(&self, task: Option<&v1::TaskRef>) -> Result<u64, Status> {
        let task = task.ok_or_else(|| Status::invalid_argument("no task"))?;
        let state = self.shared.state();
        knows(&state)?;
        if state.passes(task.fence, Instant::now()) {
            return Ok(task.fence);
        }
        Err(Status::failed_precondition("the lease on this task is lost"))
    }

    /// A refusal by the master ends the lease here too.
    fn refused(&self, fence: u64, status: Status) -> Status {
        if status.code() == Code::FailedPrecondition {
            self.shared.change(|state| state.ended(fence));
        }
        status
    }
}

fn knows(state: &State) -> Result<(), Status> {
    if state.knows() {
        return Ok(());
    }
    Err(Status::unavailable("the tracker has just started and has not reached the master yet"))
}

/// Counts an Acquire that waits, for as long as it does.
struct Waiting<'a>(&'a Shared, u32);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared, most: u32) -> Self {
        shared.change(|state| state.wait(most));
        shared.demand.notify_one();
        Waiting(shared, most)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.waited(self.1));
    }
}

#[tonic::async_trait]
impl Leases for Service {
    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterReply>, Status> {
        let request = request.into_inner();
        tracing::info!(worker = request.worker, "registered");
        Ok(Response::new(self.shared.change(|state| state.register(request, Instant::now()))))
    }

    async fn acquire(
        &self,
        request: Request<v1::AcquireRequest>,
    ) -> Result<Response<v1::AcquireReply>, Status> {
        let request = request.into_inner();
        let end = Instant::now() + Duration::from_millis(request.wait_ms.into()).min(LONGEST_WAIT);
        let _waiting = Waiting::new(&self.shared, request.most);
        loop {
            let came = self.shared.tasks.notified();
            // A tracker that stops hands out nothing: nobody would be left to keep the lease.
            let most = if self.shutdown.is_cancelled() { 0 } else { request.most };
            let granted = self.shared.change(|state| state.acquire(&request.worker, most, Instant::now()));
            let tasks =
                granted.map_err(|NotRegistered| Status::failed_precondition("register this worker first"))?;
            let left = end.duration_since(Instant::now());
            if !tasks.is_empty() || left.is_zero() || self.shutdown.is_cancelled() {
                return Ok(Response::new(v1::AcquireReply { tasks }));
            }
            tokio::select! {
                _ = timeout(left, came) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewReply>, Status> {
        let request = request.into_inner();
        let reply = self.shared.change(|state| {
            knows(state)?;
            Ok::<_, Status>(state.renew(request, Instant::now()))
        });
        reply.map(Response::new)
    }

    type ManifestStream = Pin<Box<dyn Stream<Item = Result<v1::ManifestChunk, Status>> + Send>>;

    async fn manifest(
        &self,
        request: Request<v1::ManifestRequest>,
    ) -> Result<Response<Self::ManifestStream>, Status> {
        self.check(request.get_ref().task.as_ref())?;
        let stream = self.master.clone().manifest(request.into_inner()).await?.into_inner();
        Ok(Response::new(Box::pin(stream)))
    }

    async fn get_job_config(
        &self,
        request: Request<v1::JobConfigRequest>,
    ) -> Result<Response<v1::JobConfig>, Status> {
        self.master.clone().get_job_config(request.into_inner()).await
    }

    async fn record(&self, request: Request<v1::RecordBatch>) -> Result<Response<v1::Ack>, Status> {
        let fence = self.check(request.get_ref().task.as_ref())?;
        self.master.clone().record(request.into_inner()).await.map_err(|status| self.refused(fence, status))
    }

    async fn save_upload(&self, request: Request<v1::UploadProgress>) -> Result<Response<v1::Ack>, Status> {
        let fence = self.check(request.get_ref().task.as_ref())?;
        self.master
            .clone()
            .save_upload(request.into_inner())
            .await
            .map_err(|status| self.refused(fence, status))
    }

    async fn settle(&self, request: Request<v1::Settlement>) -> Result<Response<v1::Ack>, Status> {
        let fence = self.check(request.get_ref().task.as_ref())?;
        let answer = self.master.clone().settle(request.into_inner()).await;
        let answer = answer.map_err(|status| self.refused(fence, status))?;
        self.shared.change(|state| state.ended(fence));
        Ok(answer)
    }
}

#[cfg(test)]
mod tests;
