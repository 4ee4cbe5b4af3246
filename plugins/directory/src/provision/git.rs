//! git: what it knows of the user's, and the repository's own data where that is elsewhere, in a worktree or submodule.

use std::path::Path;

use claude_bottle_kit::git as shared;
use claude_bottle_kit::paths::PathExt;
use claude_bottle_kit::tree::{Baseline, TreeError};
use claude_bottle_kit::workspace::checkout;
use claude_bottle_plugin_api::Result;

use super::Guest;
use crate::{copy, layout};

/// The mode of files that are written over those of a repository.
const MODE: u32 = 0o644;

/// Writes what git inside knows of the user's.
fn write_settings(guest: &Guest<'_>) -> Result<()> {
    let settings = shared::files(guest.spec);
    if settings.is_empty() {
        return Ok(());
    }
    guest.make_dirs(shared::DIRECTORY, 0o700)?;
    settings.iter().try_for_each(|(name, content)| {
        guest.write(&format!("{}/{name}", shared::DIRECTORY), content.as_bytes(), 0o600)
    })
}

/// Puts the repository together in the workspace.
pub(super) fn provision(guest: &Guest<'_>) -> Result<()> {
    write_settings(guest)?;
    let Some(workspace) = &guest.spec.workspace else { return Ok(()) };
    let found = checkout(workspace, guest.owner().map(|id| (id, id)), u64::MAX)?;
    let Some(repository) = found.repository else { return Ok(()) };
    let (root, _) = layout::workspace(guest.spec, guest.home);
    let root = guest.dir.join(&root);
    let mut baseline = workspace.index.as_deref().map(Baseline::extend).transpose()?;
    for (source, options) in &repository.trees {
        let record = baseline.as_mut().map(|baseline| baseline.below(Path::new(".git")));
        copy::copy(guest.call, source, &root.join(".git"), options, record, |_| {})?;
    }
    for (path, content) in &repository.files {
        refuse_links(&root, path)?;
        guest.write_at(&root.join(path), content.as_bytes(), MODE)?;
        let told = baseline.as_mut();
        told.map_or(Ok(()), |baseline| baseline.file(path, MODE, content.as_bytes()))?;
    }
    Ok(baseline.map_or(Ok(()), Baseline::finish)?)
}

/// Refuses a path that leads over a link, which was a directory when the repository was looked at.
fn refuse_links(root: &Path, path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    let real = |path: &Path| path.canonicalize().at("find", path);
    if real(&root.join(parent))? == real(root)?.join(parent) {
        return Ok(());
    }
    Err(TreeError::Changed { path: path.to_owned() }.into())
}
