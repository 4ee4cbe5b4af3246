//! What makes Claude Code start straight into its prompt in a fresh home, instead of asking what the bottle answers already.
//!
//! Measured with Claude Code 2.1: without these it checks the connection to hosts which the policy may not allow, and then
//! asks for a theme, for trust in the directory and for the acceptance of running without permission prompts, all of which
//! starting the bottle has said.

use serde_json::json;

/// Returns files of the agent's home by their paths in it, with their contents, for a home in which they are not there yet.
pub fn onboarding(workspace: &str) -> [(&'static str, String); 2] {
    let state = json!({
        "hasCompletedOnboarding": true,
        "projects": { workspace: { "hasTrustDialogAccepted": true } },
    });
    let settings = json!({ "skipDangerousModePermissionPrompt": true });
    [(".claude.json", state.to_string()), (".claude/settings.json", settings.to_string())]
}
