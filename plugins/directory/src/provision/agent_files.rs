//! Files of the user's own, such as `~/.claude/CLAUDE.md`, in the agent's home.

use std::path::Path;

use claude_bottle_kit::agent_files::{Content, read};
use claude_bottle_plugin_api::Result;

use super::Guest;
use crate::copy;

/// Puts each in place of what was there.
pub(super) fn provision(guest: &Guest<'_>) -> Result<()> {
    let owner = guest.owner().map(|id| (id, id));
    for taken in read(&guest.spec.agent, owner)? {
        let parent = Path::new(&taken.path).parent().unwrap_or(Path::new(""));
        guest.make_dirs(&parent.to_string_lossy(), 0o700)?;
        match taken.content {
            Content::File(content) => guest.write(&taken.path, &content, 0o600)?,
            Content::Tree(source, options) => {
                let target = guest.outside(&taken.path);
                guest.clear(&target)?;
                copy::copy(guest.call, &source, &target, &options, None, |_| {})
                    .map_err(|failure| failure.context(format!("cannot copy `~/{}`", taken.path)))?;
            }
        }
    }
    Ok(())
}
