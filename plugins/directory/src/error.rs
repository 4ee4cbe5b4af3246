//! What can go wrong with a bottle that runs.

use claude_bottle_plugin_api::{Failure, FailureKind};

/// An error of a bottle that runs, or does not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
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
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        let kind = match error {
            DirectoryError::ReachBottle { .. } => FailureKind::NotFound,
            DirectoryError::AskBottle { .. } => FailureKind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}
