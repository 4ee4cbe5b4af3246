//! What the documents of this backend hold: the plan's state and the bottle's.

use std::path::PathBuf;

use claude_bottle_backend_shared::{Labels, key};
use claude_bottle_plugin_api::{Owner, Spec};
use serde::{Deserialize, Serialize};

use crate::image::AgentImage;
use crate::limits::Bounds;
use crate::link::Link;
use crate::names::{NameSource, Names};
use crate::protection::Protection;

/// The user the agent runs as, in the image.
pub(crate) const USER: &str = "node";
/// That user's number and group.
pub(crate) const USER_IDS: (u32, u32) = (1000, 1000);
/// A directory of the agent's container that is in memory alone.
pub(crate) const RUN_DIR: &str = "/run/claude-bottle";

/// What `launch` and `provision` need, made by `prepare`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlanState {
    pub(crate) spec: Spec,
    pub(crate) names: NameSource,
    pub(crate) image: AgentImage,
    pub(crate) link: Link,
    pub(crate) bounds: Bounds,
    /// Protections the engine cannot give and the manifest does not do without.
    #[serde(default)]
    pub(crate) refused: Vec<Protection>,
    /// The runtime to ask the engine for; `None` is the engine's own choice.
    pub(crate) runtime: Option<String>,
    /// The engine's architecture, which the guard's must be.
    pub(crate) arch: String,
    pub(crate) port: u16,
    pub(crate) home: String,
    /// About how many bytes will be copied in.
    #[serde(default)]
    pub(crate) bytes: u64,
}

impl PlanState {
    /// Returns the working directory of the agent.
    pub(crate) fn workspace(&self) -> String {
        format!("{}/workspace", self.home)
    }
}

/// What reaches a bottle that exists, from any process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BottleState {
    /// The run's identifier, which all parts carry as a label.
    pub(crate) id: String,
    pub(crate) owner: Owner,
    /// The bottle's name in the manifest.
    pub(crate) bottle: String,
    pub(crate) names: Names,
    /// The agent container's id.
    pub(crate) agent: String,
    /// The sidecar's id.
    pub(crate) sidecar: Option<String>,
    /// The networks' ids; empty when they are not known.
    #[serde(default)]
    pub(crate) networks: Vec<String>,
    /// The name of the volume with the guard's socket, when there is one and it is known.
    #[serde(default)]
    pub(crate) volume: Option<String>,
    /// The proxy as a URL; looked up when it is not known.
    #[serde(default)]
    pub(crate) proxy: Option<String>,
    pub(crate) port: u16,
    pub(crate) workspace: String,
    #[serde(default)]
    pub(crate) bounds: Option<Bounds>,
    /// Where the egress log goes at the end.
    #[serde(default)]
    pub(crate) state_dir: Option<PathBuf>,
}

impl BottleState {
    /// Returns the labels by which every part of this bottle is found.
    pub(crate) fn selector(&self) -> Vec<String> {
        selector(&self.id, &self.owner)
    }

    /// Returns the labels by which one part of this bottle is found.
    pub(crate) fn part(&self, role: &str) -> Vec<String> {
        let mut labels = self.selector();
        labels.push(format!("{}={role}", key::ROLE));
        labels
    }
}

/// Returns the labels by which every part of a run is found. The machine is among them, since several may share an engine.
pub(crate) fn selector(id: &str, owner: &Owner) -> Vec<String> {
    vec![format!("{}={id}", key::ID), format!("{}={}", key::OWNER_HOST, owner.host)]
}

/// The part of a bottle a resource is, as its label says.
pub(crate) mod role {
    pub(crate) const AGENT: &str = "agent";
    pub(crate) const SIDECAR: &str = "sidecar";
    pub(crate) const INTERNAL: &str = "net";
    pub(crate) const EGRESS: &str = "egress";
    pub(crate) const LINK: &str = "link";
}

/// Returns a resource's labels as the engine takes them.
pub(crate) fn labels(labels: &Labels, role: &str) -> Option<std::collections::HashMap<String, String>> {
    Some(labels.with_role(role).into_iter().collect())
}
