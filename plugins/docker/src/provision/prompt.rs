//! The prompt: a file in the agent's home, always written, its path handed on only when there is something in it.
//!
//! Process 1 writes it, as it does what else is small: an archive for it alone would cost a start more than the rest of it.

use bottle_guest::protocol::SetupFile;
use claude_bottle_kit::home::PROMPT;

use super::Task;

/// Returns the prompt's file. A home that an earlier bottle left has the one of that.
pub(super) fn file(home: &str, prompt: &str) -> SetupFile {
    SetupFile { path: path(home), content: prompt.to_owned(), replaces: true }
}

/// Returns the file's path when there is something in it.
pub(super) fn prompt_path(task: &Task<'_>) -> Option<String> {
    (!task.spec.agent.prompt.is_empty()).then(|| path(task.home))
}

fn path(home: &str) -> String {
    format!("{home}/{PROMPT}")
}
