//! Files of the user's own, such as `~/.claude/CLAUDE.md`, in the agent's home.

use std::path::Path;

use claude_bottle_kit::agent_files::{Content, read};
use claude_bottle_plugin_api::Result;

use super::{Files, Task};
use crate::plan::USER_IDS;

/// Adds the files.
pub(super) fn add(task: &Task<'_>, files: &mut Files) -> Result<()> {
    let home = Path::new(task.home);
    for taken in read(&task.spec.agent, Some(USER_IDS))? {
        let parents: Vec<_> = Path::new(&taken.path).ancestors().skip(1).collect();
        for parent in parents.into_iter().rev().filter(|parent| !parent.as_os_str().is_empty()) {
            files.dir(home.join(parent), 0o700);
        }
        match taken.content {
            Content::File(content) => files.file(home.join(&taken.path), 0o600, content),
            Content::Tree(source, options) => files.tree(&source, home.join(&taken.path), options),
        }
    }
    Ok(())
}
