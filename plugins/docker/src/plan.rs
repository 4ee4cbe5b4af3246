//! What the documents of this backend hold: the plan's state and the bottle's.

use std::path::{Path, PathBuf};

use claude_bottle_kit::agent_image::AgentImage;
use claude_bottle_kit::bwrap::Bwrap;
use claude_bottle_kit::workspace::Place;
use claude_bottle_kit::{Labels, key};
use claude_bottle_plugin_api::{Owner, Spec};
use serde::{Deserialize, Serialize};

use crate::engine_id::EngineId;
use crate::image::Renew;
use crate::image::user::AgentUser;
use crate::limits::ResolvedLimits;
use crate::link::Link;
use crate::names::{NameSource, Names};
use crate::protection::Protection;

/// What `prepare` resolved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlanState {
    pub(crate) names: NameSource,
    pub(crate) image: AgentImage,
    /// Whether it is fetched again.
    #[serde(default)]
    pub(crate) renew: Renew,
    pub(crate) link: Link,
    /// How the sandbox of a guard on this machine is made; a sidecar has none.
    #[serde(default)]
    pub(crate) host_guard: Option<Bwrap>,
    pub(crate) bounds: ResolvedLimits,
    /// Protections the engine cannot give and the manifest does not do without.
    #[serde(default)]
    pub(crate) refused: Vec<Protection>,
    /// Whether the engine takes the call filter.
    pub(crate) call_filter: bool,
    /// The runtime to ask the engine for; `None` is the engine's own choice.
    pub(crate) runtime: Option<String>,
    /// The engine's architecture, which the guard's must be.
    pub(crate) arch: String,
    /// The engine itself.
    #[serde(default)]
    pub(crate) engine: Option<EngineId>,
    pub(crate) port: u16,
    /// The program for the inside, on the host.
    pub(crate) guest: PathBuf,
    /// The agent's user; of an image that is not ours, what is known of it before a look at the image.
    pub(crate) user: AgentUser,
    /// About how many bytes will be copied in.
    #[serde(default)]
    pub(crate) bytes: u64,
}

/// A run with what was resolved of it, for `launch` and `provision`.
pub(crate) type Planned = claude_bottle_kit::Planned<PlanState>;

/// Returns where the working directory is inside, and where programs start.
pub(crate) fn place(plan: &Planned) -> Place {
    place_in(&plan.spec, &plan.user.home)
}

/// Returns the same for an agent with this home.
pub(crate) fn place_in(spec: &Spec, home: &str) -> Place {
    // One is in memory alone, where the engine cannot put anything; the other is root's in most images.
    let is_closed = |path: &Path| ["/tmp", "/root"].iter().any(|closed| path.starts_with(closed));
    Place::of(spec, home, |path| path.starts_with(home) || !is_closed(path))
}

/// What reaches a bottle that exists, from any process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BottleState {
    /// The run's identifier, which all parts carry as a label.
    pub(crate) id: String,
    pub(crate) owner: Owner,
    /// The engine it is on, when that is known.
    #[serde(default)]
    pub(crate) engine: Option<EngineId>,
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
    /// The names of the volumes with what the agent leaves, when they are known.
    #[serde(default)]
    pub(crate) volumes: Vec<String>,
    /// The proxy as a URL; looked up when it is not known.
    #[serde(default)]
    pub(crate) proxy: Option<String>,
    pub(crate) port: u16,
    /// Where its programs start.
    pub(crate) workspace: String,
    /// The directory of the home with what the agent remembers.
    #[serde(default = "usual_state")]
    pub(crate) state: String,
    /// The agent's user, when it is known.
    #[serde(default)]
    pub(crate) user: Option<AgentUser>,
    /// The image of the agent's container, when it is known.
    #[serde(default)]
    pub(crate) image: Option<String>,
    #[serde(default)]
    pub(crate) bounds: Option<ResolvedLimits>,
    /// Where the egress log goes at the end.
    #[serde(default)]
    pub(crate) state_dir: Option<PathBuf>,
    /// The names of the bottle's own variables, which win over those of one program.
    #[serde(default)]
    pub(crate) variables: Vec<String>,
}

/// Returns the directory that records of earlier versions mean.
pub(crate) fn usual_state() -> String {
    ".claude".to_owned()
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
    /// The volume with the copy of the working directory.
    pub(crate) const WORK: &str = "work";
    /// The volume with what the agent remembers of its sessions.
    pub(crate) const HISTORY: &str = "history";
    /// A container that is never started, from which something is read.
    pub(crate) const LOOK: &str = "look";
}

/// Returns a resource's labels as the engine takes them.
pub(crate) fn labels(labels: &Labels, role: &str) -> Option<std::collections::HashMap<String, String>> {
    Some(labels.with_role(role).into_iter().collect())
}
