//! pipelock's configuration: the few keys a bottle needs, in strict mode.
//!
//! Its parser is strict: an unknown key anywhere is an error. It knows neither ports nor denials and has wildcards of its own,
//! so a bottle that says what pipelock cannot do is refused rather than weakened.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, bail};
use claude_bottle_egress_policy::{DlpConfig, Effect, HostOrIp, HostPattern, Policy, Rule};
use serde::Serialize;

use crate::manifest::{Bottle, SshHost};

/// The file, in the order pipelock's own documentation has the keys:
/// <https://github.com/luckyPipewrench/pipelock/blob/v2.3.0/docs/configuration.md>.
#[derive(Serialize)]
struct Config {
    version: u32,
    mode: &'static str,
    enforce: bool,
    api_allowlist: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    trusted_domains: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssrf: Option<Ssrf>,
    forward_proxy: ForwardProxy,
    dlp: Dlp,
}

#[derive(Serialize)]
struct Ssrf {
    ip_allowlist: BTreeSet<String>,
}

#[derive(Serialize)]
struct ForwardProxy {
    enabled: bool,
}

#[derive(Serialize)]
struct Dlp {
    include_defaults: bool,
    scan_env: bool,
}

/// Writes the configuration for a bottle and its policy.
pub(in crate::egress) fn config(policy: &Policy, bottle: &Bottle) -> anyhow::Result<String> {
    let own_rules: Vec<&Rule> = policy.rules.iter().filter(|rule| !is_ssh(rule)).collect();
    own_rules.iter().try_for_each(|rule| refuse_what_it_cannot_say(rule, &own_rules))?;
    refuse_the_guards_own(bottle)?;
    let names = bottle.ssh.iter().map(|entry| spelled(&entry.hostname));
    let ranges: BTreeSet<String> = bottle.ssh.iter().filter_map(range).collect();
    let config = Config {
        version: 1,
        mode: "strict",
        enforce: true,
        api_allowlist: own_rules.iter().map(|rule| host_of(rule)).chain(names).collect(),
        trusted_domains: bottle
            .ssh
            .iter()
            .filter_map(|entry| entry.hostname.name().map(ToString::to_string))
            .collect(),
        ssrf: (!ranges.is_empty()).then_some(Ssrf { ip_allowlist: ranges }),
        forward_proxy: ForwardProxy { enabled: true },
        dlp: Dlp { include_defaults: true, scan_env: true },
    };
    serde_yaml::to_string(&config).context("write pipelock's configuration")
}

/// An SSH entry names a port of its own; pipelock restricts no port.
fn is_ssh(rule: &Rule) -> bool {
    rule.origin().starts_with("ssh entry ")
}

fn refuse_what_it_cannot_say(rule: &Rule, all: &[&Rule]) -> anyhow::Result<()> {
    if rule.effect() == Effect::Deny {
        bail!("pipelock has no denials, and the rule `{rule}` ({}) is one", rule.origin());
    }
    if rule.port().is_some() {
        bail!("pipelock restricts no port, and the rule `{rule}` ({}) names one", rule.origin());
    }
    // <https://github.com/luckyPipewrench/pipelock/blob/v2.3.0/internal/scanner/scanner.go>, `MatchDomain`.
    if let HostPattern::Below(domain) = rule.pattern()
        && !all.iter().any(|other| host_of(other) == domain.to_string())
    {
        bail!(
            "pipelock's `{rule}` also allows `{domain}` itself, which no rule does ({}); add `{domain}` to allow both",
            rule.origin()
        );
    }
    Ok(())
}

fn refuse_the_guards_own(bottle: &Bottle) -> anyhow::Result<()> {
    if let Some(host) = bottle.egress.hosts.first() {
        bail!("pipelock knows no static addresses, and `hosts` names some ({})", host.origin);
    }
    if let Some(range) = bottle.egress.private.first() {
        bail!("pipelock grants no range to one host, and `private` does ({})", range.origin);
    }
    if bottle.egress.dlp != DlpConfig::default() {
        bail!("pipelock inspects by its own rules, and `dlp` is for the guard's ({})", bottle.origin);
    }
    Ok(())
}

fn host_of(rule: &Rule) -> String {
    match rule.pattern() {
        HostPattern::Exact(host) => spelled(host),
        HostPattern::Below(domain) => format!("*.{domain}"),
    }
}

/// Returns a host as pipelock compares it: an IPv6 address has no brackets.
fn spelled(host: &HostOrIp) -> String {
    match host {
        HostOrIp::Ip(address) => address.to_string(),
        HostOrIp::Name(name) => name.to_string(),
    }
}

/// Returns the address of an SSH host as a range of one; a name is trusted instead.
fn range(entry: &SshHost) -> Option<String> {
    match entry.hostname {
        HostOrIp::Ip(IpAddr::V4(address)) => Some(format!("{address}/32")),
        HostOrIp::Ip(IpAddr::V6(address)) => Some(format!("{address}/128")),
        HostOrIp::Name(_) => None,
    }
}

#[cfg(test)]
mod tests;
