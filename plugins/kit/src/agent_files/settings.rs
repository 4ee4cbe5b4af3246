//! Claude Code's settings: which of them come along.
//!
//! They come by a list, since most others make no sense in a bottle or harm it: `env` and headers hold secrets, helpers run
//! programs of the host that hand out credentials, a sandbox of its own does not start inside another. What stays is named in
//! the plan. The list follows the schema of Claude Code 2.1: <https://code.claude.com/docs/en/settings>.

use claude_bottle_plugin_api::AgentFile;
use serde_json::{Map, Value};

use super::programs;
use crate::home;

/// Settings that come along: words, numbers and switches that tell how Claude Code works and looks, and what it may do.
const KEPT: &[&str] = &[
    "$schema",
    "agent",
    "alwaysThinkingEnabled",
    "attribution",
    "autoCompactEnabled",
    "autoMemoryEnabled",
    "autoScrollEnabled",
    "bashOutputMaxChars",
    "cleanupPeriodDays",
    "defaultShell",
    "disableAllHooks",
    "disableBundledSkills",
    "disableSkillShellExecution",
    "disableWorkflows",
    "editorMode",
    "effortLevel",
    "emojiCompletionEnabled",
    "enableWorkflows",
    "fallbackModel",
    "fastMode",
    "fastModePerSessionOptIn",
    "fileCheckpointingEnabled",
    "includeCoAuthoredBy",
    "includeGitInstructions",
    "language",
    "maxEffortLevel",
    "maxProseWidth",
    "model",
    "outputStyle",
    "plansDirectory",
    "prefersReducedMotion",
    "promptSuggestionEnabled",
    "respectGitignore",
    "showMessageTimestamps",
    "showThinkingSummaries",
    "skillListingBudgetFraction",
    "skillListingMaxDescChars",
    "spinnerTipsEnabled",
    "syntaxHighlightingDisabled",
    "terminalProgressBarEnabled",
    "theme",
    "timeFormat",
    "todoFeatureEnabled",
    "tui",
    "verbose",
    "viewMode",
    "vimInsertModeRemaps",
];
/// What of `permissions` comes along. Directories of the host are not there, and a ban of running without questions would keep
/// the agent from starting.
const PERMISSIONS: [&str; 4] = ["allow", "ask", "defaultMode", "deny"];

/// Settings as they come along.
#[derive(Debug)]
pub(super) struct Settings {
    kept: Map<String, Value>,
    /// What stays, by its name; of variables also theirs.
    left: Vec<String>,
}

impl Settings {
    /// Reads the file's text, or says what is wrong with it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))
            // Where, and not what: the text may hold a secret.
            .map_err(|error| format!("line {}, column {}: not valid JSON", error.line(), error.column()))?;
        let Value::Object(all) = value else { return Err("it holds no JSON object".to_owned()) };
        let mut settings = Self { kept: Map::new(), left: Vec::new() };
        for (name, value) in all {
            settings.take(name, value);
        }
        Ok(settings)
    }

    fn take(&mut self, name: String, value: Value) {
        let kept = match (name.as_str(), value) {
            ("permissions", Value::Object(all)) => Some(self.permissions(all)),
            ("hooks", value) => {
                let (kept, left) = programs::hooks(value);
                self.left.extend(left);
                kept
            }
            ("statusLine", value) if programs::is_command(&value) => Some(value),
            (name, value) if KEPT.contains(&name) => Some(value),
            // Starting a bottle says it, and so the profile does.
            ("skipDangerousModePermissionPrompt", _) => None,
            ("env", Value::Object(all)) => {
                let names: Vec<_> = all.keys().map(String::as_str).collect();
                self.left.push(format!("env ({})", names.join(", ")));
                None
            }
            (name, _) => {
                self.left.push(name.to_owned());
                None
            }
        };
        self.kept.extend(kept.map(|value| (name, value)));
    }

    fn permissions(&mut self, all: Map<String, Value>) -> Value {
        let (kept, left): (Map<_, _>, Map<_, _>) =
            all.into_iter().partition(|(name, _)| PERMISSIONS.contains(&name.as_str()));
        self.left.extend(left.into_iter().map(|(name, _)| format!("permissions.{name}")));
        kept.into()
    }

    /// Returns the text of the file inside, with what the agent's profile has in it, which wins.
    pub(super) fn text(mut self, profile: Map<String, Value>) -> String {
        home::lay(profile, &mut self.kept);
        Value::Object(self.kept).to_string()
    }

    /// Says for a plan what of them runs programs, and what stays.
    pub(super) fn facts(&self, files: &[AgentFile]) -> Vec<(&'static str, String)> {
        let runs = programs::said(&self.kept, files);
        let mut facts = Vec::new();
        if !runs.is_empty() {
            facts.push(("settings run", runs.join(", ")));
        }
        if !self.left.is_empty() {
            facts.push(("settings left", format!("{}: not for a bottle", self.left.join(", "))));
        }
        facts
    }
}
