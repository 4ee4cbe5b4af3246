//! Skills: directories of the host, copied under their names into the agent's skills directory.

use std::path::Path;

use claude_bottle_kit::skills;
use claude_bottle_plugin_api::{Result, Spec};

use super::{Files, Task};
use crate::plan::USER_IDS;

/// Walks every skill, so that a hostile or missing one is refused before anything is made.
pub(super) fn survey(spec: &Spec) -> Result<Vec<(&'static str, String)>> {
    skills::survey(&spec.agent.skills)
}

/// Adds the skills.
pub(super) fn add(task: &Task<'_>, files: &mut Files) {
    if task.spec.agent.skills.is_empty() {
        return;
    }
    let parents = Path::new(&task.skills_dir).ancestors().take_while(|path| *path != Path::new(task.home));
    let mut parents: Vec<_> = parents.filter(|path| path.starts_with(task.home)).collect();
    parents.reverse();
    for parent in parents {
        files.dir(parent, 0o700);
    }
    for skill in &task.spec.agent.skills {
        files.tree(
            &skill.source,
            Path::new(&task.skills_dir).join(&skill.name),
            skills::options(Some(USER_IDS)),
        );
    }
}
