//! What the two ends of one job cost on this worker: the requests of each side, by kind.

use std::sync::Arc;

use proto::v1;
use storage::meter::{Meter, RateLimits};

/// What both ends cost. The destination has a second one for what is read from it, so that bytes written and
/// bytes read back do not mix.
#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) source: Meter,
    pub(crate) destination: Meter,
    pub(crate) standing: Meter,
}

// === impl Meters ===

impl Meters {
    /// For both ends, under the same limits.
    pub(crate) fn new(limits: &Arc<RateLimits>) -> Self {
        let meter = || Meter::new(limits.clone());
        Meters { source: meter(), destination: meter(), standing: meter() }
    }

    /// One line for each side and kind.
    pub(crate) fn requests(&self) -> Vec<v1::RequestCount> {
        let mut lines: Vec<v1::RequestCount> = Vec::new();
        let sides =
            [("source", &self.source), ("destination", &self.destination), ("destination", &self.standing)];
        for (side, meter) in sides {
            for count in meter.counts() {
                let kind = count.kind.name();
                let known = lines.iter().position(|line| line.side == side && line.kind == kind);
                let at = known.unwrap_or_else(|| {
                    lines.push(v1::RequestCount {
                        side: side.to_owned(),
                        kind: kind.to_owned(),
                        ..v1::RequestCount::default()
                    });
                    lines.len() - 1
                });
                if let Some(line) = lines.get_mut(at) {
                    line.count += count.requests;
                    line.errors += count.errors;
                    line.throttled += count.throttled;
                }
            }
        }
        lines
    }
}
