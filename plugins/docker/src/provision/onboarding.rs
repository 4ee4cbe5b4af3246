//! What makes Claude Code start straight into its prompt in a fresh home, instead of asking what the bottle answers already.
//!
//! Measured with Claude Code 2.1: without these it asks for a theme, for trust in the directory and for the acceptance of
//! running without permission prompts, all of which starting the bottle has said.

use serde_json::json;

/// Returns the files and their contents, for a home in which they are not there yet.
pub(super) fn files(home: &str, workspace: &str) -> Vec<(String, String)> {
    let state = json!({
        "hasCompletedOnboarding": true,
        "projects": { workspace: { "hasTrustDialogAccepted": true } },
    });
    let settings = json!({ "skipDangerousModePermissionPrompt": true });
    vec![
        (format!("{home}/.claude.json"), state.to_string()),
        (format!("{home}/.claude/settings.json"), settings.to_string()),
    ]
}
