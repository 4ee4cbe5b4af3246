//! What `launch` gets from `prepare`.

use claude_bottle_directory::{Guest, Home, RunDir};
use claude_bottle_kit::bwrap::Bwrap;
use claude_bottle_plugin_api::Call;
use serde::{Deserialize, Serialize};

use crate::grants::Grants;
use crate::limits::Limits;
use crate::program::Program;

/// A resolved spec. It names secrets and holds none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlanState {
    /// The bottle's name.
    pub(crate) name: String,
    /// How its sandboxes are made.
    pub(crate) bwrap: Bwrap,
    /// Where the agent lives.
    pub(crate) home: Home,
    /// The agent's program and what it needs.
    pub(crate) program: Program,
    /// What is shown at its own path.
    #[serde(default)]
    pub(crate) grants: Grants,
    /// Resolved limits.
    pub(crate) limits: Limits,
    /// How many bytes of the working directory will be copied.
    #[serde(default)]
    pub(crate) workspace_bytes: u64,
}

/// A run with what was resolved of it, for `launch` and `provision`.
pub(crate) type Planned = claude_bottle_kit::Planned<PlanState>;

/// Describes the bottle to what puts things into its directory.
pub(crate) fn guest<'a>(call: &'a Call, plan: &'a Planned, dir: &'a RunDir) -> Guest<'a> {
    Guest {
        call,
        spec: &plan.spec,
        home: &plan.home,
        dir,
        bwrap: &plan.bwrap,
        workspace_bytes: plan.workspace_bytes,
    }
}
