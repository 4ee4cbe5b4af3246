//! The manifest as it is written: the types that the JSON schema, the known keys and all writing come from.
//!
//! Reading does not go through these types, since serde stops at the first error and knows no places; the checks in
//! `check/` ask for the same keys, and the tests hold the two against each other.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::claude_name::ClaudeName;
use super::names::{AgentName, BottleName, EnvName, SkillName};
use super::raw_secret;
use crate::egress::presets::PresetName;

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
    pub(crate) secrets: BTreeMap<EnvName, raw_secret::Secret>,
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

/// What the agent may reach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "egress")]
pub(crate) struct Egress {
    /// Rules: `host`, `*.domain`, either with `:port`, or any of these after `deny `.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allowlist: Vec<String>,
    /// Hosts of registries and forges by name: `node`, `python`, `github`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) presets: Vec<PresetName>,
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
    /// Let a request to a host that no rule allows wait up to a minute for an answer from `claude-bottle watch` or
    /// `claude-bottle policy allow`, in place of refusing it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(crate) ask: Option<bool>,
    /// Inspection of what is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Dlp")]
    pub(crate) dlp: Option<Dlp>,
    /// HTTP proxy above the guard: `http://host:port`, `${NAME}` for a variable of the host, or `none`; `${HTTPS_PROXY}`
    /// unless given, where that is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    pub(crate) upstream_proxy: Option<String>,
    /// Whose HTTPS the guard looks into: `all` hosts', that of hosts for which a rule with methods or a path makes it
    /// `needed`, or `none`. `needed` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Intercept")]
    pub(crate) intercept: Option<Intercept>,
    /// Hosts, or `*.domain`, whose HTTPS is never looked into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) passthrough: Vec<String>,
    /// Files with certificates in PEM, of authorities that the guard trusts for hosts besides those of this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) authorities: Vec<String>,
}

/// Whose HTTPS the guard looks into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Intercept {
    /// No host's.
    None,
    /// That of hosts for which a rule with methods or a path makes it needed.
    Needed,
    /// All hosts'.
    All,
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
    /// Further kinds of secrets that are looked for: `cards`, `accounts`, `wallets`, `jwts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<DlpKind>,
}

/// A kind of secret that is looked for only when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DlpKind {
    /// Numbers of payment cards, by their check digit.
    Cards,
    /// International bank account numbers, by their check digits.
    Accounts,
    /// Private keys of wallets.
    Wallets,
    /// JSON Web Tokens, outside of credential headers.
    Jwts,
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
    /// What it gets of `~/.claude`, by name: instructions, settings, commands, agents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) claude: Vec<ClaudeName>,
    /// What is known of its program: `claude`, `codex`, `gemini`, `opencode`, `aider`, `shell`, or a file of
    /// `~/.config/claude-bottle/profiles`. `claude` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[a-z0-9][a-z0-9-]{0,40}$"))]
    pub(crate) profile: Option<String>,
    /// What its own settings say besides, as its program has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) settings: BTreeMap<String, serde_json::Value>,
    /// Servers of tools (MCP) that it is given, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) mcp: BTreeMap<String, McpServer>,
    /// Commands that make the bottle ready before the agent runs, inside and under the same policy: `npm ci`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) setup: Vec<SetupCommand>,
    /// Paths below its home in which it keeps its sessions; its profile knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub(crate) history: Option<Vec<String>>,
    /// Prompt, appended to the agent's own system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) prompt: Option<String>,
    /// File with the prompt, relative to the manifest; instead of `prompt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    pub(crate) prompt_file: Option<String>,
    /// Program and arguments; those of its profile unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Command")]
    pub(crate) command: Option<Command>,
}

/// A command that makes the bottle ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum SetupCommand {
    /// A line for `sh -c`, or program and arguments.
    Command(ShellCommand),
    /// The same, with how it is run.
    Step(SetupStep),
}

/// A line for `sh -c`, or program and arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ShellCommand {
    /// A line for `sh -c`.
    Line(#[schemars(length(min = 1))] String),
    /// Program and arguments, one each.
    List(#[schemars(length(min = 1))] Vec<String>),
}

/// A command that makes the bottle ready, with how it is run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "setup")]
pub(crate) struct SetupStep {
    /// The command.
    pub(crate) run: ShellCommand,
    /// Whether the agent is started although it fails; `false` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(crate) optional: Option<bool>,
    /// How long it may take: a whole number and `s`, `m` or `h`. `30m` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[0-9]+[smhd]$"))]
    pub(crate) timeout: Option<String>,
}

/// A server of tools: a program in the bottle, or one elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "mcp")]
pub(crate) struct McpServer {
    /// Program and arguments of a server in the bottle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Command")]
    pub(crate) command: Option<Command>,
    /// Variables of the bottle that the program gets, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) env: Vec<EnvName>,
    /// Where a server is that is elsewhere: `https://HOST/PATH`. The host is added to what may be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    pub(crate) url: Option<String>,
    /// Headers of a server elsewhere, each a variable of the bottle: `${NAME}` or `Bearer ${NAME}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
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
