//! What an agent's program says by itself, to its vendor's services of telemetry and error reports: refused like any other host that no rule
//! allows, and counted apart, so that a summary of what the agent was refused says what the agent wanted.
//!
//! Only hosts that do nothing else are here. `github.com` and registries are not, since an agent may want them itself.

/// Hosts that Claude Code 2.1 asks for unasked when its non-essential traffic is on.
const HOSTS: [&str; 4] = [
    "http-intake.logs.us5.datadoghq.com",
    "o1158394.ingest.us.sentry.io",
    "sentry.io",
    "statsig.anthropic.com",
];

/// Returns `true` if an agent's program asks for this host by itself.
pub(super) fn is_own(host: &str) -> bool {
    HOSTS.contains(&host)
}
