//! The prompt, in a file of the agent's home.

use claude_bottle_kit::home::PROMPT;
use claude_bottle_plugin_api::Result;

use super::Guest;

/// Writes the prompt, and returns its path inside when it is not empty.
pub(super) fn provision(guest: &Guest<'_>) -> Result<Option<String>> {
    let prompt = &guest.spec.agent.prompt;
    guest.write(PROMPT, prompt.as_bytes(), 0o600)?;
    Ok((!prompt.is_empty()).then(|| guest.home.join(PROMPT)))
}
