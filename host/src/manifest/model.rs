//! The manifest after it was checked: types that cannot be wrong, each with the place it came from.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claude_bottle_egress_policy::{
    Authority, DlpConfig, Host, HostOrIp, HostPattern, Intercept, PrivateGrant, Rule, UploadLimit,
};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::egress::presets::Preset;
use crate::profile::{Profile, Server};

pub use super::names::{AgentName, BottleName, EnvName, SkillName, VariableName};
pub use super::raw::{ProxyKind, WorkspacePlace};
use super::secret::SecretEntry;
pub use super::source::Origin;

/// What a bottle grants.
#[derive(Debug, Clone)]
pub struct Bottle {
    /// Its name.
    pub name: BottleName,
    /// Environment variables, sorted by name.
    pub env: Vec<EnvEntry>,
    /// Secrets that the guard holds, sorted by name.
    pub secrets: Vec<SecretEntry>,
    /// SSH hosts, in the manifest's order.
    pub ssh: Vec<SshHost>,
    /// What may be reached.
    pub egress: Egress,
    /// Limits.
    pub limits: Limits,
    /// Ports inside that lead to allowed hosts.
    pub forward: Vec<Forward>,
    /// Image to use in place of the backend's own.
    pub image: Option<String>,
    /// Tools of this machine, in the manifest's order.
    pub tools: Vec<Tool>,
    /// User of the image that the agent runs as, in place of the image's own.
    pub user: Option<String>,
    /// Where the copy of the working directory lies.
    pub workspace: WorkspacePlace,
    /// Who commits are by.
    pub git_identity: GitIdentity,
    /// Settings for backends, in the manifest's order.
    pub options: Vec<BackendOption>,
    /// Where it is defined.
    pub origin: Origin,
}

/// Who commits are by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum GitIdentity {
    /// Whom the host's git names.
    #[default]
    Host,
    /// Nobody: git inside asks for a name.
    None,
    /// Somebody else.
    Named {
        /// The name.
        name: String,
        /// The address.
        email: String,
    },
}

/// A setting for one backend alone. What it means, that backend knows.
#[derive(Debug, Clone)]
pub struct BackendOption {
    /// The backend.
    pub backend: String,
    /// The setting's name.
    pub name: String,
    /// Its value; never null.
    pub value: serde_json::Value,
    /// Where it is written.
    pub origin: Origin,
}

/// Something of this machine that the agent may read and run, at the same path.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Its path, absolute; it was there at load.
    pub path: PathBuf,
    /// Where it is written.
    pub origin: Origin,
}

/// An environment variable of a bottle.
#[derive(Debug, Clone)]
pub struct EnvEntry {
    /// Its name.
    pub name: EnvName,
    /// Where its value comes from.
    pub source: EnvSource,
    /// Where it is written.
    pub origin: Origin,
}

/// Where the value of a variable comes from.
#[derive(Clone)]
pub enum EnvSource {
    /// The manifest says it.
    Literal(Zeroizing<String>),
    /// The user is asked at launch.
    Ask {
        /// What the question says, beside the variable's name.
        message: Option<String>,
    },
    /// The host's environment has it.
    Host {
        /// The variable there.
        variable: VariableName,
    },
}

/// Shows where the value comes from, never the value.
impl fmt::Debug for EnvSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Literal(…)"),
            Self::Ask { message } => f.debug_struct("Ask").field("message", message).finish(),
            Self::Host { variable } => f.debug_struct("Host").field("variable", variable).finish(),
        }
    }
}

/// A host the agent may reach over SSH.
#[derive(Debug, Clone)]
pub struct SshHost {
    /// Name the agent uses.
    pub host: String,
    /// Private key on the host, absolute; it was there at load.
    pub identity_file: PathBuf,
    /// Real name or address.
    pub hostname: HostOrIp,
    /// User there.
    pub user: String,
    /// Port there, never 0.
    pub port: u16,
    /// The server's key as in `known_hosts`: type and base64.
    pub known_host_key: Option<String>,
    /// Where it is written.
    pub origin: Origin,
}

/// What a bottle's egress section says. The defaults are not among the rules.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    /// Rules, those of presets included; the origin of each names bottle, file and line.
    pub rules: Vec<Rule>,
    /// Presets, in the manifest's order.
    pub presets: Vec<&'static Preset>,
    /// The proxy, when one is named.
    pub proxy: Option<ProxyKind>,
    /// Addresses of names.
    pub hosts: Vec<StaticHost>,
    /// Private ranges.
    pub private: Vec<PrivateRange>,
    /// Where it is written that a request which no rule allows waits for an answer.
    pub ask: Option<Origin>,
    /// Inspection of what is sent.
    pub dlp: DlpConfig,
    /// What is said of a proxy above the guard.
    pub upstream: Option<Upstream>,
    /// Whose HTTPS the guard looks into.
    pub intercept: Interception,
    /// Hosts whose HTTPS is never looked into.
    pub passthrough: Vec<HostPattern>,
    /// Files with authorities that the guard trusts for hosts.
    pub authorities: Vec<AuthorityFile>,
    /// Whether requests and answers are shown in the log.
    pub capture: bool,
    /// How much may go up to hosts in one run.
    pub upload_limits: Vec<UploadLimit>,
}

/// Whose HTTPS the guard looks into.
#[derive(Debug, Clone)]
pub struct Interception {
    /// As the manifest says, or else every host's.
    pub mode: Intercept,
    /// Where it is written, if it is.
    pub origin: Option<Origin>,
}

impl Default for Interception {
    fn default() -> Self {
        Self { mode: Intercept::All, origin: None }
    }
}

impl Interception {
    /// Leaves it at those hosts that a rule or a secret needs it for, unless the manifest says which.
    pub fn relax(&mut self) {
        if self.origin.is_none() {
            self.mode = Intercept::Needed;
        }
    }
}

/// A file with certificates of authorities.
#[derive(Debug, Clone)]
pub struct AuthorityFile {
    /// Its path, absolute; it held certificates at load.
    pub path: PathBuf,
    /// Where it is named.
    pub origin: Origin,
}

/// What a manifest says of a proxy above the guard.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Which one.
    pub source: UpstreamSource,
    /// Where it is written.
    pub origin: Origin,
}

/// Which proxy is above the guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamSource {
    /// None, whatever the host's variables say.
    Off,
    /// The one at this address, without a user.
    Address(Authority),
    /// The one that a variable of the host names, perhaps with a user and a password.
    Host {
        /// The variable.
        variable: VariableName,
    },
}

/// A port of the bottle's own loopback that leads to an allowed host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The port inside.
    pub port: u16,
    /// Where it leads.
    pub to: Authority,
}

/// Addresses of a name, used instead of a lookup.
#[derive(Debug, Clone)]
pub struct StaticHost {
    /// The name.
    pub host: Host,
    /// Its addresses, at least one.
    pub addresses: Vec<IpAddr>,
    /// Where it is written.
    pub origin: Origin,
}

/// A private range that a named host may lie in.
#[derive(Debug, Clone)]
pub struct PrivateRange {
    /// Host and range.
    pub grant: PrivateGrant,
    /// Where it is written.
    pub origin: Origin,
}

/// Limits; `None` is the backend's default, never "unlimited".
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Processors, from 0.01.
    pub cpus: Option<f64>,
    /// Memory in bytes, from 6 MiB.
    pub memory_bytes: Option<u64>,
    /// Processes and threads, from 1.
    pub pids: Option<u32>,
    /// Shared memory in bytes, from 1 MiB.
    pub shm_bytes: Option<u64>,
}

/// A program with prompt and skills.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its name.
    pub name: AgentName,
    /// The bottle it runs in, which is defined.
    pub bottle: BottleName,
    /// Its skills, in the manifest's order.
    pub skills: Vec<Skill>,
    /// What it gets of `~/.claude`, in the manifest's order.
    pub claude: Vec<ClaudeFile>,
    /// Where it keeps its sessions, below its home; `None` is what its profile says.
    pub history: Option<Vec<PathBuf>>,
    /// What is known of its program.
    pub profile: Arc<Profile>,
    /// What its own settings say besides.
    pub settings: Map<String, Value>,
    /// Servers of tools.
    pub mcp: Vec<Server>,
    /// Rules for those among them that are elsewhere.
    pub rules: Vec<Rule>,
    /// What makes its bottle ready before it runs, in order.
    pub setup: Vec<SetupStep>,
    /// Whether it goes on when its terminal is closed; `None` is what the defaults say.
    pub survive: Option<bool>,
    /// Its prompt; empty when there is none.
    pub prompt: String,
    /// The file the prompt came from.
    pub prompt_file: Option<PathBuf>,
    /// Program and arguments, never empty.
    pub command: Vec<String>,
    /// Where it is defined.
    pub origin: Origin,
}

impl Agent {
    /// Returns what is known of its program, unless its command runs another one.
    pub fn program(&self) -> Option<&Profile> {
        Some(&*self.profile).filter(|profile| profile.is_run_by(&self.command))
    }
}

/// A command that makes a bottle ready before its agent runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupStep {
    /// Program and arguments, never empty.
    pub command: Vec<String>,
    /// How it is shown, in a line.
    pub shown: String,
    /// Whether the agent can do without it.
    pub optional: bool,
    /// How long it may take.
    pub timeout: Duration,
    /// Where it is written.
    pub origin: Origin,
}

/// A file or directory of `~/.claude`.
#[derive(Debug, Clone)]
pub struct ClaudeFile {
    /// Its name there.
    pub name: &'static str,
    /// Where it is on the host, absolute; it was there at load.
    pub path: PathBuf,
    /// Where it is named.
    pub origin: Origin,
}

/// A skill of an agent.
#[derive(Debug, Clone)]
pub struct Skill {
    /// Its name.
    pub name: SkillName,
    /// Its directory on the host, absolute; it was there at load.
    pub directory: PathBuf,
}
