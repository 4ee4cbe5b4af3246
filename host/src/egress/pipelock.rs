//! pipelock's configuration, for those who run it in the guard's place.
//!
//! Its parser is strict: an unknown key anywhere is an error. It knows neither ports nor denials, so a policy that
//! has either is refused rather than weakened.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use claude_bottle_egress_policy::{Effect, HostOrIp, HostPattern, Policy, Rule};
use serde::Serialize;

use crate::manifest::SshHost;

/// The file, in the order pipelock's own documentation has the keys.
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

/// Writes the configuration for a policy.
pub(super) fn config(policy: &Policy, ssh: &[SshHost]) -> anyhow::Result<String> {
    let own_rules = policy.rules.iter().filter(|rule| !is_ssh(rule));
    own_rules.clone().try_for_each(refuse_what_it_cannot_say)?;
    if !policy.hosts.is_empty() {
        bail!("pipelock knows no static addresses, and the bottle's egress names some under `hosts`");
    }
    let names = ssh.iter().map(|entry| entry.hostname.to_string());
    let ranges = ssh.iter().filter_map(|entry| match entry.hostname {
        HostOrIp::Ip(address) if address.is_ipv4() => Some(format!("{address}/32")),
        _ => None,
    });
    let ranges: BTreeSet<String> = ranges.collect();
    let config = Config {
        version: 1,
        mode: "strict",
        enforce: true,
        api_allowlist: own_rules.map(host_of).chain(names).collect(),
        trusted_domains: ssh
            .iter()
            .filter_map(|entry| entry.hostname.name().map(ToString::to_string))
            .collect(),
        ssrf: (!ranges.is_empty()).then_some(Ssrf { ip_allowlist: ranges }),
        forward_proxy: ForwardProxy { enabled: true },
        dlp: Dlp { include_defaults: true, scan_env: true },
    };
    serde_yaml::to_string(&config).context("write pipelock's configuration")
}

/// An SSH entry names a port of its own; pipelock restricts no port, and the plan says so.
fn is_ssh(rule: &Rule) -> bool {
    rule.origin().starts_with("ssh entry ")
}

fn refuse_what_it_cannot_say(rule: &Rule) -> anyhow::Result<()> {
    if rule.effect() == Effect::Deny {
        bail!("pipelock has no denials, and the rule `{rule}` ({}) is one", rule.origin());
    }
    if rule.port().is_some() {
        bail!("pipelock restricts no port, and the rule `{rule}` ({}) names one", rule.origin());
    }
    Ok(())
}

fn host_of(rule: &Rule) -> String {
    match rule.pattern() {
        HostPattern::Exact(host) => host.to_string(),
        HostPattern::Below(domain) => format!("*.{domain}"),
    }
}
