//! What `launch` gets from `prepare`.

use claude_bottle_directory::Resolved;
use claude_bottle_kit::agent_image::AgentImage;
use serde::{Deserialize, Serialize};

use crate::limits::Limits;

/// A resolved spec. It names secrets and holds none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlanState {
    /// What every bottle has that is a directory. Its name is the container's.
    #[serde(flatten)]
    pub(crate) base: Resolved,
    pub(crate) image: AgentImage,
    pub(crate) limits: Limits,
    /// Whether Podman is an ordinary user's.
    pub(crate) rootless: bool,
    pub(crate) arch: String,
}

/// A run with what was resolved of it, for `launch` and `provision`.
pub(crate) type Planned = claude_bottle_kit::Planned<PlanState>;
