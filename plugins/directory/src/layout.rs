//! What is where in a bottle's directory.

use std::path::Path;

use claude_bottle_kit::workspace::Place;
use claude_bottle_plugin_api::{Result, Spec};

use crate::{Home, RunDir};

/// The agent's home.
pub const HOME: &str = "home";
/// The agent's `/tmp`.
pub const TMP: &str = "tmp";
/// The directory of the ssh-agent's socket.
pub const SSH: &str = "ssh";
/// `/etc` as helpers of the bottle see it.
pub const ETC: &str = "etc";

/// The working directory, when it is bound in from there.
const WORKSPACE: &str = "workspace";

/// Makes the directories that are bound in.
///
/// # Errors
/// Fails when one is there, and when the disk does not take it.
pub fn make(dir: &RunDir, owner: Option<u32>) -> Result<()> {
    dir.make_dir(HOME, 0o755, owner)?;
    dir.make_dir(TMP, 0o1777, owner)?;
    dir.make_dir(SSH, 0o755, owner).map(drop)
}

/// Returns where the working directory is inside, and where programs start.
pub fn place(spec: &Spec, home: &Home) -> Place {
    Place::of(spec, &home.path, |_| true)
}

/// Returns where the working directory is outside, in the bottle's directory, and whether it is bound in from there.
pub fn workspace(spec: &Spec, home: &Home) -> (String, bool) {
    let root = place(spec, home).root;
    let below = |inside: &str, outside: &str| {
        let rest = Path::new(&root).strip_prefix(inside).ok()?;
        Some(format!("{outside}/{}", rest.display()))
    };
    // Home and `/tmp` are bound in as they are.
    let bound = below(&home.path, HOME).or_else(|| below("/tmp", TMP));
    bound.map_or_else(|| (WORKSPACE.to_owned(), true), |place| (place, false))
}
