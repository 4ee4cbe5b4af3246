//! Another policy for the proxy of a bottle that runs.

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
}

impl ReloadRequest {
    /// Asks for this policy.
    pub fn new(document: Value) -> Self {
        Self { document }
    }
}

/// The answer to `reload`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reloaded {
    /// Whether every request from now on is decided by the new policy. A host takes an answer that does not say so for a failure.
    #[serde(default)]
    pub applied: bool,
}

impl Reloaded {
    /// Says that the new policy counts.
    pub fn applied() -> Self {
        Self { applied: true }
    }
}
