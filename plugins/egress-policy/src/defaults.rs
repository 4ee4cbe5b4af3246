//! The hosts every bottle may reach, because the default agent does not work without them.

use crate::rule::Rule;

/// Origin of the default rules.
pub const DEFAULT_ORIGIN: &str = "default";

/// Hosts that Claude Code needs: <https://code.claude.com/docs/en/network-config>.
pub const DEFAULT_ALLOWLIST: &[&str] = &[
    "api.anthropic.com",
    "statsig.anthropic.com",
    "sentry.io",
    "claude.ai",
    "platform.claude.com",
    "downloads.claude.ai",
    "raw.githubusercontent.com",
];

/// Returns the default allowlist as rules.
pub fn default_rules() -> Vec<Rule> {
    // The constant is tested to parse whole, so nothing is dropped here.
    DEFAULT_ALLOWLIST.iter().filter_map(|host| Rule::parse(host, DEFAULT_ORIGIN).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_rule() {
        let texts: Vec<String> = default_rules().iter().map(ToString::to_string).collect();
        assert_eq!(texts, DEFAULT_ALLOWLIST);
    }
}
