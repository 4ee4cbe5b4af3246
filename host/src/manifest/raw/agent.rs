//! An agent as it is written: its program, its setup, its servers of tools.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::manifest::claude_name::ClaudeName;
use crate::manifest::names::{BottleName, EnvName, SkillName};

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
    /// Whether it goes on when its terminal is closed; as `config.yaml` says unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(crate) survive: Option<bool>,
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
