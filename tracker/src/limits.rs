//! Divides limits among workers: equal shares of those that have work, whose sum is never above the limit. Pure.
//!
//! A share that grows may only take what others have given up. What they use is what they said in their last
//! heartbeat or were told since, whichever is more: an answer may get lost, and whoever did not hear it goes on with
//! what it has. So does a worker between two tasks: it has given up its share when it says so, not when its last
//! lease ends.

use std::collections::BTreeMap;

use proto::v1::{Limits, Share};

/// How one limit is divided: of the cluster, or of a job.
#[derive(Debug, Default)]
pub(crate) struct Division {
    bytes: Shares,
    requests: Shares,
}

/// Of bytes or of requests a second; infinite where there is no limit.
#[derive(Debug, Default)]
struct Shares(BTreeMap<String, f64>);

// === impl Division ===

impl Division {
    /// The share of a worker that says what it uses now. `workers`: how many divide the limit, this one included.
    /// `unknown`: there may be others that nobody has heard of since this tracker started.
    pub(crate) fn tell(
        &mut self,
        limits: &Limits,
        worker: &str,
        said: &Share,
        workers: usize,
        unknown: bool,
    ) -> Share {
        let of = |shares: &mut Shares, limit: u64, said: Option<f64>| {
            let limit = if limit == 0 { f64::INFINITY } else { limit as f64 };
            let told = shares.tell(limit, worker, said.unwrap_or(f64::INFINITY), workers, unknown);
            told.is_finite().then_some(told)
        };
        Share {
            bytes_per_s: of(&mut self.bytes, limits.bytes_per_s, said.bytes_per_s),
            requests_per_s: of(&mut self.requests, limits.requests_per_s, said.requests_per_s),
        }
    }

    /// A worker without work says what it uses still.
    pub(crate) fn heard(&mut self, worker: &str, said: &Share) {
        self.bytes.heard(worker, said.bytes_per_s);
        self.requests.heard(worker, said.requests_per_s);
    }

    /// Whoever is gone uses nothing.
    pub(crate) fn keep(&mut self, living: impl Fn(&str) -> bool) {
        self.bytes.0.retain(|worker, _| living(worker));
        self.requests.0.retain(|worker, _| living(worker));
    }
}

impl Shares {
    fn tell(&mut self, limit: f64, worker: &str, said: f64, workers: usize, unknown: bool) -> f64 {
        let fair = limit / workers.max(1) as f64;
        let others: f64 = self.0.iter().filter(|(other, _)| *other != worker).map(|(_, used)| used).sum();
        let room = if unknown { 0.0 } else { limit - others };
        let told = if limit.is_infinite() || fair <= said { fair } else { fair.min(room).max(said) };
        self.0.insert(worker.to_owned(), told.max(said));
        told
    }

    fn heard(&mut self, worker: &str, said: Option<f64>) {
        if let Some(used) = self.0.get_mut(worker) {
            *used = said.unwrap_or(f64::INFINITY);
            if *used == 0.0 {
                self.0.remove(worker);
            }
        }
    }
}

#[cfg(test)]
mod tests;
