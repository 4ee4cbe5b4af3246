//! The only way to a bottle's removal: its work is saved, or there is a reason why nothing is.

use claude_bottle_plugin_api::{Bottle, Failure};

use crate::run::backend::{Backend, Verb};
use crate::run::ending::Safe;

/// Why a bottle is closed and nothing of it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing was copied in, the backend cannot bring it out, or the user said so when it was started.
    NothingToSave,
    /// It was closed before the agent ran.
    NeverRan,
    /// The user gives the work up.
    GivenUp,
}

/// Closes a bottle whose work is in the store.
pub fn saved(backend: &Backend, bottle: Bottle, _: &Safe) -> Result<(), Failure> {
    close(backend, bottle)
}

/// Closes a bottle, and what its agent did goes with it.
pub fn without_saving(backend: &Backend, bottle: Bottle, reason: Reason) -> Result<(), Failure> {
    tracing::debug!(?reason, "close without saving");
    close(backend, bottle)
}

fn close(backend: &Backend, bottle: Bottle) -> Result<(), Failure> {
    backend.call_through(Verb::CLOSE, move |opened, call| opened.close(call, &bottle))
}
