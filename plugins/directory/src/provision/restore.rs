//! What an earlier bottle left, laid over the copy of the working directory and over the home.

use claude_bottle_kit::restore::{Places, Restored};
use claude_bottle_plugin_api::{Failure, Result};

use super::Guest;
use crate::layout::{self, HOME};

/// Restores everything, after all other files are in place.
pub(super) fn provision(guest: &Guest<'_>) -> Result<()> {
    let refused = |error| Failure::from(error).context("cannot go on from an earlier bottle");
    let spec = guest.spec;
    let place = layout::place(spec, guest.home);
    let read = Restored::read(spec.restore.as_ref(), &spec.agent, &place, &guest.home.path);
    let Some(restored) = read.map_err(refused)? else { return Ok(()) };
    let step = guest.call.step("restore", "putting back what the earlier bottle left");
    let (workspace, home) = (guest.dir.join(&layout::workspace(spec, guest.home).0), guest.dir.join(HOME));
    let owner = guest.owner().map(|id| (id, id));
    restored.lay(Places { workspace: &workspace, home: &home }, owner).map_err(refused)?;
    step.done();
    Ok(())
}
