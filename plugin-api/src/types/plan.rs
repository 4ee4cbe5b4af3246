//! What a backend is going to make, before it makes it.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::Spec;
use crate::{ErrorExt, Failure, FailureKind, Result};

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
    /// The run it is of: the host adds it for `launch` and `provision`. Since 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spec: Option<Box<Spec>>,
}

/// The key under which a state keeps the spec where the host does not hand it over.
const SPEC: &str = "spec";

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
            spec: None,
        })
    }

    /// Reads back what [`Plan::new`] was given.
    ///
    /// # Errors
    /// Fails when the state is another's or of another version.
    pub fn state<T: DeserializeOwned>(&self) -> Result<T> {
        from_state(&self.state, "plan")
    }

    /// Returns the run that this plan is of: in `launch` and `provision`, as `prepare` was given it. Since 1.1.
    ///
    /// A host of contract 1.0 does not hand it over. The glue has then kept it in the state, which it can if that is an object.
    ///
    /// # Errors
    /// [`FailureKind::Invalid`] when the spec is in neither place.
    pub fn spec(&self) -> Result<&Spec> {
        self.spec.as_deref().ok_or_else(|| {
            let message = "the run's spec did not come with the plan";
            Failure::new(FailureKind::Invalid, message).hint("update claude-bottle")
        })
    }

    /// Adds the run that this plan is of, as the host does: for tests that call a backend without one.
    #[must_use]
    pub fn with_spec(mut self, spec: &Spec) -> Self {
        self.spec = Some(Box::new(spec.clone()));
        self
    }

    /// Keeps the spec in the state, for a host that does not hand it over.
    pub(crate) fn keep_spec(&mut self, spec: &Spec) -> Result<()> {
        if let Some(state) = self.state.as_object_mut()
            && !state.contains_key(SPEC)
        {
            state.insert(SPEC.to_owned(), to_state(spec)?);
        }
        Ok(())
    }

    /// Finds the spec in the state when the host has not handed it over.
    pub(crate) fn find_spec(mut self) -> Self {
        if self.spec.is_none() {
            let kept = self.state.get(SPEC).and_then(|kept| Spec::deserialize(kept).ok());
            self.spec = kept.map(Box::new);
        }
        self
    }

    /// Adds a fact.
    pub fn fact(&mut self, label: impl Into<String>, value: impl Into<String>) {
        self.facts.push(Fact::new(label, value));
    }
}

/// Writes a backend's own state into a document.
pub(super) fn to_state(state: &impl Serialize) -> Result<Value> {
    serde_json::to_value(state).failure(FailureKind::Internal, || "cannot write the backend's state")
}

/// Reads a backend's own state back.
pub(super) fn from_state<T: DeserializeOwned>(state: &Value, document: &str) -> Result<T> {
    T::deserialize(state)
        .failure(FailureKind::Invalid, || format!("cannot read the backend's state in the {document}"))
}
