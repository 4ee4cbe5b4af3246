//! The directory of a run's scratch files, which says whose it is: a process that is killed before it has a record leaves it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use claude_bottle_plugin_api::Owner;
use tempfile::TempDir;

use crate::error::{CliError, CliResult};

/// The beginning of a stage directory's name.
pub const PREFIX: &str = "claude-bottle-";
/// The file in it that names the process it belongs to.
const OWNER: &str = "owner.json";

/// A stage directory that was found.
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// The process it belongs to.
    pub owner: Owner,
}

/// Makes the stage directory of a process; it goes with the value.
pub fn make(owner: &Owner) -> CliResult<TempDir> {
    let stage = tempfile::Builder::new().prefix(PREFIX).tempdir().with_context(|| {
        format!("cannot make a temporary directory in `{}` ($TMPDIR)", std::env::temp_dir().display())
    });
    let named = "name a directory that is there and has room: export TMPDIR=DIR";
    let stage = stage.map_err(|error| CliError::from(error).hint(named))?;
    let file = stage.path().join(OWNER);
    let text = serde_json::to_vec(owner).context("cannot write the owner as JSON")?;
    fs::write(&file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
    Ok(stage)
}

/// Finds the stage directories of this user; what does not say whose it is, is not one.
pub fn all() -> anyhow::Result<Vec<Found>> {
    let dir = std::env::temp_dir();
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("cannot read `{}`", dir.display()))?,
    };
    let mut found: Vec<_> = entries.flatten().filter_map(|entry| find(&entry.path())).collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn find(path: &Path) -> Option<Found> {
    if !is_named_so(path) {
        return None;
    }
    // Anybody may make a directory or a link of that name where temporary files are.
    let metadata = fs::symlink_metadata(path).ok()?;
    let is_ours = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    let text = fs::read(path.join(OWNER)).ok().filter(|_| is_ours)?;
    Some(Found { path: path.to_owned(), owner: serde_json::from_slice(&text).ok()? })
}

fn is_named_so(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
}

/// Removes a stage directory; one that is gone is fine. The name is asked for, so that a damaged record removes nothing else.
pub fn remove(path: &Path) -> io::Result<()> {
    if !is_named_so(path) {
        return Ok(());
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
