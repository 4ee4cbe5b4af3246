//! SSH: keys the agent can use and cannot read.

use claude_bottle_plugin_api::{Failure, FailureKind, Result, Spec};

use super::{Files, Guest, Task};

/// Checks the keys on the host.
pub(super) fn survey(spec: &Spec) -> Result<()> {
    if spec.bottle.ssh.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(FailureKind::Unsupported, "ssh is not there yet"))
    }
}

/// Adds the agent's ssh settings.
pub(super) fn add(_task: &Task<'_>, _files: &mut Files) -> Result<()> {
    Ok(())
}

/// Starts the agent that holds the keys.
pub(super) async fn start(_guest: &impl Guest, _task: &Task<'_>) -> Result<()> {
    Ok(())
}
