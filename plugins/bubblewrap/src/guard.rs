//! The guard: the bottle's only way out, in a sandbox that has the network and nothing else.

use claude_bottle_directory::{RunDir, Store, close};
use claude_bottle_kit::host_guard::{self, HostGuard, Starting};
use claude_bottle_plugin_api::{Bottle, Call, ReloadRequest, Reloaded, Result};

use crate::plan::Planned;

/// Starts a guard. The bottle's programs have its own user.
pub(crate) fn start(call: &Call, state: &Planned, dir: &RunDir) -> Result<Starting> {
    HostGuard { spec: &state.spec, bwrap: &state.bwrap, dir: &dir.path, access: None }.start(call)
}

/// Gives the guard of a bottle that runs another policy, or another value for a secret.
pub(crate) fn reload(
    call: &Call,
    bottles: &Store,
    bottle: &Bottle,
    request: &ReloadRequest,
) -> Result<Reloaded> {
    let (dir, record) = close::existing(bottles, bottle)?;
    host_guard::reload(call, &dir.path, &record.name, request)
}
