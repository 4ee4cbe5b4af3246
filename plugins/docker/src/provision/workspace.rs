//! The working directory: copied into the bottle, so that nothing the agent does there reaches the host.

use claude_bottle_backend_shared::tree::{self, Links, Options};
use claude_bottle_plugin_api::{Failure, Result, Spec, Workspace};

use super::{Files, Task, git};
use crate::error::DockerError;
use crate::plan::USER_IDS;

/// How much is copied at most. It is there against sparse files, not against large projects.
const MAX_BYTES: u64 = 16 << 30;

/// Links are kept as they are: inside they point to the bottle's own files or to nothing.
pub(super) fn options(workspace: &Workspace) -> Options {
    Options {
        owner: USER_IDS,
        links: Links::Keep,
        exclude: workspace.exclude.iter().cloned().chain(git::replaced(workspace)).collect(),
        max_bytes: MAX_BYTES,
    }
}

/// Walks the directory and says how much there is.
pub(super) fn survey(spec: &Spec) -> Result<Option<String>> {
    let Some(workspace) = &spec.workspace else { return Ok(None) };
    let amount = tree::survey(&workspace.source, &options(workspace)).map_err(|source| {
        Failure::from(DockerError::CopyIn { source }).context("copy the working directory")
    })?;
    let kib = amount.bytes.div_ceil(1024);
    let size = if kib < 10 * 1024 { format!("{kib} KiB") } else { format!("{} MiB", kib / 1024) };
    Ok(Some(format!("a copy of {}, {} entries, {size}", workspace.source.display(), amount.entries)))
}

/// Adds the directory, empty when there is nothing to copy: it is where the agent starts.
pub(super) fn add(task: &Task<'_>, files: &mut Files) {
    match &task.spec.workspace {
        Some(workspace) => files.tree(&workspace.source, &task.workspace, options(workspace)),
        None => files.dir(&task.workspace, 0o755),
    }
}
