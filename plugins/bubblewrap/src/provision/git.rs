//! The repository's own data, when the working directory is copied and the data is elsewhere: in a worktree or submodule.

use claude_bottle_backend_shared::workspace::checkout;
use claude_bottle_plugin_api::Result;

use super::Guest;
use crate::guest::WORKSPACE;
use crate::tree;

/// Puts the repository together in the workspace.
pub(super) fn provision(guest: &Guest<'_>) -> Result<()> {
    let state = guest.state;
    let Some(workspace) = &state.spec.workspace else { return Ok(()) };
    let found = checkout(workspace, state.drop_to.map(|id| (id, id)), u64::MAX)?;
    let Some(repository) = found.repository else { return Ok(()) };
    let git = format!("{WORKSPACE}/.git");
    for (source, options) in &repository.trees {
        tree::copy(guest.call, source, &guest.outside(&git), options, |_| {})?;
    }
    guest.write(&format!("{git}/config"), repository.config.as_bytes(), 0o644)
}
