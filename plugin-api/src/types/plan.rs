//! What a backend is going to make, before it makes it.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{ErrorExt, FailureKind, Result};

/// A label and a value, for show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fact {
    /// What it is about, lower case: "runtime".
    pub label: String,
    /// What is to be said: "runc (default)".
    pub value: String,
}

impl Fact {
    /// Makes a fact.
    pub fn new(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into() }
    }
}

/// The answer to `prepare`: shown to the user, then given to `launch` as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// What the bottle will be called by its engine: a container's name.
    pub name: String,
    /// The image it will run from.
    #[serde(default)]
    pub image: Option<String>,
    /// The runtime that will isolate it: "runsc (gVisor)".
    #[serde(default)]
    pub runtime: Option<String>,
    /// What else the user should see.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// Protections or grants this backend cannot give, each a sentence.
    #[serde(default)]
    pub limitations: Vec<String>,
    /// What `launch` needs; the host does not look into it.
    #[serde(default)]
    pub state: Value,
}

impl Plan {
    /// Makes a plan from a name and what `launch` will need.
    ///
    /// # Errors
    /// Fails when `state` cannot be written as JSON.
    pub fn new(name: impl Into<String>, state: &impl Serialize) -> Result<Self> {
        Ok(Self {
            name: name.into(),
            image: None,
            runtime: None,
            facts: Vec::new(),
            limitations: Vec::new(),
            state: to_state(state)?,
        })
    }

    /// Reads back what [`Plan::new`] was given.
    ///
    /// # Errors
    /// Fails when the state is another's or of another version.
    pub fn state<T: DeserializeOwned>(&self) -> Result<T> {
        from_state(&self.state, "plan")
    }

    /// Adds a fact.
    pub fn fact(&mut self, label: impl Into<String>, value: impl Into<String>) {
        self.facts.push(Fact::new(label, value));
    }
}

/// Writes a backend's own state into a document.
pub(super) fn to_state(state: &impl Serialize) -> Result<Value> {
    serde_json::to_value(state).failure(FailureKind::Internal, || "write the backend's state")
}

/// Reads a backend's own state back.
pub(super) fn from_state<T: DeserializeOwned>(state: &Value, document: &str) -> Result<T> {
    T::deserialize(state)
        .failure(FailureKind::Invalid, || format!("read the backend's state in the {document}"))
}
