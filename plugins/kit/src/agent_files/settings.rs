//! Settings of the user's own for the agent's program: which of them come along.
//!
//! They come by the list of the agent's profile, since most others make no sense in a bottle or harm it: `env` and headers hold
//! secrets, helpers run programs of the host that hand out credentials. What stays is named in the plan.

use claude_bottle_plugin_api::AgentFile;
use serde_json::{Map, Value};

use super::programs;
use crate::home;

/// Settings with programs in them, of which more is asked than that the list names them.
const HOOKS: &str = "hooks";
const STATUS_LINE: &str = "statusLine";

/// Settings as they come along.
#[derive(Debug)]
pub(super) struct Settings {
    kept: Map<String, Value>,
    /// What stays, by its name; of variables also theirs.
    left: Vec<String>,
}

impl Settings {
    /// Reads the file's text and takes what a list names, or says what is wrong with the text. What the agent's profile sets itself is
    /// ignored.
    pub(super) fn parse(text: &[u8], list: &[String], profile: &Map<String, Value>) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))
            // Only the place, since the text may hold a secret.
            .map_err(|error| format!("line {}, column {}: not valid JSON", error.line(), error.column()))?;
        let Value::Object(all) = value else { return Err("it holds no JSON object".to_owned()) };
        let mut settings = Self { kept: Map::new(), left: Vec::new() };
        for (name, value) in all.into_iter().filter(|(name, _)| !profile.contains_key(name)) {
            settings.take(name, value, list);
        }
        Ok(settings)
    }

    fn take(&mut self, name: String, value: Value, list: &[String]) {
        let is_whole = list.contains(&name);
        let parts: Vec<_> =
            list.iter().filter_map(|kept| kept.strip_prefix(&name)?.strip_prefix('.')).collect();
        let kept = match (name.as_str(), value) {
            (HOOKS, value) if is_whole => {
                let (kept, left) = programs::hooks(value);
                self.left.extend(left);
                kept
            }
            (STATUS_LINE, value) if is_whole && programs::is_command(&value) => Some(value),
            (name, value) if is_whole && name != STATUS_LINE => Some(value),
            (name, Value::Object(all)) if !parts.is_empty() => Some(self.parts(name, &parts, all)),
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

    /// Takes of a mapping the entries that the list names.
    fn parts(&mut self, name: &str, parts: &[&str], all: Map<String, Value>) -> Value {
        let (kept, left): (Map<_, _>, Map<_, _>) =
            all.into_iter().partition(|(part, _)| parts.contains(&part.as_str()));
        self.left.extend(left.into_iter().map(|(part, _)| format!("{name}.{part}")));
        kept.into()
    }

    /// Returns the text of the file inside, with what the agent's profile has in it, which wins.
    pub(super) fn text(mut self, profile: Map<String, Value>) -> String {
        home::lay(profile, &mut self.kept);
        Value::Object(self.kept).to_string()
    }

    /// Returns for a plan which of them run programs, and what stays.
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
