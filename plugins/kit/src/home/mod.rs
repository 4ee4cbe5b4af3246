//! Files of the agent's home that its profile has: with them its program starts without asking what the bottle answers already.
//!
//! They are documents in which a few texts stand for what only a backend knows, see [`HomeFile`].

mod format;

use std::path::{Component, Path};

use claude_bottle_plugin_api::{AgentSpec, Call, EnvValue, Failure, FailureKind, HomeFile, Result, Spec};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::workspace::Place;

/// The file with the prompt, in the home.
pub const PROMPT: &str = ".claude-bottle-prompt.txt";
/// By how much of its end a program may remember a key.
const REMEMBERED: usize = 20;
/// Where skills go unless a profile says otherwise.
const SKILLS: &str = ".claude/skills";
/// Where an agent keeps what it remembers unless its profile says otherwise.
const STATE: &str = ".claude";

/// Returns where the skills of an agent go, relative to its home.
pub fn skills(agent: &AgentSpec) -> &str {
    agent.profile.as_ref().and_then(|profile| profile.skills.as_deref()).unwrap_or(SKILLS)
}

/// Returns the directory with what an agent remembers, relative to its home.
pub fn state(agent: &AgentSpec) -> &str {
    agent.profile.as_ref().and_then(|profile| profile.state.as_deref()).unwrap_or(STATE)
}

/// Returns the files of an agent's home by their paths in it, with their contents, for a home in which they are not there yet.
///
/// # Errors
/// Fails when the host does not give a secret whose end is wanted, and on a document that cannot be written.
pub fn files(spec: &Spec, call: &Call, place: &Place) -> Result<Vec<(String, Zeroizing<String>)>> {
    let known = Known { spec, call, place };
    let file = |file: &HomeFile| {
        let content = known.fill(&file.content)?.unwrap_or_default();
        Ok((file.path.clone(), Zeroizing::new(format::written(file, &content)?)))
    };
    of(&spec.agent).map(file).collect()
}

/// Refuses a profile whose places are not in the home, before anything is made.
///
/// # Errors
/// Fails on the first such place.
pub fn check(agent: &AgentSpec) -> Result<()> {
    for path in paths(agent).chain([skills(agent), state(agent)]) {
        let mut parts = Path::new(path).components();
        let is_plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        if path.is_empty() || !is_plain || !parts.all(|part| matches!(part, Component::Normal(_))) {
            let message = format!("`{}` is not a place in the agent's home", path.escape_default());
            return Err(Failure::new(FailureKind::Invalid, message));
        }
    }
    Ok(())
}

/// Returns the document of a file of the home, without what stands for something, for a file that is merged with it.
pub(crate) fn document(agent: &AgentSpec, path: &str) -> Map<String, Value> {
    let content = of(agent).find(|file| file.path == path).map(|file| &file.content);
    content.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Lays a document over another: mappings are merged, and anything else is replaced.
pub(crate) fn lay(over: Map<String, Value>, under: &mut Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => lay(over, under),
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

/// Returns the places of the files in the home.
pub(crate) fn paths(agent: &AgentSpec) -> impl Iterator<Item = &str> {
    of(agent).map(|file| file.path.as_str())
}

fn of(agent: &AgentSpec) -> impl Iterator<Item = &HomeFile> {
    agent.profile.iter().flat_map(|profile| &profile.files)
}

/// What texts of a document stand for.
struct Known<'a> {
    spec: &'a Spec,
    call: &'a Call,
    place: &'a Place,
}

impl Known<'_> {
    /// Returns a document with all that is known put in; `None` for an entry that is left out.
    fn fill(&self, value: &Value) -> Result<Option<Value>> {
        Ok(Some(match value {
            Value::String(text) => {
                match text.strip_prefix("${end:").and_then(|rest| rest.strip_suffix('}')) {
                    Some(name) => return Ok(self.end_of(name)?.map(Value::String)),
                    None => Value::String(self.text(text)),
                }
            }
            Value::Array(items) => {
                let items = items.iter().map(|item| self.fill(item)).collect::<Result<Vec<_>>>()?;
                Value::Array(items.into_iter().flatten().collect())
            }
            Value::Object(fields) => {
                let mut filled = Map::new();
                for (key, value) in fields {
                    filled.extend(self.fill(value)?.map(|value| (self.text(key), value)));
                }
                Value::Object(filled)
            }
            other => other.clone(),
        }))
    }

    fn text(&self, text: &str) -> String {
        match text {
            "${workspace}" => self.place.root.clone(),
            "${start}" => self.place.start.clone(),
            other => other.to_owned(),
        }
    }

    /// Returns the end of a secret, by which a program knows that it may use it. Nothing of one that is hardly longer than that:
    /// the secret itself is in no file.
    fn end_of(&self, name: &str) -> Result<Option<String>> {
        let Some(variable) = self.spec.bottle.env.iter().find(|variable| variable.name == name) else {
            return Ok(None);
        };
        let secret = match &variable.value {
            EnvValue::Literal { value } => Zeroizing::new(value.clone()),
            _ => Zeroizing::new(String::from_utf8_lossy(self.call.secret(name)?.expose()).into_owned()),
        };
        let length = secret.chars().count();
        let end: String = secret.chars().skip(length.saturating_sub(REMEMBERED)).collect();
        let is_plain = end.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        Ok((length >= 2 * REMEMBERED && is_plain).then_some(end))
    }
}

#[cfg(test)]
mod tests;
