//! pipelock's configuration: the keys a bottle needs, in strict mode.
//!
//! Its parser is strict: an unknown key anywhere is an error. It knows neither ports nor denials and has wildcards of its own,
//! so a bottle that says what pipelock cannot do is refused rather than weakened.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use claude_bottle_egress_policy::{DlpConfig, Effect, HostOrIp, HostPattern, Policy, Rule};
use serde::Serialize;

use crate::manifest::{Bottle, SshHost};

/// Where it reads the bottle's secrets, one a line: the backend writes them to its standard input, which is on no disk.
///
/// pipelock refuses a file that others may read, and so `/dev/null`: without an input that is its own it does not start.
const SECRETS: &str = "/dev/stdin";
/// The shortest value that is looked for, as the guard does; its own default is 16.
const SHORTEST_SECRET: usize = 8;
/// More than installing packages comes to. 0 stands for its own default, which is 60.
const REQUESTS_A_MINUTE: u32 = 1_000_000;
/// As much as the guard takes for a whole head; its own default is 2048.
const URL_LENGTH: usize = 64 * 1024;
/// A tunnel has no limit but this, which is a year, and as much silence as the guard allows. Its own are 300 s and 120 s.
const TUNNEL: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const IDLE: Duration = Duration::from_secs(900);
/// A port the kernel chooses, on the loopback that only pipelock has: on the proxy's port the bottle could read them.
const METRICS: &str = "127.0.0.1:0";

/// The headers that it does not look at: those of its own list that a proxy reads itself. A client fills the others as it likes.
const IGNORED_HEADERS: &[&str] = &[
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Te",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Host",
    "Content-Length",
];

/// Credentials that its own patterns do not know: their names, and how they look.
const MORE_PATTERNS: &[(&str, &str)] = &[
    ("OpenAI API Key (marked)", r"sk-[A-Za-z0-9_-]{20,74}T3BlbkFJ[A-Za-z0-9_-]{20,74}"),
    ("Slack Webhook", r"hooks\.slack\.com/(services|workflows|triggers)/[A-Za-z0-9+/]{43,56}"),
];

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
    fetch_proxy: FetchProxy,
    forward_proxy: ForwardProxy,
    dlp: Dlp,
    request_body_scanning: RequestBodyScanning,
    metrics_listen: &'static str,
}

#[derive(Serialize)]
struct Ssrf {
    ip_allowlist: BTreeSet<String>,
}

#[derive(Serialize)]
struct FetchProxy {
    monitoring: Monitoring,
}

#[derive(Serialize)]
struct Monitoring {
    max_url_length: usize,
    max_requests_per_minute: u32,
}

#[derive(Serialize)]
struct ForwardProxy {
    enabled: bool,
    max_tunnel_seconds: u64,
    idle_timeout_seconds: u64,
}

#[derive(Serialize)]
struct Dlp {
    include_defaults: bool,
    scan_env: bool,
    min_env_secret_length: usize,
    secrets_file: &'static str,
    patterns: Vec<Pattern>,
}

#[derive(Serialize)]
struct Pattern {
    name: &'static str,
    regex: &'static str,
    severity: &'static str,
}

#[derive(Serialize)]
struct RequestBodyScanning {
    enabled: bool,
    action: &'static str,
    scan_headers: bool,
    header_mode: &'static str,
    ignore_headers: &'static [&'static str],
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
        fetch_proxy: FetchProxy {
            monitoring: Monitoring { max_url_length: URL_LENGTH, max_requests_per_minute: REQUESTS_A_MINUTE },
        },
        forward_proxy: ForwardProxy {
            enabled: true,
            max_tunnel_seconds: TUNNEL.as_secs(),
            idle_timeout_seconds: IDLE.as_secs(),
        },
        dlp: dlp(),
        request_body_scanning: request_body_scanning(),
        metrics_listen: METRICS,
    };
    serde_yaml::to_string(&config).context("cannot write pipelock's configuration")
}

fn dlp() -> Dlp {
    let pattern = |&(name, regex)| Pattern { name, regex, severity: "critical" };
    Dlp {
        include_defaults: true,
        scan_env: true,
        min_env_secret_length: SHORTEST_SECRET,
        secrets_file: SECRETS,
        patterns: MORE_PATTERNS.iter().map(pattern).collect(),
    }
}

/// What is found in a header or a body is refused; its own default in every mode is to warn of it.
fn request_body_scanning() -> RequestBodyScanning {
    RequestBodyScanning {
        enabled: true,
        action: "block",
        scan_headers: true,
        header_mode: "all",
        ignore_headers: IGNORED_HEADERS,
    }
}

/// An SSH entry names a port of its own; pipelock restricts no port.
fn is_ssh(rule: &Rule) -> bool {
    rule.origin().starts_with("ssh entry ")
}

fn refuse_what_it_cannot_say(rule: &Rule, all: &[&Rule]) -> anyhow::Result<()> {
    if rule.effect() == Effect::Deny {
        bail!("pipelock has no denials, and the rule `{rule}` ({}) is one", rule.origin());
    }
    if rule.is_narrow() {
        bail!(
            "pipelock restricts no method and no path, and the rule `{rule}` ({}) names some",
            rule.origin()
        );
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
