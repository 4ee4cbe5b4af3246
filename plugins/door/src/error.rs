//! What can go wrong at a door.

use claude_bottle_plugin_api::{Failure, FailureKind};

/// An error of a bottle that runs, or does not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DoorError {
    /// A bottle does not run.
    #[error("the bottle `{name}` does not run")]
    ReachBottle {
        /// Its name.
        name: String,
    },
    /// The bottle said no.
    #[error("the bottle refused: {reason}")]
    AskBottle {
        /// Why.
        reason: String,
    },
    /// Another process than the bottle's own came for the door.
    #[error("a process that is not the bottle's asked for its door")]
    Stranger,
    /// Nothing came for it.
    #[error("the bottle's own process does not ask for its door")]
    Silent,
}

impl From<DoorError> for Failure {
    fn from(error: DoorError) -> Self {
        let kind = match error {
            DoorError::ReachBottle { .. } => FailureKind::NotFound,
            DoorError::AskBottle { .. } => FailureKind::Internal,
            DoorError::Stranger => FailureKind::Denied,
            DoorError::Silent => FailureKind::Timeout,
        };
        Self::new(kind, error.to_string())
    }
}
