//! What a sidecar decided, in the run's state directory: written while the bottle is open, made whole when it is removed.
//!
//! The engine keeps what a sidecar writes to its standard output. [`follow()`] copies it as it comes, in the process that made
//! the bottle. [`save`] has the last word, in whichever process removes the sidecar: it ends it, asks the engine for all it
//! has, and adds what the file lacks. So nothing is lost when the first process died, and nothing is there twice.

mod follow;
mod masked;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claude_bottle_kit::decisions::{self, LogFile};
use claude_bottle_kit::key;

use crate::engine::{Engine, Found};
use crate::error::DockerError;
pub(crate) use follow::{Followers, follow};

/// How long a sidecar may take to write its last lines; the guard takes a few milliseconds.
const GRACE: Duration = Duration::from_secs(1);

/// Ends a sidecar and completes its decision log in a run's directory.
pub(crate) async fn save(engine: &impl Engine, sidecar: &str, dir: &Path) -> Result<(), DockerError> {
    // A directory that is gone belongs to a run whose records were removed.
    if !dir.is_dir() {
        return Ok(());
    }
    // Open tunnels have a line each when they end. One that cannot be stopped is read as it is.
    drop(engine.stop_container(sidecar, GRACE).await);
    let (said, _) = match engine.logs(sidecar, None).await {
        Err(error) if error.is_not_found() => return Ok(()),
        other => other.map_err(|source| DockerError::ReadLog { source })?,
    };
    if said.is_empty() {
        return Ok(());
    }
    let (run, kept) = (dir.to_owned(), masked::masked(&said));
    let completed = tokio::task::spawn_blocking(move || LogFile::open_when_free(&run)?.complete(&kept)).await;
    let completed = completed.map_err(io::Error::other).flatten();
    completed.map_err(|source| DockerError::SaveLog { path: dir.join(decisions::NAME), source })
}

/// Returns the directory that a sidecar's label names, if it exists and belongs to this user alone.
///
/// Everybody who may use the engine can make a container with our labels.
pub(crate) fn labelled_dir(sidecar: &Found) -> Option<PathBuf> {
    let dir = PathBuf::from(sidecar.labels.get(key::STATE_DIR)?);
    let found = std::fs::symlink_metadata(&dir).ok()?;
    let ours = found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0;
    (dir.is_absolute() && found.is_dir() && ours).then_some(dir)
}

#[cfg(test)]
mod tests;
