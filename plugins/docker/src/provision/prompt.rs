//! The prompt: a file in the agent's home, always written, its path handed on only when there is something in it.

use super::{Files, Task};

const FILE: &str = ".claude-bottle-prompt.txt";

/// Adds the prompt's file.
pub(super) fn add(task: &Task<'_>, files: &mut Files) {
    files.file(path(task), 0o600, task.spec.agent.prompt.as_bytes());
}

/// Returns the file's path when there is something in it.
pub(super) fn prompt_path(task: &Task<'_>) -> Option<String> {
    (!task.spec.agent.prompt.is_empty()).then(|| path(task))
}

fn path(task: &Task<'_>) -> String {
    format!("{}/{FILE}", task.home)
}
