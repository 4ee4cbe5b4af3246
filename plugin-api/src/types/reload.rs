//! Another policy for the proxy of a bottle that runs, or another value for a secret that it holds.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a bottle may reach from now on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReloadRequest {
    /// The policy, whole: a document as `policy` is in [`crate::EgressSpec::config_json`]. Everything else that the proxy was
    /// configured with stays as it was.
    #[serde(default)]
    pub document: Value,
    /// In place of a policy: a secret of [`crate::EgressSpec::config_json`], in `policy.secrets`, that has another value from now on.
    /// The value is what [`crate::Call::secret`] gives for its name. `document` is null then, and the policy stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl ReloadRequest {
    /// Asks for this policy.
    pub fn new(document: Value) -> Self {
        Self { document, secret: None }
    }

    /// Asks for the value that the call has for this secret.
    pub fn of_secret(name: impl Into<String>) -> Self {
        Self { document: Value::Null, secret: Some(name.into()) }
    }
}

/// The answer to `reload`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reloaded {
    /// Whether every request from now on is decided by the new policy, or gets the new value. A host takes an answer that does not say so for a failure.
    #[serde(default)]
    pub applied: bool,
}

impl Reloaded {
    /// Says that what was asked for counts.
    pub fn applied() -> Self {
        Self { applied: true }
    }
}
