//! The program that runs in the bottle, and what it is given of the user's own.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::AgentProfile;

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
    /// Files and directories of the user's own that it gets. Since 1.1, with the feature [`AgentFile::FEATURE`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<AgentFile>,
    /// What is known of its program. Since 1.1, with the feature [`AgentProfile::FEATURE`] unless it is Claude Code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<AgentProfile>,
}

impl AgentSpec {
    /// Makes an agent without prompt and skills.
    pub fn new(name: impl Into<String>, command: Vec<String>) -> Self {
        Self {
            name: name.into(),
            command,
            prompt: String::new(),
            skills: Vec::new(),
            files: Vec::new(),
            profile: None,
        }
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

/// A file or directory of the host that is copied into the agent's home, in place of what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentFile {
    /// Where it is on the host, absolute.
    pub source: PathBuf,
    /// Where it goes, relative to the home, below `.claude`: `.claude/CLAUDE.md`. Of `.claude/settings.json` a backend takes
    /// over only what [`AgentProfile::own_settings`] names, and adds what the profile has there.
    pub path: String,
}

impl AgentFile {
    /// What a backend declares that copies such files.
    pub const FEATURE: &str = "agent.files";

    /// Names a file or directory and where it goes.
    pub fn new(source: impl Into<PathBuf>, path: impl Into<String>) -> Self {
        Self { source: source.into(), path: path.into() }
    }
}
