//! The files with which Claude Code starts straight into its prompt, in the fresh home.

use claude_bottle_kit::{approved_key, onboarding};
use claude_bottle_plugin_api::Result;

use super::Guest;

/// Writes the files, where none are yet.
pub(super) fn provision(guest: &Guest<'_>) -> Result<()> {
    guest.make_dirs(".claude", 0o700)?;
    let approved = approved_key(&guest.state.spec, guest.call)?;
    let approved = approved.as_ref().map(|end| end.as_str());
    for (path, content) in onboarding(&crate::plan::place(&guest.state.spec, &guest.state.home), approved) {
        if guest.outside(path).symlink_metadata().is_err() {
            guest.write(path, content.as_bytes(), 0o600)?;
        }
    }
    Ok(())
}
