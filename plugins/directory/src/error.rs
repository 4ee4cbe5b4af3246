//! What can go wrong with a bottle that runs.

use claude_bottle_plugin_api::{Failure, FailureKind};

/// An error of a bottle that runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// What the agent's command names is not there.
    #[error("the agent's program `{program}` is not in the bottle")]
    NoProgram {
        /// The program's name.
        program: String,
    },
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        Self::new(FailureKind::Missing, error.to_string())
            .hint("set `command` of the agent to a program that is there")
    }
}
