//! How what is sent is inspected.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::rule::HostPattern;

/// What happens on a finding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DlpAction {
    /// The request is refused.
    #[default]
    Block,
    /// The request goes on, and the log says what was found.
    Warn,
}

/// A kind of secret that is looked for when it is asked for, since it fits an ordinary request now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DlpKind {
    /// Numbers of payment cards, by their check digit.
    Cards,
    /// International bank account numbers, by their check digits.
    Accounts,
    /// Private keys of wallets.
    Wallets,
    /// JSON Web Tokens, outside of credential headers.
    Jwts,
}

impl DlpKind {
    /// Every kind, in the order of its name in the configuration.
    pub const ALL: [(&'static str, Self); 4] = [
        ("cards", Self::Cards),
        ("accounts", Self::Accounts),
        ("wallets", Self::Wallets),
        ("jwts", Self::Jwts),
    ];
}

/// Inspection of what the guard can see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DlpConfig {
    /// What happens when one of this bottle's secrets is found.
    pub secrets: DlpAction,
    /// What happens when a rule of the credential rule set matches.
    pub rules: DlpAction,
    /// File with the bottle's secrets, a JSON list; `/proc/self/fd/N` reads an inherited descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets_file: Option<PathBuf>,
    /// Environment variable that holds the same JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets_env: Option<String>,
    /// Hosts whose requests the rule set does not look at. Secrets of the bottle are still looked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exempt_hosts: Vec<HostPattern>,
    /// Hosts of models. A conversation is sent to them again with each request, so a secret in the body of one is masked in place
    /// of being refused, and what fits a rule is a warning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model_hosts: Vec<HostPattern>,
    /// Names of rules that are switched off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exempt_rules: Vec<String>,
    /// Further kinds of secrets that are looked for; a finding is treated as `rules` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<DlpKind>,
}
