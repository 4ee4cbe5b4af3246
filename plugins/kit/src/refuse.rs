//! What a backend refuses of a run before it looks at anything else.

use claude_bottle_plugin_api::{Failure, FailureKind, Proxy, Result, Spec};

/// Refuses an agent without a program.
///
/// # Errors
/// Fails when the agent's command is empty.
pub fn empty_command(spec: &Spec) -> Result<()> {
    match spec.agent.command.is_empty() {
        true => Err(Failure::new(FailureKind::Invalid, "the agent's command is empty")),
        false => Ok(()),
    }
}

/// Refuses any proxy but the guard, for the backend of this name.
///
/// # Errors
/// Fails when the bottle wants another one.
pub fn other_proxies(spec: &Spec, backend: &str) -> Result<()> {
    match spec.bottle.egress.proxy {
        Proxy::Guard => Ok(()),
        _ => {
            let message = format!("the {backend} backend has no proxy but the guard");
            Err(Failure::new(FailureKind::Unsupported, message)
                .hint("set bottles.<name>.egress.proxy to guard")
                .hint("use CLAUDE_BOTTLE_BACKEND=docker"))
        }
    }
}
