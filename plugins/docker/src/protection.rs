//! Protections a bottle should have, what an engine may lack of them, and doing without by name.

use std::fmt;

use claude_bottle_plugin_api::{Failure, FailureKind, Result, Spec, Subject};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::EngineFacts;
use crate::hardening;

/// The option by which a manifest does without: a list of names.
const OPTION: &str = "allow_missing";

/// A protection without which nothing is launched unless the manifest says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protection {
    Seccomp,
    Memory,
    Pids,
    /// The host's own addresses are out of the agent's reach.
    Isolation,
}

const ALL: [Protection; 4] =
    [Protection::Seccomp, Protection::Memory, Protection::Pids, Protection::Isolation];

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seccomp => "seccomp",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Isolation => "isolation",
        })
    }
}

impl Protection {
    /// Returns what its absence means, for a person.
    pub(crate) fn absence(self) -> &'static str {
        match self {
            Self::Seccomp => {
                "the engine takes no call filter (seccomp is off, or it runs neither on x86-64 nor on arm64)"
            }
            Self::Memory => "the engine cannot limit memory",
            Self::Pids => "the engine cannot limit the number of processes",
            Self::Isolation => "the engine lets the agent reach the host's own addresses",
        }
    }

    /// Returns the sentence for a plan whose manifest allows its absence.
    pub(crate) fn consent(self) -> String {
        format!("the manifest does without the protection `{self}` where the engine cannot give it")
    }

    /// Returns what an engine lacks by its own account.
    pub(crate) fn missing(facts: &EngineFacts) -> Vec<Self> {
        let has = [
            (hardening::can_filter(facts), Self::Seccomp),
            (facts.limits.memory, Self::Memory),
            (facts.limits.pids, Self::Pids),
        ];
        has.into_iter().filter(|(has, _)| !has).map(|(_, protection)| protection).collect()
    }

    /// Returns what the manifest does without.
    ///
    /// # Errors
    /// Fails on a list that names something else: a misspelt name must not be taken for consent or for caution.
    pub(crate) fn allowed_missing(spec: &Spec) -> Result<Vec<Self>> {
        let Some(list) = spec.options.get(OPTION) else { return Ok(Vec::new()) };
        serde_json::from_value::<Vec<Self>>(list.clone()).map_err(|_| {
            let known = ALL.map(|protection| protection.to_string()).join(", ");
            let found = serde_json::to_string(list).unwrap_or_default();
            Failure::new(FailureKind::Invalid, format!("the option `{OPTION}` is `{found}`"))
                .about(Subject::Option(OPTION.to_owned()))
                .hint(format!("use a list of: {known}"))
        })
    }

    /// Refuses a launch without this protection.
    pub(crate) fn refuse(missing: &[Self]) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let sentences: Vec<_> = missing.iter().map(|protection| protection.absence()).collect();
        let names: Vec<_> = missing.iter().map(|protection| Value::from(protection.to_string())).collect();
        let hint = format!(
            "{OPTION}: {}   # in bottles.<name>.options.docker of the manifest, to do without",
            Value::from(names)
        );
        Err(Failure::new(FailureKind::Unsupported, sentences.join("; ")).hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use claude_bottle_plugin_api::{AgentSpec, Owner};
    use serde_json::json;

    use super::*;

    #[test]
    fn only_known_names_are_consent() {
        let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        assert_eq!(Protection::allowed_missing(&spec).unwrap(), []);
        spec.options = json!({ "allow_missing": ["seccomp", "pids"] });
        let allowed = Protection::allowed_missing(&spec).unwrap();
        assert_eq!(allowed, [Protection::Seccomp, Protection::Pids]);
        for nonsense in [json!(["everything"]), json!("seccomp"), json!(true)] {
            spec.options = json!({ "allow_missing": nonsense });
            let failure = Protection::allowed_missing(&spec).unwrap_err();
            assert!(failure.hints[0].contains("seccomp, memory, pids, isolation"), "{failure:?}");
        }
    }

    #[test]
    fn a_refusal_names_each_and_how_to_do_without() {
        let missing = Protection::missing(&EngineFacts::default());
        assert_eq!(missing, [Protection::Seccomp, Protection::Memory, Protection::Pids]);
        let failure = Protection::refuse(&missing[..2]).unwrap_err();
        assert!(failure.message.contains("seccomp is off") && failure.message.contains("limit memory"));
        assert!(failure.hints[0].starts_with(r#"allow_missing: ["seccomp","memory"]"#), "{failure:?}");
        Protection::refuse(&[]).unwrap();
    }
}
