//! The effective egress policy of a bottle, and the proxy's configuration made from it.
//!
//! Effective = defaults ∪ the bottle's own rules ∪ the hosts of its SSH entries. The policy is pure data with one
//! decision function, shared with the guard, so `policy check` and the guard cannot disagree.

pub mod amend;
mod chatter;
pub mod decision;
pub mod live;
mod pipelock;
pub mod presets;
mod secrets;
pub mod summary;
pub mod upstream;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context;
use claude_bottle_egress_policy::{
    Effect, GuardConfig, HostOrIp, Listen, Policy, PrivateGrant, Rule, SshServer, default_rules,
    special_purpose,
};
use claude_bottle_plugin_api::{EgressSpec, Proxy};

use crate::environment::Invocation;
use crate::manifest::{Bottle, ProxyKind, SshHost};

pub use secrets::{API_CREDENTIALS, secret_specs};

/// The port a bottle's proxy listens on unless the user says otherwise.
pub const DEFAULT_PORT: u16 = 8888;

/// Returns what a bottle may reach, each rule with where it came from.
pub fn effective_policy(bottle: &Bottle) -> anyhow::Result<Policy> {
    let mut policy = Policy { rules: default_rules(), ..Policy::default() };
    policy.rules.extend(bottle.egress.rules.iter().cloned());
    for entry in &bottle.ssh {
        policy.rules.push(ssh_rule(entry)?);
        policy.private.extend(ssh_grant(entry));
        // A forge offers SSH on 443 to those whose firewall lets nothing else through.
        policy.ssh.push(SshServer { host: entry.hostname.clone(), port: entry.port });
    }
    policy.hosts =
        bottle.egress.hosts.iter().map(|entry| (entry.host.clone(), entry.addresses.clone())).collect();
    policy.private.extend(bottle.egress.private.iter().map(|entry| entry.grant.clone()));
    Ok(policy)
}

/// Allows the one port of an SSH host.
fn ssh_rule(entry: &SshHost) -> anyhow::Result<Rule> {
    let target = match &entry.hostname {
        HostOrIp::Ip(IpAddr::V6(address)) => format!("[{address}]:{}", entry.port),
        other => format!("{other}:{}", entry.port),
    };
    Rule::parse(&target, format!("ssh entry `{}`, {}", entry.host, entry.origin))
        .with_context(|| format!("cannot allow the ssh host `{}`", entry.host))
}

/// Grants a private address that an SSH entry spells out.
fn ssh_grant(entry: &SshHost) -> Option<PrivateGrant> {
    let HostOrIp::Ip(address) = entry.hostname else { return None };
    special_purpose(address)?;
    Some(PrivateGrant { host: entry.hostname.clone(), range: address.into() })
}

/// Returns the hosts a policy allows, for people: sorted, without duplicates, a port only when a rule names one.
pub fn allowed_hosts(policy: &Policy) -> Vec<String> {
    let allowed = policy.rules.iter().filter(|rule| rule.effect() == Effect::Allow);
    allowed.map(ToString::to_string).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Chooses the proxy: the manifest's word wins, then a pipelock image named in the environment, then the guard.
pub fn choose_proxy(bottle: &Bottle, pipelock_image: Option<&str>) -> Proxy {
    match (bottle.egress.proxy, pipelock_image) {
        (Some(ProxyKind::Pipelock), _) | (None, Some(_)) => Proxy::Pipelock,
        (Some(ProxyKind::Guard), _) | (None, None) => Proxy::Guard,
    }
}

/// What a run's way out is made of. Found once, so that the spec, the secrets and the record agree.
pub struct Egress {
    /// The bottle's proxy.
    pub proxy: Proxy,
    /// What it allows.
    pub policy: Policy,
    /// The proxy above it.
    pub upstream: Option<upstream::Found>,
}

impl Egress {
    /// Finds it, with what the environment says about it.
    pub fn find(invocation: &Invocation, bottle: &Bottle) -> anyhow::Result<Self> {
        let proxy = choose_proxy(bottle, invocation.setting("PIPELOCK_IMAGE"));
        let upstream = upstream::of(bottle, proxy, |name| invocation.host_variable(name))?;
        Ok(Self { proxy, policy: effective_policy(bottle)?, upstream })
    }
}

/// Builds what crosses to the backend: the proxy, its configuration, and the hosts for show.
pub fn egress_spec(id: &str, bottle: &Bottle, egress: &Egress, port: u16) -> anyhow::Result<EgressSpec> {
    let policy = &egress.policy;
    let mut spec = EgressSpec::default();
    spec.proxy = egress.proxy;
    spec.port = port;
    spec.hosts = allowed_hosts(policy);
    if egress.proxy == Proxy::Pipelock {
        spec.config = pipelock::config::config(policy, bottle)?;
        return Ok(spec);
    }
    let upstream_proxy = egress.upstream.as_ref().map(|found| found.proxy.clone());
    let config = GuardConfig { upstream_proxy, ..guard_config(id, bottle, policy.clone(), port) };
    spec.config = config.to_yaml().context("cannot write the guard's configuration")?;
    spec.config_json =
        serde_json::to_value(config).context("cannot write the guard's configuration as JSON")?;
    Ok(spec)
}

/// Writes what a bottle may reach, for the record of a run.
pub fn policy_document(id: &str, bottle: &Bottle, policy: Policy) -> anyhow::Result<String> {
    let config = guard_config(id, bottle, policy, DEFAULT_PORT);
    config.to_yaml().context("cannot write the bottle's policy")
}

/// Reads what [`policy_document`] wrote.
pub fn read_policy(document: &str) -> anyhow::Result<Policy> {
    Ok(GuardConfig::from_yaml(document)
        .context("cannot read the policy that the bottle was started with")?
        .policy)
}

/// Returns the guard's configuration; the backend changes where it listens to fit itself.
fn guard_config(id: &str, bottle: &Bottle, policy: Policy, port: u16) -> GuardConfig {
    let listen = Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut config = GuardConfig::new(id, listen, policy);
    config.dlp = bottle.egress.dlp.clone();
    config
}
