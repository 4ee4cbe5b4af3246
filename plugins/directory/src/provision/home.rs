//! The files of its profile with which the agent starts straight into its prompt, in the fresh home.

use std::path::Path;

use claude_bottle_kit::home;
use claude_bottle_plugin_api::Result;

use super::Guest;
use crate::layout;

/// Writes the files, where none are yet.
pub(super) fn provision(guest: &Guest<'_>) -> Result<()> {
    let spec = guest.spec;
    guest.make_dirs(home::state(&spec.agent), 0o700)?;
    let place = layout::place(spec, guest.home);
    for (path, content) in home::files(spec, guest.call, &place)? {
        if guest.outside(&path).symlink_metadata().is_err() {
            let parent = Path::new(&path).parent().unwrap_or(Path::new(""));
            guest.make_dirs(&parent.to_string_lossy(), 0o700)?;
            guest.write(&path, content.as_bytes(), 0o600)?;
        }
    }
    Ok(())
}
