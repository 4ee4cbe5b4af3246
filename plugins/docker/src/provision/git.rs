//! The repository's own data, when the working directory is copied and the data is elsewhere: in a worktree or submodule.

use std::path::Path;

use claude_bottle_plugin_api::Result;

use super::{Files, Task, workspace};

/// Adds the repository's data where it is not in the working directory; later entries of an archive win.
pub(super) fn add(task: &Task<'_>, files: &mut Files) -> Result<()> {
    let Some(workspace) = &task.spec.workspace else { return Ok(()) };
    let Some(repository) = workspace::checkout(workspace)?.repository else { return Ok(()) };
    let target = Path::new(&task.workspace).join(".git");
    for (source, options) in repository.trees {
        files.tree(&source, &target, options);
    }
    files.file(target.join("config"), 0o644, repository.config);
    Ok(())
}
