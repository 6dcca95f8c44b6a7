//! From a source to tasks: parallel, resumable listing that believes no listing it has not checked.

pub(crate) mod ledger;
pub(crate) mod record;

use std::sync::Arc;

use conf::JobConf;
use storage::Source;
use tokio_util::sync::CancellationToken;

use ledger::{Ledger, Progress, ScanEnd, ScanError, ScanState};

/// Scans one round from `state` on, until everything is in tasks or `shutdown` is asked for. `existing` is
/// the destination's listing, where it saves asking for each object.
pub(crate) async fn run(
    job: &JobConf,
    source: Arc<dyn Source>,
    existing: Option<Arc<dyn Source>>,
    state: ScanState,
    ledger: Arc<dyn Ledger>,
    progress: Arc<Progress>,
    shutdown: CancellationToken,
) -> Result<ScanEnd, ScanError> {
    let _ = (job, source, existing, state, ledger, progress, shutdown);
    Err(ScanError::Internal("not built yet".into()))
}
