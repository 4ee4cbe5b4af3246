//! `egress` as it is written: rules, addresses, interception, inspection.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::egress::presets::PresetName;

/// What the agent may reach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "egress")]
pub(crate) struct Egress {
    /// Rules: `host`, `*.domain`, either with `:port`, or any of these after `deny `.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allowlist: Vec<String>,
    /// Hosts of registries and forges by name: `node`, `python`, `github`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) presets: Vec<PresetName>,
    /// Proxy that enforces the rules; `guard` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ProxyKind")]
    pub(crate) proxy: Option<ProxyKind>,
    /// Addresses of names, used instead of a lookup.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) hosts: BTreeMap<String, Addresses>,
    /// Private address ranges that named hosts may lie in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) private: Vec<Private>,
    /// Let a request to a host that no rule allows wait up to a minute for an answer from `claude-bottle watch` or
    /// `claude-bottle policy allow`, in place of refusing it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(crate) ask: Option<bool>,
    /// Inspection of what is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Dlp")]
    pub(crate) dlp: Option<Dlp>,
    /// HTTP proxy above the guard: `http://host:port`, `${NAME}` for a variable of the host, or `none`; `${HTTPS_PROXY}`
    /// unless given, where that is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    pub(crate) upstream_proxy: Option<String>,
    /// Whose HTTPS the guard looks into: `all` hosts', that of hosts for which a rule with methods or a path makes it
    /// `needed`, or `none`. `all` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Intercept")]
    pub(crate) intercept: Option<Intercept>,
    /// Hosts, or `*.domain`, whose HTTPS is never looked into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) passthrough: Vec<String>,
    /// Files with certificates in PEM, of authorities that the guard trusts for hosts besides those of this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) authorities: Vec<String>,
    /// Keep of each request that the guard sees its path, the names of its headers and of its answer's, and a few of their
    /// values: `claude-bottle logs --har` shows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(crate) capture: Option<bool>,
    /// How much may go up in one run, by host, `*.domain` or `*`: `{ "*": 1GiB, gist.github.com: 1MiB }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) upload_limit: BTreeMap<String, String>,
}

/// Whose HTTPS the guard looks into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Intercept {
    /// No host's.
    None,
    /// That of hosts for which a rule with methods or a path makes it needed.
    Needed,
    /// All hosts'.
    All,
}

/// Proxy of a bottle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyKind {
    /// claude-bottle's own egress guard.
    Guard,
    /// The pipelock image.
    Pipelock,
}

/// One address, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Addresses {
    /// One address.
    One(String),
    /// Several addresses, tried in this order.
    Several(Vec<String>),
}

/// Permission for one host to have addresses of one private range.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "private")]
pub(crate) struct Private {
    /// The host, spelled out.
    pub(crate) host: String,
    /// The range, such as `10.0.0.0/8`, or one address.
    pub(crate) range: String,
}

/// Inspection of what is sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "dlp")]
pub(crate) struct Dlp {
    /// What happens when one of this bottle's secrets is found; `block` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DlpAction")]
    pub(crate) secrets: Option<DlpAction>,
    /// What happens when a rule finds a credential; `block` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DlpAction")]
    pub(crate) rules: Option<DlpAction>,
    /// Hosts, or `*.domain`, that the rules do not look at. This bottle's secrets are still looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) exempt_hosts: Vec<String>,
    /// Names of rules that are switched off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) exempt_rules: Vec<String>,
    /// Further kinds of secrets that are looked for: `cards`, `accounts`, `wallets`, `jwts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<DlpKind>,
}

/// A kind of secret that is looked for only when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DlpKind {
    /// Numbers of payment cards, by their check digit.
    Cards,
    /// International bank account numbers, by their check digits.
    Accounts,
    /// Private keys of wallets.
    Wallets,
    /// JSON Web Tokens, outside of credential headers.
    Jwts,
}

/// What happens on a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DlpAction {
    /// The request is refused.
    Block,
    /// The request goes on, and the log says what was found.
    Warn,
}
