//! Whether a program was ended for lack of memory.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns `true` if the kernel killed something in a group for lack of memory.
pub(crate) fn was_out_of_memory(groups: &[PathBuf]) -> bool {
    let counts = |file: &Path| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
    };
    groups
        .iter()
        .any(|group| counts(&group.join("memory.events")) || counts(&group.join("memory.oom_control")))
}
