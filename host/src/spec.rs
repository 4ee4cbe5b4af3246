//! From the manifest to the spec that crosses to the backend.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use claude_bottle_plugin_api::{
    AgentSpec, BottleSpec, EnvVar, Limits, Proxy, SkillSpec, Spec, SshEntry, Workspace,
};

use crate::egress;
use crate::invocation::{AGENT_TOKEN, Invocation};
use crate::manifest::{Agent, Bottle, EnvSource};
use crate::options::Options;
use crate::owner;

/// What the command line adds to the manifest.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Copy the working directory in.
    pub with_cwd: bool,
    /// Arguments for the agent, after those of the manifest.
    pub arguments: Vec<String>,
    /// Options for the backend, those of the manifest included.
    pub options: Options,
}

/// Builds the spec of one run.
pub fn build(
    invocation: &Invocation,
    agent: &Agent,
    bottle: &Bottle,
    wishes: &Wishes,
    stage_dir: PathBuf,
) -> anyhow::Result<Spec> {
    let id = new_id(agent.name.as_str());
    let mut spec = Spec::new(&id, agent_spec(agent, wishes), owner::this_process());
    spec.bottle = bottle_spec(invocation, &id, bottle)?;
    spec.workspace = wishes.with_cwd.then(|| Workspace::new(&invocation.cwd));
    wishes.options.enter(&mut spec);
    spec.stage_dir = stage_dir;
    spec.state_dir = invocation.state_dir.join("bottles").join(&id);
    Ok(spec)
}

/// Makes an identifier: the agent's name, cut, and enough chance to be unique on a machine.
fn new_id(agent: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mixed = now.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(40);
    let agent = agent.chars().take(30).collect::<String>();
    format!("{}-{:08x}", agent.trim_end_matches('-'), (mixed ^ (mixed >> 32)) as u32)
}

fn agent_spec(agent: &Agent, wishes: &Wishes) -> AgentSpec {
    let command = agent.command.iter().chain(&wishes.arguments).cloned().collect();
    let mut spec = AgentSpec::new(agent.name.as_str(), command);
    spec.prompt.clone_from(&agent.prompt);
    spec.skills =
        agent.skills.iter().map(|skill| SkillSpec::new(skill.name.as_str(), &skill.directory)).collect();
    spec
}

fn bottle_spec(invocation: &Invocation, id: &str, bottle: &Bottle) -> anyhow::Result<BottleSpec> {
    let mut spec = BottleSpec::default();
    spec.name = bottle.name.to_string();
    spec.env = bottle.env.iter().map(|entry| variable(entry.name.as_str(), &entry.source)).collect();
    if invocation.token().is_some() && !spec.env.iter().any(|variable| variable.name == AGENT_TOKEN) {
        spec.env.push(EnvVar::secret(AGENT_TOKEN));
    }
    spec.ssh = bottle.ssh.iter().map(ssh_entry).collect();
    let proxy = egress::choose_proxy(bottle, invocation.setting("PIPELOCK_IMAGE"));
    spec.egress = egress::egress_spec(id, bottle, proxy, proxy_port(invocation)?)?;
    spec.egress.guard = guard(invocation, proxy)?;
    spec.limits = limits(bottle);
    spec.image.clone_from(&bottle.image);
    Ok(spec)
}

fn variable(name: &str, source: &EnvSource) -> EnvVar {
    match source {
        EnvSource::Literal(value) => EnvVar::literal(name, value.as_str()),
        EnvSource::Ask { .. } | EnvSource::Host { .. } => EnvVar::secret(name),
    }
}

fn ssh_entry(entry: &crate::manifest::SshHost) -> SshEntry {
    let mut spec = SshEntry::new(&entry.host, entry.hostname.to_string(), &entry.identity_file);
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
    limits
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
    if proxy != Proxy::Guard {
        return Ok(None);
    }
    if let Some(path) = invocation.setting("GUARD") {
        let path = PathBuf::from(path);
        let path =
            path.canonicalize().with_context(|| format!("find CLAUDE_BOTTLE_GUARD `{}`", path.display()))?;
        return Ok(Some(path));
    }
    Ok(invocation.companion("egress-guard"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_slug_of_bounded_length() {
        let id = new_id(&"a".repeat(41));
        assert!(id.len() <= 41, "{id}");
        assert!(id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{id}");
        assert!(new_id("x-").starts_with("x-"));
    }
}
