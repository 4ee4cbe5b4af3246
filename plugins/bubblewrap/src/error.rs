//! What can go wrong with a bottle that runs.

use claude_bottle_plugin_api::{Failure, FailureKind};

/// An error of this backend's own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BubblewrapError {
    /// A bottle does not run.
    #[error("the bottle `{name}` does not run")]
    ReachBottle { name: String },
    /// The bottle said no.
    #[error("the bottle refused: {reason}")]
    AskBottle { reason: String },
}

impl From<BubblewrapError> for Failure {
    fn from(error: BubblewrapError) -> Self {
        let kind = match error {
            BubblewrapError::ReachBottle { .. } => FailureKind::NotFound,
            BubblewrapError::AskBottle { .. } => FailureKind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}
