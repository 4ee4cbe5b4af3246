//! What the host asks a backend to make: the resolved, validated manifest of one run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AgentSpec, EgressSpec, ForwardSpec, Owner, Restore, SecretSpec};

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
    /// What an earlier bottle left, to be laid over what is copied in. Its features are in [`Self::requires`]. Since 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
    /// Who commits are by, where the repository does not say it itself.
    #[serde(default)]
    pub git_identity: Option<GitIdentity>,
    /// An empty directory for scratch files of this run, which the host removes.
    pub stage_dir: PathBuf,
    /// This run's record directory, which outlives it: logs go here.
    pub state_dir: PathBuf,
    /// The process this run belongs to.
    pub owner: Owner,
    /// claude-bottle's program for the inside of a bottle, `bottle-guest`, on the host: static, for the architecture bottles
    /// run on. A host of contract 1.0 does not say it; it lies next to the guard's then.
    #[serde(default)]
    pub guest: Option<PathBuf>,
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
            restore: None,
            git_identity: None,
            stage_dir: PathBuf::new(),
            state_dir: PathBuf::new(),
            owner,
            guest: None,
            options: Value::Null,
        }
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
    /// Ports of the bottle's own loopback that lead to allowed hosts. Whoever sets it requires [`ForwardSpec::FEATURE`].
    #[serde(default)]
    pub forward: Vec<ForwardSpec>,
    /// To which hosts each secret of `env` may go as a credential; one that is not here may go to none. The proxy is also
    /// given those that are here and not in `env`, such as its own credentials for a proxy above it.
    #[serde(default)]
    pub secrets: Vec<SecretSpec>,
    /// Limits; a missing one is the backend's default.
    #[serde(default)]
    pub limits: Limits,
    /// The image to use in place of the backend's own.
    #[serde(default)]
    pub image: Option<String>,
    /// What of the host the agent may read and run; the feature `bottle.tools` in [`Spec::requires`] comes with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolSpec>,
    /// The user of the image that the agent runs as: its name, its number, or its number and its group's with a colon between
    /// them; never root. `None` is what the image says. Since 1.1, with the feature `bottle.user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A directory or file of the host that is shown in the bottle: read-only, at the same path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolSpec {
    /// Where it is on the host, absolute.
    pub path: PathBuf,
}

impl ToolSpec {
    /// Names a directory or file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
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
    /// A kind this side does not know. The glue refuses it, after it has looked at [`Spec::requires`].
    #[serde(other)]
    Unknown,
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
    /// Shared memory in `/dev/shm`, in bytes. Since 1.1, with the feature `bottle.shm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_bytes: Option<u64>,
}

/// Who commits are by. What is not known is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GitIdentity {
    /// The name.
    #[serde(default)]
    pub name: String,
    /// The address.
    #[serde(default)]
    pub email: String,
}

impl GitIdentity {
    /// Names somebody.
    pub fn new(name: impl Into<String>, email: impl Into<String>) -> Self {
        Self { name: name.into(), email: email.into() }
    }
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
    /// Where in it programs start, relative to `source`; empty for the directory itself.
    #[serde(default)]
    pub start: PathBuf,
    /// Where the copy lies inside, absolute, if the backend can have it there; otherwise, and when it is not given, in the home.
    #[serde(default)]
    pub path: Option<String>,
    /// What the user's git ignores in every repository, as lines of a `.gitignore`.
    #[serde(default)]
    pub git_ignore: String,
    /// Settings of the user's git that decide what it says of a working directory, by name.
    #[serde(default)]
    pub git_settings: Vec<(String, String)>,
    /// Where the backend may write what it copied: a file of [`crate::IndexEntry`] lines, made in the same pass as the copy and
    /// whole only if it is there after provision. Without it the host exports the working directory before the agent runs.
    #[serde(default)]
    pub index: Option<PathBuf>,
}

impl Workspace {
    /// The file in a working directory's root that says what stays out of bottles, in the syntax of `.gitignore`.
    pub const IGNORE_FILE: &'static str = ".claude-bottleignore";

    /// Names the directory to copy in.
    pub fn new(source: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            exclude: Vec::new(),
            start: PathBuf::new(),
            path: None,
            git_ignore: String::new(),
            git_settings: Vec::new(),
            index: None,
        }
    }
}
