//! What `launch` gets from `prepare`.

use std::path::Path;

use claude_bottle_kit::bwrap::Bwrap;
use claude_bottle_kit::workspace::Place;
use claude_bottle_plugin_api::Spec;
use serde::{Deserialize, Serialize};

use crate::grants::Grants;
use crate::guest::Home;
use crate::limits::Limits;
use crate::program::Program;
use crate::sandbox;

/// The working directory in the bottle's directory, when it is bound in from there.
const WORKSPACE: &str = "workspace";

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

/// Returns where the working directory is inside, and where programs start.
pub(crate) fn place(spec: &Spec, home: &Home) -> Place {
    Place::of(spec, &home.path, |_| true)
}

/// Returns where the working directory is outside, in the bottle's directory, and whether it is bound in from there.
pub(crate) fn workspace(plan: &Planned) -> (String, bool) {
    let root = place(&plan.spec, &plan.home).root;
    let below = |inside: &str, outside: &str| {
        let rest = Path::new(&root).strip_prefix(inside).ok()?;
        Some(format!("{outside}/{}", rest.display()))
    };
    // Home and `/tmp` are bound in as they are.
    let bound = below(&plan.home.path, sandbox::HOME).or_else(|| below("/tmp", sandbox::TMP));
    bound.map_or_else(|| (WORKSPACE.to_owned(), true), |place| (place, false))
}
