//! What `launch` gets from `prepare`.

use claude_bottle_directory::Resolved;
use serde::{Deserialize, Serialize};

use crate::grants::Grants;
use crate::limits::Limits;
use crate::program::Program;

/// A resolved spec. It names secrets and holds none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlanState {
    /// What every bottle has that is a directory.
    #[serde(flatten)]
    pub(crate) base: Resolved,
    /// The agent's program and what it needs.
    pub(crate) program: Program,
    /// What is shown at its own path.
    #[serde(default)]
    pub(crate) grants: Grants,
    /// Resolved limits.
    pub(crate) limits: Limits,
}

/// A run with what was resolved of it, for `launch` and `provision`.
pub(crate) type Planned = claude_bottle_kit::Planned<PlanState>;
