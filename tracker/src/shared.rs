//! What the server and the side towards the master share: the state behind one lock that is never held over
//! a wait, and the bells that are rung when it changed.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

use crate::state::State;

/// The state and its bells.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Tasks came, or it is time to look again.
    pub(crate) tasks: Notify,
    /// Workers ask for more than there is.
    pub(crate) demand: Notify,
    /// Leases are to be given back to the master.
    pub(crate) returns: Notify,
    /// How long a lease lives.
    pub(crate) lease: Duration,
}

impl Shared {
    pub(crate) fn new(lease: Duration, alone: bool) -> Self {
        let (tasks, demand, returns) = (Notify::new(), Notify::new(), Notify::new());
        Shared { state: Mutex::new(State::new(lease, alone)), tasks, demand, returns, lease }
    }

    /// The state; a panic elsewhere does not take the tracker down.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Changes the state; rings when leases have to go back.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (answer, returns) = {
            let mut state = self.state();
            (change(&mut state), !state.to_release().is_empty())
        };
        if returns {
            self.returns.notify_one();
        }
        answer
    }
}
