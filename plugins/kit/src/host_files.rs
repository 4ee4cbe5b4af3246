//! Files and directories of the host that are made for a bottle, or for a process that runs next to it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::Result;
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::paths::PathExt;

/// Makes a directory for the bottle's user.
///
/// # Errors
/// Fails when it is there, and when the disk does not take it.
pub fn make_dir(path: PathBuf, mode: u32, owner: Option<u32>) -> Result<PathBuf> {
    DirBuilder::new().mode(mode).create(&path).at("create", &path)?;
    // The user's mask may have taken something away.
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).at("set the mode of", &path)?;
    give(&path, owner)?;
    Ok(path)
}

/// Writes a file that does not exist yet.
///
/// # Errors
/// Fails when it is there, and when the disk does not take it.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(content)
    };
    write().at("write", path)
}

/// Makes the bottle's user the owner, when that is another.
///
/// # Errors
/// Fails when this user may not.
pub fn give(path: &Path, owner: Option<u32>) -> Result<()> {
    match owner {
        Some(id) => std::os::unix::fs::lchown(path, Some(id), Some(id)).at("give away", path),
        None => Ok(()),
    }
}

/// Names a socket by the bottle's open directory: a Unix socket's path has 108 bytes at most.
///
/// # Errors
/// Fails when the directory cannot be opened, or as `use_path` does.
pub fn with_short_path<T>(
    dir: &Path,
    socket: &str,
    use_path: impl FnOnce(PathBuf) -> io::Result<T>,
) -> Result<T> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = openat(CWD, dir, flags, Mode::empty()).at("open", dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{socket}", held.as_fd().as_raw_fd()));
    use_path(path).at("use", &dir.join(socket))
}
