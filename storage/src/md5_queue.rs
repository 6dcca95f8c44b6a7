//! Parts whose MD5 will be wanted, so that four are hashed at once (see `md5_lanes`), on a thread that may be busy
//! for long, while they are sent.
//!
//! Four that wait are hashed; and what is there, when somebody wants one of them at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::md5_lanes::{LANES, md5_of_four};
use crate::payload::Payload;

/// Those that wait to be hashed together. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Md5Queue(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// Oldest first.
    jobs: Vec<Job>,
    /// Of the next one.
    number: u64,
}

#[derive(Debug)]
struct Job {
    number: u64,
    payload: Payload,
    answer: oneshot::Sender<[u8; 16]>,
}

/// An MD5 to come. Who drops it gives its bytes free, unless they are being hashed just now.
#[derive(Debug)]
pub(crate) struct Promise {
    queue: Md5Queue,
    number: u64,
    answer: oneshot::Receiver<[u8; 16]>,
}

// === impl Md5Queue ===

impl Md5Queue {
    /// The MD5 of these bytes will be wanted.
    pub(crate) fn promise(&self, payload: &Payload) -> Promise {
        let (answer, from) = oneshot::channel();
        let mut waiting = self.waiting();
        let number = waiting.number;
        waiting.number += 1;
        waiting.jobs.push(Job { number, payload: payload.clone(), answer });
        let full = waiting.jobs.len() >= LANES;
        drop(waiting);
        if full {
            self.begin();
        }
        Promise { queue: self.clone(), number, answer: from }
    }

    /// Hashes the oldest ones.
    fn begin(&self) {
        let jobs: Vec<Job> = {
            let mut waiting = self.waiting();
            let count = waiting.jobs.len().min(LANES);
            waiting.jobs.drain(..count).collect()
        };
        if !jobs.is_empty() {
            // Every answer is awaited or of no use any more.
            drop(tokio::task::spawn_blocking(move || hash(jobs)));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// At most [`LANES`] of them.
fn hash(jobs: Vec<Job>) {
    let none = Payload::default();
    let md5s = match jobs.as_slice() {
        // One alone is faster by itself.
        [job] => vec![job.payload.md5()],
        jobs => {
            let payload = |lane: usize| jobs.get(lane).map_or(&none, |job: &Job| &job.payload);
            md5_of_four(std::array::from_fn(payload)).to_vec()
        }
    };
    for (job, md5) in jobs.into_iter().zip(md5s) {
        // Nobody may want it any more.
        let _ = job.answer.send(md5);
    }
}

// === impl Promise ===

impl Promise {
    /// The MD5, now.
    pub(crate) async fn kept(mut self) -> [u8; 16] {
        while self.waits() {
            self.queue.begin();
        }
        // It fails only when the runtime ends.
        (&mut self.answer).await.unwrap_or_default()
    }

    fn waits(&self) -> bool {
        self.queue.waiting().jobs.iter().any(|job| job.number == self.number)
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.queue.waiting().jobs.retain(|job| job.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn payload(byte: u8, length: usize) -> Payload {
        Payload::new(vec![Bytes::from(vec![byte; length]), Bytes::from_static(b"end")])
    }

    #[tokio::test]
    async fn every_promise_is_kept_whatever_waits_beside_it() {
        for count in 1..=9_u8 {
            let queue = Md5Queue::default();
            let payloads: Vec<Payload> =
                (0..count).map(|byte| payload(byte, 70 * usize::from(byte))).collect();
            let promises: Vec<Promise> = payloads.iter().map(|payload| queue.promise(payload)).collect();
            // The youngest first.
            for (promise, payload) in promises.into_iter().zip(&payloads).rev() {
                assert_eq!(promise.kept().await, payload.md5(), "{count}");
            }
            assert!(queue.waiting().jobs.is_empty());
        }
    }

    #[tokio::test]
    async fn who_does_not_want_it_any_more_holds_no_bytes() {
        let queue = Md5Queue::default();
        drop(queue.promise(&payload(1, 100)));
        assert!(queue.waiting().jobs.is_empty());
        let wanted = payload(2, 100);
        let kept = queue.promise(&wanted);
        drop(queue.promise(&payload(3, 100)));
        assert_eq!(kept.kept().await, wanted.md5());
    }
}
