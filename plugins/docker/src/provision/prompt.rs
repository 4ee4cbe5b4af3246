//! The prompt: a file in the agent's home, always written, its path handed on only when there is something in it.

use super::{Files, Task};

const FILE: &str = ".claude-bottle-prompt.txt";

/// Adds the prompt's file; returns its path when the prompt is not empty.
pub(super) fn add(task: &Task<'_>, files: &mut Files) -> Option<String> {
    let (path, prompt) = (format!("{}/{FILE}", task.home), &task.spec.agent.prompt);
    files.file(&path, 0o600, prompt.as_bytes());
    (!prompt.is_empty()).then_some(path)
}
