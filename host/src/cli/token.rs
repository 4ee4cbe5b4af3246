//! Whether Claude Code finds what it logs in with, as far as the manifest and the environment say.

use super::App;
use crate::egress::API_CREDENTIALS;
use crate::manifest::{Agent, Manifest};

/// Switches by which Claude Code takes its credentials from elsewhere: <https://code.claude.com/docs/en/env-vars>.
const ELSEWHERE: [&str; 3] = ["CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"];
/// What comes of a missing token.
pub(super) const CONSEQUENCE: &str = "Claude Code asks for a login in each bottle, and with --print it fails";
/// What to do about it.
pub(super) const REMEDY: &str = "claude setup-token, then: export CLAUDE_BOTTLE_OAUTH_TOKEN=TOKEN";

/// Returns `true` if an agent runs Claude Code, and nothing that it could log in with comes along.
pub(super) fn is_missing(app: &App, manifest: &Manifest, agent: &Agent) -> bool {
    let Some(bottle) = manifest.bottle(agent.bottle.as_str()) else { return false };
    let is_known = |name: &str| API_CREDENTIALS.contains(&name) || ELSEWHERE.contains(&name);
    let is_granted = bottle.env.iter().any(|entry| is_known(entry.name.as_str()));
    agent.is_claude() && !is_granted && app.invocation.token().is_none()
}

/// Says in a plan that a token is missing.
pub(super) fn note(app: &App, manifest: &Manifest, agent: &Agent) -> Option<String> {
    is_missing(app, manifest, agent).then(|| format!("no token: {CONSEQUENCE}; {REMEDY}"))
}
