//! prepare: what is resolved of every bottle that is a directory. Nothing is changed.

use claude_bottle_kit::bwrap::{self, Bwrap, Version};
use claude_bottle_kit::{companions, home, host_guard, refuse};
use claude_bottle_plugin_api::{Call, Context, Result, Spec};
use serde::{Deserialize, Serialize};

use crate::provision::{Guest, check};
use crate::{Home, RunDir, layout};

/// What is resolved of a bottle. It names secrets and holds none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resolved {
    /// The name of the bottle and of its directory.
    pub name: String,
    /// How its sandboxes are made, and the program for the inside.
    pub bwrap: Bwrap,
    /// Where the agent lives.
    pub home: Home,
    /// How many bytes of the working directory will be copied.
    pub workspace_bytes: u64,
}

/// What a look at the host found.
pub struct Host {
    /// What the bottle is made from.
    pub resolved: Resolved,
    /// The version of bubblewrap.
    pub version: Version,
    /// What a plan says of it.
    pub facts: Vec<(&'static str, String)>,
}

/// Looks at the host for a bottle of the backend of this name.
///
/// # Errors
/// Fails when something is missing, and for the first thing that could not be put in.
pub fn resolve(context: &Context, spec: &Spec, backend: &str) -> Result<Host> {
    refuse::empty_command(spec)?;
    refuse::other_proxies(spec, backend)?;
    let home = Home::from_context(context, home::skills(&spec.agent))?;
    host_guard::program(spec)?;
    let guest = companions::guest_program(context.setting("GUEST"), Some(spec))?;
    let (bwrap, version) = Bwrap::find(context.setting(bwrap::SETTING), guest, &spec.id)?;
    let surveyed = check(spec)?;
    let facts = layout::place(spec, &home).fact(spec).into_iter().chain(surveyed.facts).collect();
    let name = format!("claude-bottle-{}", spec.id);
    let resolved = Resolved { name, bwrap, home, workspace_bytes: surveyed.bytes };
    Ok(Host { resolved, version, facts })
}

impl Resolved {
    /// Describes the bottle to what puts things into its directory.
    pub fn guest<'a>(&'a self, call: &'a Call, spec: &'a Spec, dir: &'a RunDir) -> Guest<'a> {
        let Self { bwrap, home, workspace_bytes, .. } = self;
        Guest { call, spec, home, dir, bwrap, workspace_bytes: *workspace_bytes }
    }
}
