//! What `launch` gets from `prepare`.

use claude_bottle_plugin_api::Spec;
use serde::{Deserialize, Serialize};

use crate::agent::Program;
use crate::guest::Home;
use crate::limits::Limits;
use crate::tools::Tools;

/// A resolved spec. It names secrets and holds none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlanState {
    /// What the host asked for.
    pub(crate) spec: Spec,
    /// The bottle's name.
    pub(crate) name: String,
    /// The host's programs.
    pub(crate) tools: Tools,
    /// Where the agent lives.
    pub(crate) home: Home,
    /// The agent's program and what it needs.
    pub(crate) program: Program,
    /// Resolved limits.
    pub(crate) limits: Limits,
    /// The user that root becomes; `None` for an ordinary user.
    pub(crate) drop_to: Option<u32>,
    /// Whether this `bwrap` can switch nested user namespaces off.
    pub(crate) can_disable_userns: bool,
    /// How many bytes of the working directory will be copied.
    #[serde(default)]
    pub(crate) workspace_bytes: u64,
}
