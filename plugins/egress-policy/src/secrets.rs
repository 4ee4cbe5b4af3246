//! The secrets of one bottle, as the host hands them to its guard. Never part of the configuration text.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::rule::HostPattern;

/// One secret the guard looks for.
///
/// It has no `Debug` and no `Display`; it is serialised only to be handed to the guard.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardSecret {
    /// What findings call it, for instance the variable's name.
    pub name: String,
    /// The value.
    pub value: String,
    /// Hosts that may receive it in a credential header such as `Authorization`.
    #[serde(default)]
    pub hosts: Vec<HostPattern>,
}

/// All secrets of the bottle: a JSON list of `{"name", "value", "hosts"}`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GuardSecrets {
    /// The secrets, in the host's order.
    pub entries: Vec<GuardSecret>,
}

impl GuardSecrets {
    /// Reads the JSON text. An error says where, never what.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        serde_json::from_str(text)
            .map_err(|error| ConfigError::Secrets { line: error.line(), column: error.column() })
    }

    /// Returns the JSON text to hand to the guard by file or pipe.
    pub fn to_json(&self) -> Result<String, ConfigError> {
        serde_json::to_string(self)
            .map_err(|error| ConfigError::Secrets { line: error.line(), column: error.column() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_there_and_back() {
        let text = r#"[{"name":"TOKEN","value":"line one\nline two","hosts":["*.example.org"]}]"#;
        let secrets = GuardSecrets::from_json(text).unwrap();
        assert_eq!(secrets.entries[0].value, "line one\nline two");
        assert_eq!(secrets.to_json().unwrap(), text);
    }

    #[test]
    fn an_error_never_repeats_the_text() {
        for text in
            ["hunter2-hunter2", r#"[{"name":"A","value":7}]"#, r#"[{"name":"A","hunter2":"x","value":"y"}]"#]
        {
            let Err(error) = GuardSecrets::from_json(text) else { panic!("{text} was accepted") };
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(std::error::Error::source(&error).is_none());
        }
    }
}
