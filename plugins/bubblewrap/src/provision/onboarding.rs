//! What makes Claude Code start straight into its prompt in a fresh home, instead of asking what the bottle answers already.
//!
//! Without these it asks for a theme, for trust in the directory and for the acceptance of running without permission
//! prompts, all of which starting the bottle has said.

use claude_bottle_plugin_api::Result;
use serde_json::json;

use super::Guest;

/// Writes the files, where none are yet.
pub(super) fn provision(guest: &Guest<'_>) -> Result<()> {
    let state = json!({
        "hasCompletedOnboarding": true,
        "projects": { guest.home().workspace(): { "hasTrustDialogAccepted": true } },
    });
    let settings = json!({ "skipDangerousModePermissionPrompt": true });
    guest.make_dirs(".claude", 0o700)?;
    for (path, content) in [(".claude.json", state), (".claude/settings.json", settings)] {
        if guest.outside(path).symlink_metadata().is_err() {
            guest.write(path, content.to_string().as_bytes(), 0o600)?;
        }
    }
    Ok(())
}
