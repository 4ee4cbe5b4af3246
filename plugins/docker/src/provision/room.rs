//! Room for what comes in place of something: an image of the user's own may have some of the same names.

use claude_bottle_plugin_api::Result;
use zeroize::Zeroizing;

use super::{Command, Guest, Task};

/// Returns `true` if something of the image may have to go first.
pub(super) fn is_needed(task: &Task<'_>) -> bool {
    let agent = &task.spec.agent;
    task.spec.bottle.image.is_some() && !(agent.skills.is_empty() && agent.files.is_empty())
}

/// Removes what the image has under the names of the skills and the user's files.
pub(super) async fn make(guest: &impl Guest, task: &Task<'_>) -> Result<()> {
    let agent = &task.spec.agent;
    let skills = agent.skills.iter().map(|skill| format!("{}/{}", task.skills_dir, skill.name));
    let files = agent.files.iter().map(|file| format!("{}/{}", task.home, file.path));
    let words = ["remove".to_owned()].into_iter().chain(skills).chain(files).collect();
    let action = "make room for skills and files";
    guest.run(Command { action, words, input: Zeroizing::default(), root: false }).await.map(drop)
}
