//! The working directory: copied into the bottle, so that nothing the agent does there reaches the host.

use std::path::Path;

use claude_bottle_kit::tree::{self, Amount};
use claude_bottle_kit::workspace::{self, Checkout, facts};
use claude_bottle_plugin_api::{Failure, Result, Spec, Workspace};

use super::{Files, Surveyed, Task};
use crate::plan::USER_IDS;

/// How much is copied at most. It is there against sparse files, not against large projects.
const MAX_BYTES: u64 = 16 << 30;
/// What an entry costs in an archive: its header, and half of another for the end of its last block.
const HEADER: u64 = 768;

/// Looks at the directory: what comes along, and where its repository is.
pub(super) fn checkout(workspace: &Workspace) -> Result<Checkout> {
    let found = workspace::checkout(workspace, Some(USER_IDS), MAX_BYTES);
    found.map_err(|error| Failure::from(error).context("cannot copy the working directory"))
}

/// Walks the directory and its repository, and says how much there is.
pub(super) fn survey(spec: &Spec) -> Result<Surveyed> {
    let Some(workspace) = &spec.workspace else { return Ok(Surveyed::default()) };
    let checkout = checkout(workspace)?;
    let refuse = |error| {
        Failure::from(workspace::WorkspaceError::from(error)).context("cannot copy the working directory")
    };
    let found = tree::survey(&workspace.source, &checkout.options).map_err(refuse)?;
    let mut bytes = in_archive(found.amount);
    for (source, options) in checkout.repository.iter().flat_map(|repository| &repository.trees) {
        bytes += in_archive(tree::survey(source, options).map_err(refuse)?.amount);
    }
    Ok(Surveyed { facts: facts(&found), bytes })
}

/// Returns about how long an archive of this will be.
fn in_archive(amount: Amount) -> u64 {
    amount.bytes.saturating_add(amount.entries.saturating_mul(HEADER))
}

/// Adds the directory, empty when there is nothing to copy: it is where the agent starts. Images of this plug-in's own have it.
pub(super) fn add(task: &Task<'_>, files: &mut Files) -> Result<()> {
    if task.spec.workspace.is_none() && task.has_place {
        return Ok(());
    }
    // The engine makes the directories on the way, for root; in the home they are the agent's.
    let above =
        Path::new(&task.place.root).ancestors().skip(1).take_while(|path| *path != Path::new(task.home));
    let mut above: Vec<_> = above.filter(|path| path.starts_with(task.home)).collect();
    above.reverse();
    above.into_iter().for_each(|path| files.dir(path, 0o755));
    match &task.spec.workspace {
        Some(workspace) => {
            if let Some(index) = &workspace.index {
                files.index(index, &task.place.root);
            }
            files.tree(&workspace.source, &task.place.root, checkout(workspace)?.options);
        }
        None => files.dir(&task.place.root, 0o755),
    }
    Ok(())
}
