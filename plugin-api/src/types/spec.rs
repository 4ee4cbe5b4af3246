//! What the host asks a backend to make: the resolved, validated manifest of one run.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Owner;

/// One run, as the host resolved it. Holds names of secrets, never their values.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spec {
    /// This run's identifier, `[a-z0-9][a-z0-9-]{0,40}`, unique on this machine.
    pub id: String,
    /// Features whose being ignored would be unsafe; the glue refuses those the backend does not know.
    #[serde(default)]
    pub requires: Vec<String>,
    /// The program that will run.
    pub agent: AgentSpec,
    /// What it is granted.
    pub bottle: BottleSpec,
    /// The working directory to copy in.
    #[serde(default)]
    pub workspace: Option<Workspace>,
    /// An empty directory for scratch files of this run, which the host removes.
    pub stage_dir: PathBuf,
    /// This run's record directory, which outlives it: logs go here.
    pub state_dir: PathBuf,
    /// The process this run belongs to.
    pub owner: Owner,
    /// Settings of the manifest meant for this backend alone, passed on untouched.
    #[serde(default)]
    pub options: Value,
}

impl Spec {
    /// Makes a spec that grants nothing beyond the agent itself.
    pub fn new(id: impl Into<String>, agent: AgentSpec, owner: Owner) -> Self {
        Self {
            id: id.into(),
            requires: Vec::new(),
            agent,
            bottle: BottleSpec::default(),
            workspace: None,
            stage_dir: PathBuf::new(),
            state_dir: PathBuf::new(),
            owner,
            options: Value::Null,
        }
    }
}

/// The program that runs in the bottle.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentSpec {
    /// Its name in the manifest, a slug.
    pub name: String,
    /// Its argument list, program first.
    pub command: Vec<String>,
    /// Its prompt; empty when there is none.
    #[serde(default)]
    pub prompt: String,
    /// The skills it gets.
    #[serde(default)]
    pub skills: Vec<SkillSpec>,
}

impl AgentSpec {
    /// Makes an agent without prompt and skills.
    pub fn new(name: impl Into<String>, command: Vec<String>) -> Self {
        Self { name: name.into(), command, prompt: String::new(), skills: Vec::new() }
    }
}

/// A skill: a directory of the host.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SkillSpec {
    /// Its name, which becomes the directory's name in the bottle.
    pub name: String,
    /// Where it is on the host, absolute.
    pub source: PathBuf,
}

impl SkillSpec {
    /// Names a skill and its directory.
    pub fn new(name: impl Into<String>, source: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), source: source.into() }
    }
}

/// What the bottle grants.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BottleSpec {
    /// Its name in the manifest, a slug.
    #[serde(default)]
    pub name: String,
    /// Environment variables.
    #[serde(default)]
    pub env: Vec<EnvVar>,
    /// SSH hosts with their keys.
    #[serde(default)]
    pub ssh: Vec<SshEntry>,
    /// The way out.
    #[serde(default)]
    pub egress: EgressSpec,
    /// Limits; a missing one is the backend's default.
    #[serde(default)]
    pub limits: Limits,
    /// The image to use in place of the backend's own.
    #[serde(default)]
    pub image: Option<String>,
}

/// An environment variable of the agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub value: EnvValue,
}

impl EnvVar {
    /// Makes a variable whose value may be seen.
    pub fn literal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: EnvValue::Literal { value: value.into() } }
    }

    /// Makes a variable whose value is asked of [`crate::Call::secret`] by the variable's name.
    pub fn secret(name: impl Into<String>) -> Self {
        Self { name: name.into(), value: EnvValue::Secret }
    }
}

/// Where a variable's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
#[non_exhaustive]
pub enum EnvValue {
    /// The manifest says it in clear.
    Literal {
        /// The value.
        value: String,
    },
    /// [`crate::Call::secret`] gives it, by the variable's name, during launch and provision only.
    Secret,
}

/// A host the agent may reach over SSH, with a key it may use and not read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SshEntry {
    /// The alias in the bottle's SSH configuration.
    pub host: String,
    /// The real host name or address.
    pub hostname: String,
    /// The user there.
    pub user: String,
    /// The port.
    pub port: u16,
    /// The private key on the host, absolute.
    pub identity_file: PathBuf,
    /// The server's key as in `known_hosts`; checking is strict when it is given.
    #[serde(default)]
    pub known_host_key: Option<String>,
}

impl SshEntry {
    /// Names a host and the key to use there; user `git`, port 22, until changed.
    pub fn new(
        host: impl Into<String>,
        hostname: impl Into<String>,
        identity_file: impl Into<PathBuf>,
    ) -> Self {
        Self {
            host: host.into(),
            hostname: hostname.into(),
            user: "git".to_owned(),
            port: 22,
            identity_file: identity_file.into(),
            known_host_key: None,
        }
    }
}

/// Which proxy is the bottle's way out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Proxy {
    /// claude-bottle's own egress guard.
    #[default]
    Guard,
    /// pipelock.
    Pipelock,
    /// A proxy this side does not know; a backend refuses it.
    #[serde(other)]
    Unknown,
}

/// The bottle's way out. An empty one lets nothing out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EgressSpec {
    /// Which proxy.
    #[serde(default)]
    pub proxy: Proxy,
    /// Every host that is allowed, sorted, without duplicates: for show. The proxy obeys `config`.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The proxy's configuration file, whole.
    #[serde(default)]
    pub config: String,
    /// The guard's program on the host, static, for the architecture bottles run on.
    #[serde(default)]
    pub guard: Option<PathBuf>,
    /// The port the proxy listens on inside; 0 means 8888.
    #[serde(default)]
    pub port: u16,
    /// Addresses for names, which need no resolver.
    #[serde(default)]
    pub addresses: Vec<(String, IpAddr)>,
}

/// Limits of a bottle; `None` is the backend's default, never "unlimited".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// Processors.
    #[serde(default)]
    pub cpus: Option<f64>,
    /// Memory, in bytes.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    #[serde(default)]
    pub pids: Option<u64>,
}

/// The working directory to copy in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Workspace {
    /// Where it is on the host, absolute.
    pub source: PathBuf,
    /// Paths left out, relative to `source`.
    #[serde(default)]
    pub exclude: Vec<PathBuf>,
}

impl Workspace {
    /// Names the directory to copy in.
    pub fn new(source: impl Into<PathBuf>) -> Self {
        Self { source: source.into(), exclude: Vec::new() }
    }
}
