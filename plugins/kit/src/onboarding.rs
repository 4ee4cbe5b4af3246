//! What makes Claude Code start straight into its prompt in a fresh home, instead of asking what the bottle answers already.
//!
//! Measured with Claude Code 2.1: without these it checks the connection to hosts which the policy may not allow, and then
//! asks for a theme, for trust in the directory and for the acceptance of running without permission prompts, all of which
//! starting the bottle has said.

use claude_bottle_plugin_api::{Call, EnvValue, Result, Spec};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::workspace::Place;

/// The variable that Claude Code reads an API key from.
const KEY: &str = "ANTHROPIC_API_KEY";
/// By how much of its end Claude Code remembers a key that may be used.
const REMEMBERED: usize = 20;

/// Returns files of the agent's home by their paths in it, with their contents, for a home in which they are not there yet.
///
/// `approved` is what [`approved_key`] returned: Claude Code would ask whether to use the key that the manifest grants.
pub fn onboarding(place: &Place, approved: Option<&str>) -> [(&'static str, String); 2] {
    let approved: Vec<_> = approved.into_iter().collect();
    // It asks for the directory it starts in, and in a repository for the root of that.
    let trusted = json!({ "hasTrustDialogAccepted": true });
    let state = json!({
        "hasCompletedOnboarding": true,
        "customApiKeyResponses": { "approved": approved, "rejected": [] },
        "projects": { &place.root: trusted, &place.start: trusted },
    });
    let mut settings = Map::new();
    consents(&mut settings);
    [(".claude.json", state.to_string()), (".claude/settings.json", Value::Object(settings).to_string())]
}

/// Adds to settings what the user has agreed to by starting the bottle.
pub(crate) fn consents(settings: &mut Map<String, Value>) {
    settings.insert("skipDangerousModePermissionPrompt".to_owned(), Value::Bool(true));
}

/// Returns the end of the API key that the bottle is granted, by which Claude Code knows that it may use it. Nothing of a key
/// that is hardly longer than that: the key itself is in no file.
///
/// # Errors
/// Fails when the host does not give the key.
pub fn approved_key(spec: &Spec, call: &Call) -> Result<Option<Zeroizing<String>>> {
    let Some(variable) = spec.bottle.env.iter().find(|variable| variable.name == KEY) else {
        return Ok(None);
    };
    let key = match &variable.value {
        EnvValue::Literal { value } => Zeroizing::new(value.clone()),
        _ => Zeroizing::new(String::from_utf8_lossy(call.secret(KEY)?.expose()).into_owned()),
    };
    let length = key.chars().count();
    let end: String = key.chars().skip(length.saturating_sub(REMEMBERED)).collect();
    let is_plain = end.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    Ok((length >= 2 * REMEMBERED && is_plain).then(|| Zeroizing::new(end)))
}

#[cfg(test)]
mod tests {
    use claude_bottle_plugin_api::{AgentSpec, EnvVar, Owner};

    use super::*;

    fn check(key: &str, expected: Option<&str>) {
        let agent = AgentSpec::new("a", vec!["claude".to_owned()]);
        let mut spec = Spec::new("id", agent, Owner::new("here", 1, 1));
        spec.bottle.env.push(EnvVar::literal(KEY, key));
        let place = Place { root: "/workspace".to_owned(), start: "/workspace".to_owned(), refused: None };
        let approved = approved_key(&spec, &Call::detached()).unwrap();
        assert_eq!(approved.as_ref().map(|end| end.as_str()), expected, "{key}");
        let [(_, state), _] = onboarding(&place, expected);
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        assert_eq!(
            state["customApiKeyResponses"]["approved"],
            json!(expected.into_iter().collect::<Vec<_>>())
        );
        assert!(!state.to_string().contains(key) || key.is_empty());
    }

    #[test]
    fn only_the_end_of_a_key_is_written() {
        check("sk-ant-api03-0123456789abcdefghijklmnopqrstuvwxyz", Some("ghijklmnopqrstuvwxyz"));
        // The whole of it, or nearly.
        check("sk-ant-short", None);
        check("0123456789abcdefghij", None);
        check("", None);
        check("sk-ant-api03-0123456789abcdefghijklmnop\"rstuvwxyz", None);
    }
}
