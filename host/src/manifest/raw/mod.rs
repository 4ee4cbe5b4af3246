//! The manifest as it is written: the types that the JSON schema, the known keys and all writing come from.
//!
//! Reading does not go through these types, since serde stops at the first error and knows no places; the checks in
//! `check/` ask for the same keys, and the tests hold the two against each other.

mod agent;
mod egress;
mod secret;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{AgentName, BottleName, EnvName};

pub(crate) use agent::{Agent, McpServer, SetupStep};
pub use egress::ProxyKind;
pub(crate) use egress::{Dlp, Egress, Private};
pub(crate) use secret::{Secret, SecretEntry, SecretPlace};

/// A claude-bottle manifest: what bottles grant, and which agents run in them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "claude-bottle manifest")]
pub(crate) struct Document {
    /// Bottles by name. In the working directory's manifest they count only once it is trusted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) bottles: BTreeMap<BottleName, Bottle>,
    /// Agents by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) agents: BTreeMap<AgentName, Agent>,
}

/// What a bottle grants to the agents that run in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "bottle")]
pub(crate) struct Bottle {
    /// Environment variables: text, `?message` for a secret asked for at launch, `${NAME}` for a variable of the host.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) env: BTreeMap<EnvName, String>,
    /// Secrets that the guard holds: the variable of this name has a placeholder, which becomes the secret on its way to the
    /// hosts that it is for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) secrets: BTreeMap<EnvName, Secret>,
    /// Hosts the agent may reach over SSH.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ssh: Vec<Ssh>,
    /// What the agent may reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Egress")]
    pub(crate) egress: Option<Egress>,
    /// Ports of the bottle's own loopback that lead to allowed hosts, for clients that know no proxy: `5432:db.example.com:5432`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) forward: Vec<String>,
    /// Limits on what the agent may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Limits")]
    pub(crate) limits: Option<Limits>,
    /// Image to use in place of the backend's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 512))]
    pub(crate) image: Option<String>,
    /// Directories of this machine with tools in them, which the agent may read and run: `~/.rustup`, `~/.nvm`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tools: Vec<String>,
    /// User of the image that the agent runs as, by name or number, in place of the one that the image says. Never root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 64))]
    pub(crate) user: Option<String>,
    /// Where the copy of the working directory lies: `same` for the place it has on this machine, where that can be had, or
    /// `home`. `same` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "WorkspacePlace")]
    pub(crate) workspace: Option<WorkspacePlace>,
    /// Who commits are by: `host` for whom this machine's git names, `none`, or a name and an email. `host` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "GitIdentity")]
    pub(crate) git_identity: Option<GitIdentity>,
    /// Settings for one backend alone, by the backend's name. Which there are, that backend says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) options: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

/// Where the copy of the working directory lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkspacePlace {
    /// At the place it has on this machine, where that can be had.
    #[default]
    Same,
    /// In the home of the agent, as `workspace`.
    Home,
}

/// Who commits are by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum GitIdentity {
    /// Whom this machine's git names, or nobody.
    Word(GitIdentityWord),
    /// Somebody else.
    Person(Person),
}

/// Whom this machine's git names, or nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GitIdentityWord {
    /// Whom this machine's git names.
    Host,
    /// Nobody.
    None,
}

/// Somebody by name and email.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "person")]
pub(crate) struct Person {
    /// The name.
    #[schemars(length(min = 1))]
    pub(crate) name: String,
    /// The address, without `<` and `>`.
    #[schemars(length(min = 1))]
    pub(crate) email: String,
}

/// A host the agent may reach over SSH, with a key it may use and not read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[schemars(rename = "ssh")]
pub(crate) struct Ssh {
    /// Name the agent uses: `ssh NAME`.
    #[schemars(regex(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]*$"))]
    pub(crate) host: String,
    /// Private key on this machine, without a passphrase. `~/` is the home directory.
    #[schemars(length(min = 1))]
    pub(crate) identity_file: String,
    /// Real host name or address.
    #[schemars(length(min = 1))]
    pub(crate) hostname: String,
    /// User there; `git` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]*$"))]
    pub(crate) user: Option<String>,
    /// Port there; 22 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u16", range(min = 1, max = 65535))]
    pub(crate) port: Option<u16>,
    /// The server's public key as in `known_hosts`, type and base64. Checking is strict when it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) known_host_key: Option<String>,
}

/// Limits on what the agent may use; a missing one is the backend's default, never "unlimited".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "limits")]
pub(crate) struct Limits {
    /// Processors, such as 1.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 0.01, max = 4096))]
    pub(crate) cpus: Option<f64>,
    /// Memory: a whole number and `b`, `k`, `m` or `g`, such as `4g`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[0-9]+([bB]|[kmgKMG]([iI]?[bB])?)$"))]
    pub(crate) memory: Option<String>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = 4194304))]
    pub(crate) pids: Option<u32>,
    /// Shared memory in `/dev/shm`, which browsers and databases need: a whole number and `b`, `k`, `m` or `g`, such as `1g`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[0-9]+([bB]|[kmgKMG]([iI]?[bB])?)$"))]
    pub(crate) shm: Option<String>,
}
