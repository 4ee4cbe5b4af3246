//! From the manifest to the spec that crosses to the backend.

use std::path::PathBuf;

use anyhow::{Context, bail};
use claude_bottle_egress_policy::HostOrIp;
use claude_bottle_plugin_api::{
    AgentSpec, BottleSpec, EnvVar, ForwardSpec, Limits, Proxy, Restore, SecretSpec, SkillSpec, Spec,
    SshEntry, Workspace,
};
use rustix::rand::GetRandomFlags;

use crate::egress::{self, Egress};
use crate::environment::Invocation;
use crate::git;
use crate::manifest::{Agent, Bottle, EnvName, EnvSource, Forward, WorkspacePlace};
use crate::profile;
use crate::results::copied_in;
use crate::run::options::Options;
use crate::run::owner;
use crate::run::{claude_files, intercept, placeholders, tools};

/// What the command line adds to the manifest.
#[derive(Debug, Clone, Default)]
pub struct StartOptions {
    /// The directory to copy in.
    pub workspace: Option<Workspace>,
    /// Arguments for the agent, after those of the manifest.
    pub arguments: Vec<String>,
    /// Options for the backend, those of the manifest included.
    pub options: Options,
    /// Whether changes in the directory are saved when the bottle ends.
    pub saves: bool,
    /// What an earlier bottle left, to be laid over the copy.
    pub restore: Option<Restore>,
    /// What the user calls the bottle.
    pub name: Option<String>,
    /// Whether a request that no rule allows waits for an answer, whatever the manifest says.
    pub asks: bool,
    /// The variable of the user's token, where the agent reads it.
    pub token: Option<EnvName>,
}

/// Builds the spec of one run.
pub fn build(
    invocation: &Invocation,
    agent: &Agent,
    bottle: &Bottle,
    egress: &Egress,
    wishes: &StartOptions,
    stage_dir: PathBuf,
) -> anyhow::Result<Spec> {
    let id = new_id(wishes.name.as_deref().unwrap_or(agent.name.as_str()))
        .context("cannot ask the system for random bytes")?;
    let mut spec = Spec::new(&id, agent_spec(agent, wishes), owner::this_process());
    spec.bottle = bottle_spec(invocation, &id, (agent, bottle), egress, wishes)?;
    profile::home::enter(agent, &mut spec)?;
    if let Some(profile) = spec.agent.profile.as_mut() {
        placeholders::enter_files(bottle, &egress.policy, profile);
    }
    tools::enter(bottle, &mut spec);
    claude_files::enter(agent, &mut spec);
    spec.workspace.clone_from(&wishes.workspace);
    if let Some(workspace) = spec.workspace.as_mut().filter(|_| bottle.workspace == WorkspacePlace::Same) {
        workspace.path = workspace.source.to_str().map(str::to_owned);
    }
    if let Some(restore) = &wishes.restore {
        spec.requires.extend(restore.features().into_iter().map(str::to_owned));
        spec.restore = Some(restore.clone());
    }
    git::enter(invocation, bottle, &mut spec);
    wishes.options.enter(&mut spec);
    if !spec.bottle.forward.is_empty() {
        spec.requires.push(ForwardSpec::FEATURE.to_owned());
    }
    intercept::enter(&egress.policy, &mut spec);
    spec.requires.extend(features(&spec.bottle).map(str::to_owned));
    spec.guest = companion(invocation, "GUEST", "bottle-guest")?;
    spec.stage_dir = stage_dir;
    spec.state_dir = invocation.state_dir.join("bottles").join(&id);
    if let Some(workspace) = spec.workspace.as_mut().filter(|_| wishes.saves) {
        workspace.index = Some(copied_in::index(&spec.state_dir));
    }
    Ok(spec)
}

/// Returns the features that a backend must know for what is in a bottle, since without them it would be ignored.
fn features(bottle: &BottleSpec) -> impl Iterator<Item = &'static str> + use<> {
    let asked = [(bottle.user.is_some(), "bottle.user"), (bottle.limits.shm_bytes.is_some(), "bottle.shm")];
    asked.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, feature)| feature)
}

/// Makes an identifier: the bottle's or the agent's name, cut, and enough chance to be unique on a machine.
///
/// The run's directory must not exist yet, so that two runs never share an identifier.
fn new_id(name: &str) -> anyhow::Result<String> {
    let mut random = [0; 4];
    rustix::rand::getrandom(&mut random, GetRandomFlags::empty())?;
    let name = name.chars().take(30).collect::<String>();
    Ok(format!("{}-{:08x}", name.trim_end_matches('-'), u32::from_be_bytes(random)))
}

fn agent_spec(agent: &Agent, wishes: &StartOptions) -> AgentSpec {
    let command = agent.command.iter().chain(&wishes.arguments).cloned().collect();
    let mut spec = AgentSpec::new(agent.name.as_str(), command);
    spec.prompt.clone_from(&agent.prompt);
    spec.skills =
        agent.skills.iter().map(|skill| SkillSpec::new(skill.name.as_str(), &skill.directory)).collect();
    spec
}

fn bottle_spec(
    invocation: &Invocation,
    id: &str,
    (agent, bottle): (&Agent, &Bottle),
    egress: &Egress,
    wishes: &StartOptions,
) -> anyhow::Result<BottleSpec> {
    let mut spec = BottleSpec::default();
    spec.name = bottle.name.to_string();
    spec.env = bottle.env.iter().map(|entry| variable(entry.name.as_str(), &entry.source)).collect();
    spec.env.extend(wishes.token.iter().map(|token| EnvVar::secret(token.as_str())));
    placeholders::enter(bottle, &egress.policy, &mut spec);
    spec.ssh = bottle.ssh.iter().map(ssh_entry).collect();
    spec.secrets.extend(egress::secret_specs(&egress.policy, &spec.env, &agent.profile));
    if egress.upstream.as_ref().is_some_and(|found| found.credentials.is_some()) {
        // For the guard alone: it may go to no host.
        spec.secrets.push(SecretSpec::new(egress::upstream::CREDENTIALS, Vec::new()));
    }
    let port = proxy_port(invocation)?;
    spec.egress = egress::egress_spec(id, bottle, egress, port)?;
    spec.forward =
        bottle.forward.iter().map(|forward| forward_spec(forward, port)).collect::<Result<_, _>>()?;
    spec.egress.guard = guard(invocation, egress.proxy)?;
    spec.limits = limits(bottle);
    spec.image.clone_from(&bottle.image);
    spec.user.clone_from(&bottle.user);
    Ok(spec)
}

fn variable(name: &str, source: &EnvSource) -> EnvVar {
    match source {
        EnvSource::Literal(value) => EnvVar::literal(name, value.as_str()),
        EnvSource::Ask { .. } | EnvSource::Host { .. } => EnvVar::secret(name),
    }
}

fn ssh_entry(entry: &crate::manifest::SshHost) -> SshEntry {
    // A client of SSH takes an address of IPv6 without the brackets that a rule needs.
    let hostname = match &entry.hostname {
        HostOrIp::Ip(address) => address.to_string(),
        HostOrIp::Name(name) => name.to_string(),
    };
    let mut spec = SshEntry::new(&entry.host, hostname, &entry.identity_file);
    spec.user.clone_from(&entry.user);
    spec.port = entry.port;
    spec.known_host_key.clone_from(&entry.known_host_key);
    spec
}

fn limits(bottle: &Bottle) -> Limits {
    let mut limits = Limits::default();
    limits.cpus = bottle.limits.cpus;
    limits.memory_bytes = bottle.limits.memory_bytes;
    limits.pids = bottle.limits.pids.map(u64::from);
    limits.shm_bytes = bottle.limits.shm_bytes;
    limits
}

fn forward_spec(forward: &Forward, proxy_port: u16) -> anyhow::Result<ForwardSpec> {
    if forward.port == proxy_port {
        bail!("the port {proxy_port} inside is the proxy's own, so it cannot lead to `{}`", forward.to);
    }
    Ok(ForwardSpec::new(forward.port, forward.to.host.to_string(), forward.to.port))
}

fn proxy_port(invocation: &Invocation) -> anyhow::Result<u16> {
    let Some(text) = invocation.setting("PIPELOCK_PORT") else { return Ok(egress::DEFAULT_PORT) };
    match text.parse() {
        Ok(0) => bail!("CLAUDE_BOTTLE_PIPELOCK_PORT is 0; a port is 1 to 65535"),
        other => {
            other.with_context(|| format!("CLAUDE_BOTTLE_PIPELOCK_PORT is `{text}`; a port is 1 to 65535"))
        }
    }
}

/// Finds the guard's program. A backend that needs it refuses without.
fn guard(invocation: &Invocation, proxy: Proxy) -> anyhow::Result<Option<PathBuf>> {
    match proxy {
        Proxy::Guard => companion(invocation, "GUARD", "egress-guard"),
        _ => Ok(None),
    }
}

/// Finds a program that comes with claude-bottle, unless a setting names another.
fn companion(invocation: &Invocation, setting: &str, name: &str) -> anyhow::Result<Option<PathBuf>> {
    let Some(path) = invocation.setting(setting) else { return Ok(invocation.companion(name)) };
    let path = PathBuf::from(path);
    let path = path
        .canonicalize()
        .with_context(|| format!("cannot find CLAUDE_BOTTLE_{setting} `{}`", path.display()))?;
    let is_program = path.is_file() && rustix::fs::access(&path, rustix::fs::Access::EXEC_OK).is_ok();
    if !is_program {
        bail!("CLAUDE_BOTTLE_{setting} is `{}`, which is not a program", path.display());
    }
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_slug_of_bounded_length() {
        let id = new_id(&"a".repeat(41)).unwrap();
        assert!(id.len() <= 41, "{id}");
        assert!(id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{id}");
        assert!(new_id("x-").unwrap().starts_with("x-"));
    }
}
