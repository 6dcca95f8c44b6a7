//! What all jobs of one worker share: memory and slots.

use std::sync::Arc;

use conf::SysConf;
use tokio::sync::Semaphore;

use crate::budget::Budget;

/// What all jobs of one worker share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) budget: Budget,
    pub(crate) name: String,
    pub(crate) task_threads: usize,
    pub(crate) slots: Arc<Semaphore>,
}

// === impl Engine ===

impl Engine {
    /// For the worker `name`.
    pub(crate) fn new(conf: &SysConf, name: &str) -> Self {
        let task_threads = (conf.task_threads as usize).clamp(1, Semaphore::MAX_PERMITS);
        Engine {
            budget: Budget::new(crate::memory::object_data(conf.memory_limit)),
            name: name.to_owned(),
            task_threads,
            slots: Arc::new(Semaphore::new(task_threads)),
        }
    }
}
