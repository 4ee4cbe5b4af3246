//! The repository's own data, when the working directory is copied: `.git` as a directory, also where it is a file on the host.

use claude_bottle_plugin_api::{Result, Spec};

use super::{Files, Task};

/// Checks that the repository's data can be found.
pub(super) fn survey(_spec: &Spec) -> Result<()> {
    Ok(())
}

/// Adds the repository's data.
pub(super) fn add(_task: &Task<'_>, _files: &mut Files) -> Result<()> {
    Ok(())
}
