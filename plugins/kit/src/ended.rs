//! What is said of a program whose bottle ended under it.

use claude_bottle_plugin_api::{Failure, FailureKind};

/// Returns the failure of a program that ended with its bottle: somebody closed it, or its own process has ended.
pub fn closed(program: &str) -> Failure {
    Failure::new(
        FailureKind::NotFound,
        format!("run `{program}`: the bottle was closed, or has ended by itself"),
    )
}
