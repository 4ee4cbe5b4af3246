//! The effective egress policy of a bottle, and the proxy's configuration made from it.
//!
//! Effective = the hosts of the agent's profile ∪ the bottle's own rules ∪ the hosts of its SSH entries ∪ the agent's servers of tools. The policy is pure data with one
//! decision function, shared with the guard, so `policy check` and the guard cannot disagree.

pub mod amend;
pub mod chain;
pub mod credentials;
pub mod decision;
mod given_back;
pub mod har;
pub mod held;
pub mod live;
mod pipelock;
pub mod presets;
pub mod rejected;
pub mod roots;
mod secrets;
pub mod summary;
pub mod upstream;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context;
use claude_bottle_egress_policy::{
    Effect, GuardConfig, HostOrIp, HostPattern, Intercept, Listen, Policy, PrivateGrant, Rule, SshServer,
    special_purpose,
};
use claude_bottle_plugin_api::{EgressSpec, Proxy};

use crate::environment::Invocation;
use crate::manifest::{Agent, Bottle, ProxyKind, SshHost};
use crate::profile::Profiles;
use crate::run::token::Granted;

pub use secrets::secret_specs;

/// The port a bottle's proxy listens on unless the user says otherwise.
pub const DEFAULT_PORT: u16 = 8888;

/// Returns what a manifest would give to the bottle of a run that has this policy: its secrets have the placeholders of the run, and
/// the user's token is among them if the run's guard holds it.
pub fn effective_like(agent: &Agent, bottle: &Bottle, live: &Policy) -> anyhow::Result<Policy> {
    let mut policy = effective_policy(Some(agent), &Granted::as_in(live, agent, bottle).bottle)?;
    held::take_placeholders(live, &mut policy);
    Ok(policy)
}

/// Returns what an agent may reach in a bottle, each rule with where it came from. Without an agent it is one that says nothing.
pub fn effective_policy(agent: Option<&Agent>, bottle: &Bottle) -> anyhow::Result<Policy> {
    let rules = agent.map_or_else(|| Profiles::ours().rules(), |agent| agent.profile.rules());
    let mut policy = Policy { rules, ..Policy::default() };
    policy.rules.extend(bottle.egress.rules.iter().cloned());
    policy.rules.extend(agent.iter().flat_map(|agent| &agent.rules).cloned());
    for entry in &bottle.ssh {
        policy.rules.push(ssh_rule(entry)?);
        policy.private.extend(ssh_grant(entry));
        // A forge offers SSH on 443 to those whose firewall lets nothing else through.
        policy.ssh.push(SshServer { host: entry.hostname.clone(), port: entry.port });
    }
    policy.hosts =
        bottle.egress.hosts.iter().map(|entry| (entry.host.clone(), entry.addresses.clone())).collect();
    policy.private.extend(bottle.egress.private.iter().map(|entry| entry.grant.clone()));
    held::enter(bottle, &mut policy).context("cannot ask the system for random bytes")?;
    let egress = &bottle.egress;
    // Where nothing needs it there is no authority, and nothing in the bottle to trust it.
    policy.intercept = match egress.intercept.mode {
        Intercept::Needed if policy.needing().is_none() && !held_within_tls(&policy) => Intercept::None,
        mode => mode,
    };
    if policy.intercept != Intercept::None {
        policy.passthrough.clone_from(&egress.passthrough);
    }
    Ok(policy)
}

fn held_within_tls(policy: &Policy) -> bool {
    policy.secrets.iter().any(|secret| !secret.plain_http)
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

/// Why a run has no way out as its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The bottle's proxy sees nothing of HTTPS.
    #[error(
        "CLAUDE_BOTTLE_PIPELOCK_IMAGE makes pipelock this bottle's proxy, which looks into no HTTPS for {what}"
    )]
    NotByPipelock {
        /// A rule, or a key of the manifest.
        what: String,
    },
}

impl EgressError {
    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NotByPipelock { .. } => {
                "set `egress.proxy: guard`, or unset CLAUDE_BOTTLE_PIPELOCK_IMAGE".to_owned()
            }
        }
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
    /// Authorities that hosts are trusted by when tunnels to them are opened, in PEM; empty where none is.
    pub roots: String,
    /// Hosts of models, to which a conversation is sent again with each request; none where no tunnel is opened.
    pub models: Vec<HostPattern>,
    /// Whether a request that no rule allows waits for an answer.
    pub ask: bool,
}

/// How long such a request waits.
const ASK_SECONDS: u64 = 60;

impl Egress {
    /// Finds it, with what the environment says about it.
    pub fn find(invocation: &Invocation, agent: &Agent, bottle: &Bottle) -> anyhow::Result<Self> {
        let proxy = choose_proxy(bottle, invocation.setting("PIPELOCK_IMAGE"));
        let upstream = upstream::of(bottle, proxy, |name| invocation.host_variable(name))?;
        let policy = effective_policy(Some(agent), bottle)?;
        let needing = match (bottle.secrets.first(), policy.needing()) {
            (Some(secret), _) => Some(format!("the secret `{}`", secret.name)),
            (None, Some(rule)) => Some(format!("`{rule}`")),
            (None, None) => (policy.intercept != Intercept::None).then(|| "`intercept: all`".to_owned()),
        };
        if let Some(what) = needing.filter(|_| proxy != Proxy::Guard) {
            return Err(EgressError::NotByPipelock { what }.into());
        }
        let (roots, models) = match policy.intercept {
            Intercept::None => Default::default(),
            _ => (roots::find(&bottle.egress.authorities)?, held::model_hosts(&agent.profile, bottle)),
        };
        Ok(Self { proxy, policy, upstream, roots, models, ask: bottle.egress.ask.is_some() })
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
        anyhow::ensure!(!egress.ask, "pipelock lets no request wait for an answer: leave out `ask`");
        spec.config = pipelock::config::config(policy, bottle)?;
        return Ok(spec);
    }
    let upstream_proxy = egress.upstream.as_ref().map(|found| found.proxy.clone());
    let roots = egress.roots.clone();
    let ask_seconds = if egress.ask { ASK_SECONDS } else { 0 };
    let mut config =
        GuardConfig { upstream_proxy, roots, ask_seconds, ..guard_config(id, bottle, policy.clone(), port) };
    config.dlp.model_hosts.clone_from(&egress.models);
    spec.config = config.to_json().context("cannot write the guard's configuration")?;
    spec.config_json =
        serde_json::to_value(config).context("cannot write the guard's configuration as JSON")?;
    Ok(spec)
}

/// Writes what a bottle may reach, for the record of a run.
pub fn policy_document(id: &str, bottle: &Bottle, policy: Policy) -> anyhow::Result<String> {
    let mut config = guard_config(id, bottle, policy, DEFAULT_PORT);
    if config.policy.intercept != Intercept::None {
        NO_ROOTS.clone_into(&mut config.roots);
    }
    config.to_yaml().context("cannot write the bottle's policy")
}

/// What a record says in place of authorities: those of this machine are not the policy.
const NO_ROOTS: &str = "# those of this machine, and those that the manifest names";

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
    config.tls_ports = held::tls_ports(&config.policy);
    config.log.exchanges = bottle.egress.capture;
    config.upload_limits.clone_from(&bottle.egress.upload_limits);
    config
}
