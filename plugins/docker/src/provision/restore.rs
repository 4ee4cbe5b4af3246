//! What an earlier bottle left: the last of the archive, over the copy of the working directory and over the home.

use claude_bottle_kit::restore::Restored;
use claude_bottle_plugin_api::{Failure, Result};

use super::files::Laid;
use super::{Files, Task};
use crate::plan::USER_IDS;

/// Adds what is laid over the rest.
pub(super) fn add(task: &Task<'_>, files: &mut Files) -> Result<()> {
    let spec = task.spec;
    let restored = Restored::read(spec.restore.as_ref(), &spec.agent, &task.place, task.home)
        .map_err(|error| Failure::from(error).context("cannot go on from an earlier bottle"))?;
    files.laid = restored.map(|restored| Laid {
        restored,
        workspace: task.place.root.as_str().into(),
        home: task.home.into(),
        owner: USER_IDS,
    });
    Ok(())
}
