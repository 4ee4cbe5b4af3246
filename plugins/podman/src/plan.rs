//! What `launch` gets from `prepare`.

use claude_bottle_directory::Home;
use claude_bottle_kit::agent_image::AgentImage;
use claude_bottle_kit::bwrap::Bwrap;
use serde::{Deserialize, Serialize};

use crate::limits::Limits;

/// A resolved spec. It names secrets and holds none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlanState {
    /// The name of the bottle, its container and its directory.
    pub(crate) name: String,
    /// How the guard's sandbox is made, and the program for the inside.
    pub(crate) bwrap: Bwrap,
    /// Where the agent lives.
    pub(crate) home: Home,
    pub(crate) image: AgentImage,
    pub(crate) limits: Limits,
    /// Whether Podman is an ordinary user's.
    pub(crate) rootless: bool,
    pub(crate) arch: String,
    /// How many bytes of the working directory will be copied.
    pub(crate) workspace_bytes: u64,
}

/// A run with what was resolved of it, for `launch` and `provision`.
pub(crate) type Planned = claude_bottle_kit::Planned<PlanState>;
