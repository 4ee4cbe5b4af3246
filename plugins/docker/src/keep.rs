//! keep: all that the engine has of a halted bottle goes, but for the volumes with what the agent left.

use claude_bottle_kit::cleanup::joined;
use claude_bottle_kit::host_guard::HostGuards;
use claude_bottle_plugin_api::{Bottle, Failure, FailureKind, Result};

use crate::engine::Engine;
use crate::export;
use crate::launch::undo::sweep_but;
use crate::plan::BottleState;
use crate::pruned;
use crate::volumes;

/// Removes containers and networks, and the volume with the guard's socket. The rest is read through a container that stands in.
pub(crate) async fn keep(engine: &impl Engine, guards: &HostGuards, bottle: &Bottle) -> Result<()> {
    export::halt(engine, guards, bottle).await?;
    let state: BottleState = bottle.state()?;
    // Without its image nothing could stand in for the container.
    if state.image.is_none() || !pruned::remains(engine, &state).await? {
        let message = format!("the bottle `{}` has no volume that could be kept", bottle.name);
        return Err(Failure::new(FailureKind::Unsupported, message));
    }
    let failures = sweep_but(engine, &state.selector(), &volumes::names(&state.id)).await;
    joined(failures.into_iter().chain(guards.end(&state.id).err()))
}
