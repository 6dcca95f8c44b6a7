//! The heartbeat: names what is held, brings live figures, and heeds what the tracker answers.

use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::WorkerError;
use crate::agent::Agent;

/// Of this process, at the last heartbeat.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    ticks: u64,
    at: Option<Instant>,
}

impl Agent {
    /// Keeps leases alive until `left`.
    pub(crate) async fn heartbeat(
        self: Arc<Self>,
        mut terms: v1::RegisterReply,
        left: CancellationToken,
    ) -> Result<(), WorkerError> {
        let mut good = Instant::now();
        loop {
            tokio::select! {
                () = sleep(Duration::from_millis(terms.renew_ms.max(10))) => {}
                () = left.cancelled() => break,
            }
            let sent = Instant::now();
            let lease = Duration::from_millis(terms.lease_ms);
            // Well below the lease, so that one lost call does not cost it.
            match timeout((lease / 4).max(Duration::from_millis(500)), self.renew(false)).await {
                Ok(Ok(registered)) => {
                    // The tracker may have counted from the moment at which it was sent.
                    good = sent;
                    if !registered {
                        match self.register(&left).await? {
                            Some(again) => terms = again,
                            None => break,
                        }
                    }
                }
                Ok(Err(_)) | Err(_) if good.elapsed() >= lease => {
                    // Nobody vouches for these leases any more: others may hold the tasks by now.
                    for held in self.held().values() {
                        held.killed.cancel();
                    }
                }
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let _ = timeout(Duration::from_secs(2), self.renew(true)).await;
        Ok(())
    }

    /// One more heartbeat now, for its answer. When none comes, the next one brings it.
    pub(crate) async fn beat(&self) {
        let _ = timeout(Duration::from_secs(2), self.renew(false)).await;
    }

    /// One heartbeat at a time, and its answer is heeded before the next one says what is in force. Says whether
    /// this worker is registered.
    async fn renew(&self, leaving: bool) -> Result<bool, Status> {
        let _one = self.beating.lock().await;
        let held: Vec<v1::TaskRef> = self.held().values().map(|held| held.task.clone()).collect();
        let (cpu_share, memory_bytes) = self.usage().unwrap_or_default();
        let stat = Some(v1::WorkerStat { cpu_share, memory_bytes, ..self.stat() });
        let (share, jobs) = self.jobs.shares();
        let request = v1::RenewRequest { stat, held, leaving, share: Some(share), jobs };
        let reply = self.tracker.clone().renew(request).await?.into_inner();
        let registered = reply.registered;
        self.heed(reply);
        Ok(registered)
    }

    fn heed(&self, reply: v1::RenewReply) {
        let held = self.held();
        for task in &reply.lost {
            if let Some(held) = held.get(&task.fence) {
                held.killed.cancel();
            }
        }
        for task in &reply.stopping {
            if let Some(held) = held.get(&task.fence) {
                held.stop.cancel();
            }
        }
        drop(held);
        // What the tracker does not know yet it leaves out: then everything stays as it is.
        self.jobs.share(reply.share, &reply.jobs);
    }

    /// What this worker has done so far. Without CPU and memory: those are of a heartbeat.
    pub(crate) fn stat(&self) -> v1::WorkerStat {
        v1::WorkerStat {
            worker: self.id.clone(),
            host: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            slots: self.slots,
            leases: self.held().len() as u32,
            last_seen_ms: self.now_ms(),
            activity: self.jobs.activity(),
            ..v1::WorkerStat::default()
        }
    }

    /// A time that only goes on: what was said later counts, and this host's clock may be set back meanwhile.
    fn now_ms(&self) -> i64 {
        let (wall, begun) = self.born;
        wall.saturating_add(i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    /// Share of one core since the last call, and resident bytes, from `/proc/self/stat` (proc(5)).
    fn usage(&self) -> Option<(f64, u64)> {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        let (ticks, pages) = (number(11)? + number(12)?, number(21)?);
        let mut before = self.process.lock().unwrap_or_else(|poison| poison.into_inner());
        let now = Instant::now();
        let seconds = before.at.map_or(0.0, |at| now.duration_since(at).as_secs_f64());
        // 100 ticks a second and pages of 4 KiB on every Linux that we build for.
        let share =
            if seconds > 0.0 { ticks.saturating_sub(before.ticks) as f64 / 100.0 / seconds } else { 0.0 };
        *before = Usage { ticks, at: Some(now) };
        Some((share, pages * 4096))
    }
}
