//! git: what it knows of the user's, and the repository's own data where that is elsewhere, in a worktree or submodule.

use std::path::Path;

use claude_bottle_kit::git as shared;
use claude_bottle_plugin_api::Result;

use super::{Files, Task, workspace};

/// Adds what git inside knows of the user's.
fn add_settings(task: &Task<'_>, files: &mut Files) {
    let settings = shared::files(task.spec);
    if settings.is_empty() {
        return;
    }
    let home = Path::new(task.home);
    files.dir(home.join(".config"), 0o700);
    files.dir(home.join(shared::DIRECTORY), 0o700);
    for (name, content) in settings {
        files.file(home.join(shared::DIRECTORY).join(name), 0o600, content);
    }
}

/// Adds the repository's data where it is not in the working directory; later entries of an archive win.
pub(super) fn add(task: &Task<'_>, files: &mut Files) -> Result<()> {
    add_settings(task, files);
    let Some(workspace) = &task.spec.workspace else { return Ok(()) };
    let Some(repository) = workspace::checkout(workspace)?.repository else { return Ok(()) };
    let target = Path::new(&task.place.root).join(".git");
    for (source, options) in repository.trees {
        files.tree(&source, &target, options);
    }
    for (path, content) in repository.files {
        files.file(Path::new(&task.place.root).join(path), 0o644, content);
    }
    Ok(())
}
