//! A bottle that exists, as a document: any process that has it can exec into it or close it.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::plan::{from_state, to_state};
use crate::Result;

/// The process a run belongs to. The start time tells it from a later process with the same number, and the other fields
/// say where the number counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Owner {
    /// The machine's name.
    pub host: String,
    /// The process's number.
    pub pid: u32,
    /// When the process started, in the host's own unit; compared for equality only.
    pub started: u64,
    /// Which start of which kernel it runs under; empty when that is not known.
    #[serde(default)]
    pub boot_id: String,
    /// Which machine that is, whatever its name; empty when that is not known.
    #[serde(default)]
    pub machine_id: String,
    /// The pid namespace in which its number counts; 0 when that is not known.
    #[serde(default)]
    pub pid_namespace: u64,
}

impl Owner {
    /// Names a process.
    pub fn new(host: impl Into<String>, pid: u32, started: u64) -> Self {
        Self {
            host: host.into(),
            pid,
            started,
            boot_id: String::new(),
            machine_id: String::new(),
            pid_namespace: 0,
        }
    }

    /// Returns `true` if both name one process, as far as both say it: one that a plug-in of contract 1.0 kept says less.
    pub fn is_same(&self, other: &Self) -> bool {
        let agree = |mine: &str, theirs: &str| mine.is_empty() || theirs.is_empty() || mine == theirs;
        let namespaces = [self.pid_namespace, other.pid_namespace];
        (&self.host, self.pid, self.started) == (&other.host, other.pid, other.started)
            && agree(&self.boot_id, &other.boot_id)
            && agree(&self.machine_id, &other.machine_id)
            && (namespaces.contains(&0) || namespaces[0] == namespaces[1])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_that_says_less_is_the_same_as_far_as_it_says() {
        let old = Owner::new("here", 7, 9);
        let owner = |boot: &str, namespace| {
            let mut owner = old.clone();
            (owner.boot_id, owner.pid_namespace) = (boot.to_owned(), namespace);
            owner
        };
        let new = owner("boot", 5);
        assert!(new.is_same(&new) && new.is_same(&old) && old.is_same(&new));
        assert!(new.is_same(&owner("boot", 0)) && new.is_same(&owner("", 5)));
        for other in
            [owner("boot", 6), owner("before", 5), Owner::new("here", 8, 9), Owner::new("there", 7, 9)]
        {
            assert!(!new.is_same(&other), "{other:?}");
        }
    }
}
