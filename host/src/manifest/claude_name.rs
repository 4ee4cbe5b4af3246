//! What an agent may get of `~/.claude`, by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an agent may get of `~/.claude`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "claude")]
pub(crate) enum ClaudeName {
    /// The user's instructions.
    #[serde(rename = "CLAUDE.md")]
    Instructions,
    /// Instructions by topic.
    #[serde(rename = "rules")]
    Rules,
    /// Settings, as far as they are for a bottle.
    #[serde(rename = "settings.json")]
    Settings,
    /// Commands that begin with a slash.
    #[serde(rename = "commands")]
    Commands,
    /// Agents to delegate to.
    #[serde(rename = "agents")]
    Agents,
    /// Styles of answers.
    #[serde(rename = "output-styles")]
    OutputStyles,
    /// Programs that settings name.
    #[serde(rename = "hooks")]
    Hooks,
    /// Keys.
    #[serde(rename = "keybindings.json")]
    Keys,
}

impl ClaudeName {
    /// All, in the order of the documentation.
    pub(crate) const ALL: [Self; 8] = [
        Self::Instructions,
        Self::Rules,
        Self::Settings,
        Self::Commands,
        Self::Agents,
        Self::OutputStyles,
        Self::Hooks,
        Self::Keys,
    ];

    /// Returns the name, which is that of the file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Instructions => "CLAUDE.md",
            Self::Rules => "rules",
            Self::Settings => "settings.json",
            Self::Commands => "commands",
            Self::Agents => "agents",
            Self::OutputStyles => "output-styles",
            Self::Hooks => "hooks",
            Self::Keys => "keybindings.json",
        }
    }

    /// Returns `true` if it is a file, in place of a directory.
    pub(crate) const fn is_file(self) -> bool {
        matches!(self, Self::Instructions | Self::Settings | Self::Keys)
    }
}
