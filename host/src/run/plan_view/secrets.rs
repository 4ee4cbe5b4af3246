//! What a plan says of secrets: which the guard holds, and which the agent reads. Names, never a value.

use claude_bottle_egress_policy::Policy;
use claude_bottle_plugin_api::{BottleSpec, EnvValue};
use serde::Serialize;

use crate::manifest::{SecretEntry, SecretUse};

/// A secret that the guard holds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SecretView {
    name: String,
    hosts: Vec<String>,
    r#as: Vec<String>,
    source: &'static str,
    #[serde(skip)]
    goes_to: String,
    /// A command's words: it runs outside of the bottle.
    #[serde(skip)]
    by: Option<String>,
}

impl SecretView {
    /// Says it as the policy has it, which is what the guard goes by.
    pub(super) fn of(secret: &SecretEntry, policy: &Policy) -> Self {
        let held = || policy.secrets.iter().filter(|held| held.name == secret.name.as_str());
        let mut places: Vec<_> = held().flat_map(|held| &held.places).map(ToString::to_string).collect();
        places.sort();
        places.dedup();
        let source = secret.source.word();
        let uses = held().map(|held| SecretUse { hosts: held.hosts.clone(), places: held.places.clone() });
        Self {
            name: secret.name.to_string(),
            hosts: held().flat_map(|held| &held.hosts).map(ToString::to_string).collect(),
            r#as: places,
            source,
            goes_to: uses.map(|part| part.to_string()).collect::<Vec<_>>().join(", "),
            by: (source == "command").then(|| secret.source.to_string()),
        }
    }

    /// Returns the plan's row.
    pub(super) fn text(all: &[Self]) -> Option<String> {
        let one = |view: &Self| {
            let by = view.by.as_ref().map(|by| format!(", from {by}")).unwrap_or_default();
            format!("{} \u{2192} {}{by}", view.name, view.goes_to)
        };
        (!all.is_empty()).then(|| all.iter().map(one).collect::<Vec<_>>().join("; "))
    }
}

/// Returns the names of the secrets that the agent reads.
pub(super) fn exposed(bottle: &BottleSpec) -> Vec<String> {
    let secret = bottle.env.iter().filter(|variable| variable.value == EnvValue::Secret);
    let mut names: Vec<_> = secret.map(|variable| variable.name.clone()).collect();
    names.sort();
    names
}

/// Says which variables there are, and which of them are secrets that the agent reads.
pub(super) fn env_text(names: &[String], exposed: &[String], held: &[SecretView]) -> String {
    let plain = plain(names, exposed, held);
    let readable = (!exposed.is_empty()).then(|| format!("readable by the agent: {}", exposed.join(", ")));
    let plain = (!plain.is_empty()).then(|| plain.join(", "));
    let parts: Vec<_> = [plain, readable].into_iter().flatten().collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join("; ") }
}

/// Returns the names of the variables that are no secrets.
pub(super) fn plain(names: &[String], exposed: &[String], held: &[SecretView]) -> Vec<String> {
    let is_held = |name: &String| held.iter().any(|secret| secret.name == *name);
    names.iter().filter(|name| !exposed.contains(name) && !is_held(name)).cloned().collect()
}
