//! What the agent's program needs around it: a layer of an image, variables, files of its home.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is known of the agent's program. It names secrets and holds none. Since 1.1.
///
/// The host requires [`Self::FEATURE`] for every agent but that of contract 1.0, Claude Code: a backend that does not know the
/// feature starts that one as ever, and no other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentProfile {
    /// Its name, a slug: `codex`.
    pub name: String,
    /// Instructions of a Dockerfile that add the program to an image of Debian with node, as root; none if that is empty.
    /// `None` is what a backend's own image has by itself, Claude Code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Commands that install the program on a machine, for a backend that runs it from there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub install: Vec<String>,
    /// Variables of every program in the bottle; those of the bottle win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Files of the home, written where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<HomeFile>,
    /// Which settings of the user's own come along, where [`super::AgentFile`]s name their file; without it, none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_settings: Option<OwnSettings>,
    /// Where skills go, relative to the home; `.claude/skills` if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skills: Option<String>,
    /// The directory with what it remembers, relative to the home; `.claude` if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

impl AgentProfile {
    /// What a backend declares that starts other agents than Claude Code.
    pub const FEATURE: &str = "agent.profile";

    /// Names a profile that says nothing else.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// Which settings come along of a file of the user's own. All others stay: a new one may hold a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OwnSettings {
    /// The file, relative to the home.
    pub path: String,
    /// Names of settings; `a.b` is the entry `b` of the mapping `a`.
    #[serde(default)]
    pub keep: Vec<String>,
}

impl OwnSettings {
    /// Names a file and the settings that come along.
    pub fn new(path: impl Into<String>, keep: Vec<String>) -> Self {
        Self { path: path.into(), keep }
    }
}

/// A file of the agent's home, made from a document.
///
/// In a document, a string and a key that is exactly `${workspace}` stands for the directory of the working directory's copy, and
/// `${start}` for where programs start. In a list, `${end:NAME}` stands for the last 20 characters of the variable `NAME` where
/// that is at least twice as long and plain, and is left out otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HomeFile {
    /// Where it is, relative to the home.
    pub path: String,
    /// How its content is written.
    pub format: FileFormat,
    /// A string for [`FileFormat::Text`], else a mapping.
    pub content: Value,
}

impl HomeFile {
    /// Names a file and what is in it.
    pub fn new(path: impl Into<String>, format: FileFormat, content: Value) -> Self {
        Self { path: path.into(), format, content }
    }
}

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FileFormat {
    /// As it is.
    Text,
    /// As JSON.
    Json,
    /// As TOML: a table, without null.
    Toml,
    /// A format this side does not know; it is refused.
    #[serde(other)]
    Unknown,
}
