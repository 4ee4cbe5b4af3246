//! What dead runs left over.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{BottleState, Owner};
use crate::Failure;

/// How far a clean-up may go.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CleanupScope {
    /// Also take what belongs to a live run.
    #[serde(default)]
    pub all: bool,
    /// A process that was killed, about which the answer is to be final: a backend that finds nothing of its answers when its
    /// engine is through with what that process had asked for, and has then looked once more.
    ///
    /// A backend that cannot see this answers at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed: Option<Owner>,
}

impl CleanupScope {
    /// Says whether live runs count too.
    pub fn new(all: bool) -> Self {
        Self { all, killed: None }
    }

    /// Asks for a final answer about a process that was killed.
    #[must_use]
    pub fn killed(mut self, owner: Owner) -> Self {
        self.killed = Some(owner);
        self
    }
}

/// Something that is left over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CleanupItem {
    /// What it is: "container", "network".
    pub kind: String,
    /// What the engine knows it by.
    pub id: String,
    /// What a person knows it by.
    pub name: String,
    /// Its state, where it has one.
    #[serde(default)]
    pub state: Option<BottleState>,
    /// Whose it was; `None` when it carries no label of ours.
    #[serde(default)]
    pub owner: Option<Owner>,
    /// The run's directory of the host, as [`Spec::state_dir`](crate::Spec::state_dir) named it; `None` where nothing says it.
    ///
    /// The record of the run is there. By it a host that has no record of the run itself knows whether work would be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// Why it is in the plan, or why it is not: "owner is gone".
    pub reason: String,
}

impl CleanupItem {
    /// Names a thing and why it is in the plan.
    pub fn new(
        kind: impl Into<String>,
        id: impl Into<String>,
        name: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            kind: kind.into(),
            id: id.into(),
            name: name.into(),
            state: None,
            owner: None,
            state_dir: None,
            reason: reason.into(),
        }
    }
}

/// The answer to `prepare_cleanup`: what would go, in the order it would go, and what stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CleanupPlan {
    /// What would be removed, in this order.
    #[serde(default)]
    pub remove: Vec<CleanupItem>,
    /// What looks like ours and is left alone, with the reason.
    #[serde(default)]
    pub keep: Vec<CleanupItem>,
}

/// The answer to `cleanup`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CleanupReport {
    /// What is gone.
    #[serde(default)]
    pub removed: Vec<CleanupItem>,
    /// What could not be removed.
    #[serde(default)]
    pub failures: Vec<Failure>,
}
