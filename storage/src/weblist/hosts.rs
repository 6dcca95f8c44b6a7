//! The domains of a list: each has its own rate, and one that is away is told from a network that is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Domains that are remembered before those whose turn is over are forgotten.
const MANY: usize = 1024;
/// An answer says for so long that the network is well.
const FRESH: Duration = Duration::from_secs(30);
/// So many domains that answered are remembered: two are enough to tell one from the others.
const ANSWERED: usize = 4;

/// Shared by all requests of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// Requests a second to each; 0: no limit.
    per_s: u64,
    next: Mutex<HashMap<String, Instant>>,
    answered: Mutex<Vec<(String, Instant)>>,
}

impl Hosts {
    pub(super) fn new(per_s: u64) -> Self {
        Hosts { per_s, ..Hosts::default() }
    }

    /// Waits until the next request to this host may go.
    pub(super) async fn turn(&self, host: &str) {
        if self.per_s == 0 {
            return;
        }
        let now = Instant::now();
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            if next.len() >= MANY {
                next.retain(|_, at| *at > now);
            }
            let slot = next.entry(host.to_owned()).or_insert(now);
            let turn = (*slot).max(now);
            *slot = turn + Duration::from_secs(1) / u32::try_from(self.per_s).unwrap_or(u32::MAX);
            turn
        };
        sleep_until(turn).await;
    }

    /// It answered, whatever it said.
    pub(super) fn answered(&self, host: &str) {
        let now = Instant::now();
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        match answered.iter_mut().find(|(known, _)| known == host) {
            Some((_, at)) => *at = now,
            None => {
                if answered.len() >= ANSWERED {
                    answered.sort_by_key(|(_, at)| *at);
                    answered.remove(0);
                }
                answered.push((host.to_owned(), now));
            }
        }
    }

    /// Another host answered a moment ago.
    pub(super) fn others_answer(&self, host: &str) -> bool {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.iter().any(|(other, at)| other != host && at.elapsed() < FRESH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_host_has_its_own_rate() {
        let hosts = Hosts::new(10);
        let begun = Instant::now();
        for _ in 0..5 {
            hosts.turn("a").await;
        }
        assert_eq!(begun.elapsed().as_millis(), 400);
        hosts.turn("b").await;
        assert_eq!(begun.elapsed().as_millis(), 400, "another host does not wait");
        for at in 0..5000 {
            hosts.turn(&format!("host-{at}")).await;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        hosts.turn("c").await;
        assert!(hosts.next.lock().unwrap().len() <= MANY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_is_away_alone_is_known_by_the_others() {
        let hosts = Hosts::new(0);
        hosts.answered("a");
        assert!(!hosts.others_answer("a") && hosts.others_answer("b"));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(!hosts.others_answer("b"));
    }
}
