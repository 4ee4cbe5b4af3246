//! A bottle that exists, as a document: any process that has it can exec into it or close it.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::plan::{from_state, to_state};
use crate::Result;

/// The process a run belongs to. The start time tells it from a later process with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Owner {
    /// The machine's name.
    pub host: String,
    /// The process's number.
    pub pid: u32,
    /// When the process started, in the host's own unit; compared for equality only.
    pub started: u64,
}

impl Owner {
    /// Names a process.
    pub fn new(host: impl Into<String>, pid: u32, started: u64) -> Self {
        Self { host: host.into(), pid, started }
    }
}

/// The answer to `launch`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bottle {
    /// What its engine calls it.
    pub name: String,
    /// What the backend needs to reach it; the host stores it and does not look into it.
    #[serde(default)]
    pub state: Value,
}

impl Bottle {
    /// Makes a record from a name and what the backend will need.
    ///
    /// # Errors
    /// Fails when `state` cannot be written as JSON.
    pub fn new(name: impl Into<String>, state: &impl Serialize) -> Result<Self> {
        Ok(Self { name: name.into(), state: to_state(state)? })
    }

    /// Reads back what [`Bottle::new`] was given.
    ///
    /// # Errors
    /// Fails when the state is another's or of another version.
    pub fn state<T: DeserializeOwned>(&self) -> Result<T> {
        from_state(&self.state, "bottle")
    }
}

/// The answer to `provision`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Provisioned {
    /// Where the prompt is in the bottle, when it is not empty.
    #[serde(default)]
    pub prompt_path: Option<String>,
}

impl Provisioned {
    /// Says where the prompt is.
    pub fn with_prompt(prompt_path: Option<String>) -> Self {
        Self { prompt_path }
    }
}

/// The state of a bottle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BottleState {
    /// It is being made.
    Creating,
    /// It is made and does not run.
    Created,
    /// It runs.
    Running,
    /// It has run.
    Stopped,
    /// A state this side does not know.
    #[serde(other)]
    Unknown,
}

/// A bottle in the answer to `list_active`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActiveBottle {
    /// The run's identifier.
    pub id: String,
    /// What its engine calls it.
    pub name: String,
    /// The agent's name in the manifest.
    pub agent: String,
    /// The bottle's name in the manifest.
    pub bottle: String,
    /// Its state.
    pub state: BottleState,
    /// When it was made, in seconds since 1970-01-01 UTC.
    #[serde(default)]
    pub created_unix: u64,
    /// The process it belongs to; `None` when that is not known.
    #[serde(default)]
    pub owner: Option<Owner>,
    /// The record to reach it with.
    pub record: Bottle,
}

impl ActiveBottle {
    /// Makes an entry for a running bottle; the other fields are set by the caller.
    pub fn new(
        id: impl Into<String>,
        agent: impl Into<String>,
        bottle: impl Into<String>,
        record: Bottle,
    ) -> Self {
        Self {
            id: id.into(),
            name: record.name.clone(),
            agent: agent.into(),
            bottle: bottle.into(),
            state: BottleState::Running,
            created_unix: 0,
            owner: None,
            record,
        }
    }
}
