//! The manifest as it is written: the types that the JSON schema, the known keys and all writing come from.
//!
//! Reading does not go through these types, since serde stops at the first error and knows no places; the checks in
//! `check/` ask for the same keys, and the tests hold the two against each other.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};

use super::names::{AgentName, BottleName, EnvName, SkillName};

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
    /// Hosts the agent may reach over SSH.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ssh: Vec<Ssh>,
    /// What the agent may reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Egress")]
    pub(crate) egress: Option<Egress>,
    /// Limits on what the agent may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Limits")]
    pub(crate) limits: Option<Limits>,
    /// Image to use in place of the backend's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 512))]
    pub(crate) image: Option<String>,
    /// Settings for one backend alone, by the backend's name. Which there are, that backend says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) options: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
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

/// What the agent may reach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "egress")]
pub(crate) struct Egress {
    /// Rules: `host`, `*.domain`, either with `:port`, or any of these after `deny `.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allowlist: Vec<String>,
    /// Proxy that enforces the rules; `guard` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ProxyKind")]
    pub(crate) proxy: Option<ProxyKind>,
    /// Addresses of names, used instead of a lookup.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) hosts: BTreeMap<String, Addresses>,
    /// Private address ranges that named hosts may lie in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) private: Vec<Private>,
    /// Inspection of what is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Dlp")]
    pub(crate) dlp: Option<Dlp>,
}

/// Proxy of a bottle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyKind {
    /// claude-bottle's own egress guard.
    Guard,
    /// The pipelock image.
    Pipelock,
}

/// One address, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Addresses {
    /// One address.
    One(String),
    /// Several addresses, tried in this order.
    Several(Vec<String>),
}

/// Permission for one host to have addresses of one private range.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "private")]
pub(crate) struct Private {
    /// The host, spelled out.
    pub(crate) host: String,
    /// The range, such as `10.0.0.0/8`, or one address.
    pub(crate) range: String,
}

/// Inspection of what is sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "dlp")]
pub(crate) struct Dlp {
    /// What happens when one of this bottle's secrets is found; `block` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DlpAction")]
    pub(crate) secrets: Option<DlpAction>,
    /// What happens when a rule finds a credential; `block` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DlpAction")]
    pub(crate) rules: Option<DlpAction>,
    /// Hosts, or `*.domain`, that the rules do not look at. This bottle's secrets are still looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) exempt_hosts: Vec<String>,
    /// Names of rules that are switched off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) exempt_rules: Vec<String>,
}

/// What happens on a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DlpAction {
    /// The request is refused.
    Block,
    /// The request goes on, and the log says what was found.
    Warn,
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
    #[schemars(with = "String", regex(pattern = "^[0-9]+[bkmgBKMG]$"))]
    pub(crate) memory: Option<String>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = 4194304))]
    pub(crate) pids: Option<u32>,
}

/// A program with a prompt and skills that runs in a bottle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "agent")]
pub(crate) struct Agent {
    /// Name of the bottle it runs in.
    pub(crate) bottle: BottleName,
    /// Skills it gets: directories below `~/.claude/skills`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) skills: Vec<SkillName>,
    /// Prompt, appended to the agent's own system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) prompt: Option<String>,
    /// File with the prompt, relative to the manifest; instead of `prompt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    pub(crate) prompt_file: Option<String>,
    /// Program and arguments; `claude --dangerously-skip-permissions` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Command")]
    pub(crate) command: Option<Command>,
}

/// Program and arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Command {
    /// Words separated by spaces, without quotes or other characters of a shell.
    Line(String),
    /// Program and arguments, one each.
    List(#[schemars(length(min = 1))] Vec<String>),
}

/// The keys that each mapping of a manifest knows, sorted.
pub(crate) struct Keys {
    pub(crate) document: Vec<String>,
    pub(crate) bottle: Vec<String>,
    pub(crate) ssh: Vec<String>,
    pub(crate) egress: Vec<String>,
    pub(crate) private: Vec<String>,
    pub(crate) dlp: Vec<String>,
    pub(crate) limits: Vec<String>,
    pub(crate) agent: Vec<String>,
}

pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    document: keys_of::<Document>(),
    bottle: keys_of::<Bottle>(),
    ssh: keys_of::<Ssh>(),
    egress: keys_of::<Egress>(),
    private: keys_of::<Private>(),
    dlp: keys_of::<Dlp>(),
    limits: keys_of::<Limits>(),
    agent: keys_of::<Agent>(),
});

fn keys_of<T: JsonSchema>() -> Vec<String> {
    let schema = schema_for!(T);
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    let mut keys: Vec<String> =
        properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default();
    keys.sort();
    keys
}
