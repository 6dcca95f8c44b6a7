//! The server that the tracker calls.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};
use proto::v1;
use proto::v1::tasks_server::Tasks;
use proto::{JobState, TaskId};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::error::MasterError;
use crate::manifests::Manifests;
use crate::master::{Master, active};

/// The longest wait of a Fetch.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Bytes of one message of a manifest.
const CHUNK: usize = 256 << 10;
/// Leases of a job that was cleaned are revoked for this long.
const REVOKE: Duration = Duration::from_secs(60);

/// Tasks, over gRPC.
#[derive(Debug)]
pub(crate) struct TasksService {
    master: Arc<Master>,
}

impl TasksService {
    pub(crate) fn new(master: Arc<Master>) -> Self {
        TasksService { master }
    }
}

impl Master {
    /// Live figures come, what changed goes.
    pub(crate) fn pulse(&self, request: v1::PulseRequest) -> Result<v1::PulseReply, MasterError> {
        let now = Instant::now();
        let mut guard = self.book();
        let book = &mut *guard;
        if request.session == 0 || book.session != request.session {
            return Err(MasterError::OldSession);
        }
        book.pulsed = Some(now);
        book.workers = request.workers;
        book.cleaned.retain(|(_, at)| now.duration_since(*at) < REVOKE);
        let mut reply = v1::PulseReply {
            cluster: Some(v1::Limits {
                bytes_per_s: book.meta.bytes_per_s.unwrap_or(self.sys.cluster_bytes_per_s),
                requests_per_s: book.meta.requests_per_s.unwrap_or(self.sys.cluster_requests_per_s),
            }),
            outstanding: book.jobs.values().map(|job| job.record.dispatched).sum(),
            stopped_jobs: book.cleaned.iter().map(|(name, _)| name.clone()).collect(),
            ..v1::PulseReply::default()
        };
        for (name, job) in &mut book.jobs {
            let state = job.record.state();
            if matches!(state, JobState::Paused | JobState::Cancelled) {
                reply.stopped_jobs.push(name.clone());
            }
            let mentioned = book.workers.iter().flat_map(|worker| &worker.activity).any(|at| at.job == *name);
            if !active(state) && !mentioned {
                continue;
            }
            let objects = job.tally().objects();
            job.rates.pulse(name, &book.workers, objects, now);
            let for_scan = job.divide_requests();
            let record = &job.record;
            reply.jobs.push(v1::JobLimits {
                job: name.clone(),
                limits: Some(v1::Limits {
                    bytes_per_s: record.bytes_per_s,
                    requests_per_s: record.requests_per_s - for_scan,
                }),
                priority: record.priority,
                revision: record.revision,
            });
        }
        Ok(reply)
    }

    /// The manifest of a task that the caller holds.
    pub(crate) fn manifest(&self, task: &v1::TaskRef) -> Result<Bytes, MasterError> {
        let id: TaskId = self.book().desk(task)?.id.clone();
        Manifests::of(&self.folder(&id.job)).read(&id.stem()).map(Bytes::from)
    }

    /// The configuration as the current round uses it, with the limits of this moment.
    pub(crate) fn job_config(&self, name: &str) -> Result<v1::JobConfig, MasterError> {
        let (round, revision, limits) = {
            let book = self.book();
            let record = &book.job(name)?.record;
            (record.round, record.revision, (record.bytes_per_s, record.requests_per_s))
        };
        let mut conf = self.round_conf(name, round)?;
        (conf.transfer.bytes_per_s, conf.transfer.requests_per_s) = limits;
        Ok(v1::JobConfig { config: conf.to_wire(), revision })
    }
}

#[tonic::async_trait]
impl Tasks for TasksService {
    async fn attach(
        &self,
        _request: Request<v1::AttachRequest>,
    ) -> Result<Response<v1::AttachReply>, Status> {
        let (session, outstanding) = self.master.blocking(|master| master.attach()).await?;
        Ok(Response::new(v1::AttachReply { session, outstanding }))
    }

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Result<Response<v1::FetchReply>, Status> {
        let v1::FetchRequest { session, most, wait_ms } = request.into_inner();
        let wait = Duration::from_millis(wait_ms.into()).min(LONGEST_WAIT);
        let (tasks, priorities) = self.master.fetch(session, most, wait).await?.into_iter().unzip();
        Ok(Response::new(v1::FetchReply { tasks, priorities }))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Result<Response<v1::Ack>, Status> {
        let request = request.into_inner();
        self.master.blocking(move |master| master.release(request.session, &request.tasks)).await?;
        Ok(Response::new(v1::Ack {}))
    }

    type ManifestStream = Pin<Box<dyn Stream<Item = Result<v1::ManifestChunk, Status>> + Send>>;

    async fn manifest(
        &self,
        request: Request<v1::ManifestRequest>,
    ) -> Result<Response<Self::ManifestStream>, Status> {
        let task = request.into_inner().task.unwrap_or_default();
        let file = self.master.blocking(move |master| master.manifest(&task)).await?;
        let starts = (0..file.len()).step_by(CHUNK);
        let chunks = starts.map(move |at| {
            let data = file.slice(at..file.len().min(at + CHUNK));
            Ok(v1::ManifestChunk { data })
        });
        Ok(Response::new(Box::pin(stream::iter(chunks))))
    }

    async fn get_job_config(
        &self,
        request: Request<v1::JobConfigRequest>,
    ) -> Result<Response<v1::JobConfig>, Status> {
        let job = request.into_inner().job;
        Ok(Response::new(self.master.blocking(move |master| master.job_config(&job)).await?))
    }

    async fn record(&self, request: Request<v1::RecordBatch>) -> Result<Response<v1::Ack>, Status> {
        let batch = request.into_inner();
        self.master.blocking(move |master| master.record(batch)).await?;
        Ok(Response::new(v1::Ack {}))
    }

    async fn save_upload(&self, request: Request<v1::UploadProgress>) -> Result<Response<v1::Ack>, Status> {
        let progress = request.into_inner();
        self.master.blocking(move |master| master.save_upload(progress)).await?;
        Ok(Response::new(v1::Ack {}))
    }

    async fn settle(&self, request: Request<v1::Settlement>) -> Result<Response<v1::Ack>, Status> {
        let settlement = request.into_inner();
        self.master.blocking(move |master| master.settle(&settlement)).await?;
        Ok(Response::new(v1::Ack {}))
    }

    async fn pulse(&self, request: Request<v1::PulseRequest>) -> Result<Response<v1::PulseReply>, Status> {
        Ok(Response::new(self.master.pulse(request.into_inner())?))
    }
}
