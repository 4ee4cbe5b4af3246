//! Programs that settings name: hooks and the status line. They run in the bottle, and the plan names them.

use claude_bottle_plugin_api::AgentFile;
use serde_json::{Map, Value};

/// Kinds of hooks that come along. One that is sent to an address has headers with credentials.
const HOOKS: [&str; 2] = ["command", "prompt"];
/// Directories that a bottle has too, with programs that may be the same.
const EVERYWHERE: [&str; 8] = ["/bin", "/dev", "/etc", "/lib", "/proc", "/sbin", "/tmp", "/usr"];
/// How a command names the home directory.
const HOME: [&str; 3] = ["~/", "$HOME/", "${HOME}/"];

/// Returns `true` if a value is a command to be run.
pub(super) fn is_command(value: &Value) -> bool {
    value["type"] == "command" && value["command"].is_string()
}

/// Returns the hooks that come along, and names the others.
pub(super) fn hooks(value: Value) -> (Option<Value>, Vec<String>) {
    let Value::Object(mut events) = value else { return (None, vec!["hooks".to_owned()]) };
    let mut left = Vec::new();
    for (event, matchers) in &mut events {
        let matchers = matchers.as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
        for hooks in matchers.iter_mut().filter_map(|matcher| matcher["hooks"].as_array_mut()) {
            let before = hooks.len();
            hooks.retain(|hook| hook["type"].as_str().is_some_and(|kind| HOOKS.contains(&kind)));
            if hooks.len() < before {
                left.push(format!("hooks.{event}, where no program is run"));
            }
        }
    }
    (Some(events.into()), left)
}

/// Returns what is run, each by its event and program, and which path it names that is not in the bottle. Arguments are not said:
/// they may hold anything.
pub(super) fn said(settings: &Map<String, Value>, files: &[AgentFile]) -> Vec<String> {
    let mut said = Vec::new();
    for (event, matchers) in settings.get("hooks").and_then(Value::as_object).into_iter().flatten() {
        let hooks = matchers.as_array().into_iter().flatten();
        let hooks = hooks.flat_map(|matcher| matcher["hooks"].as_array().into_iter().flatten());
        said.extend(hooks.filter_map(|hook| command(event, hook, files)));
    }
    said.extend(settings.get("statusLine").and_then(|line| command("status line", line, files)));
    said
}

fn command(label: &str, value: &Value, files: &[AgentFile]) -> Option<String> {
    let text = value["command"].as_str()?;
    let mut words = text.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
    // A variable that is set in front may be a secret.
    let program = words.clone().find(|word| !word.contains('=')).unwrap_or("a shell line");
    let missing = words.find(|word| is_missing(word, files));
    Some(match missing {
        Some(path) if path == program => format!("{label}: {program} (not in the bottle)"),
        Some(path) => format!("{label}: {program} ({path} is not in the bottle)"),
        None => format!("{label}: {program}"),
    })
}

/// Returns `true` if a word is a path of the host that the bottle has not, as far as that can be told.
fn is_missing(word: &str, files: &[AgentFile]) -> bool {
    if let Some(rest) = HOME.iter().find_map(|home| word.strip_prefix(home)) {
        return !files.iter().any(|file| std::path::Path::new(rest).starts_with(&file.path));
    }
    word.starts_with('/') && !EVERYWHERE.iter().any(|place| std::path::Path::new(word).starts_with(place))
}
