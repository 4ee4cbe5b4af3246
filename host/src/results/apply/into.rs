//! Writes old and new files below a new directory, for other tools to look at.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use claude_bottle_plugin_api::EntryKind;

use crate::results::contents::Contents;
use crate::results::model::{Change, Side};

/// Writes the old sides of changes below `into/old` and the new ones below `into/new`, links as text files. Returns the paths
/// whose old contents are not kept.
///
/// # Errors
/// Fails if the directory exists, or something cannot be written.
pub fn write(into: &Path, files: &[&Change], contents: &Contents) -> io::Result<Vec<PathBuf>> {
    DirBuilder::new().mode(0o700).create(into)?;
    let mut missing = Vec::new();
    for (name, side) in [("old", old as fn(&Change) -> Option<&Side>), ("new", new)] {
        let top = into.join(name);
        fs::create_dir(&top)?;
        for file in files {
            let Some(side) = side(file) else { continue };
            if !one(&top, file.path.as_path(), side, contents)? {
                missing.push(file.path.as_path().to_owned());
            }
        }
    }
    Ok(missing)
}

fn old(file: &Change) -> Option<&Side> {
    file.old.as_ref()
}

fn new(file: &Change) -> Option<&Side> {
    file.new.as_ref()
}

fn one(top: &Path, path: &Path, side: &Side, contents: &Contents) -> io::Result<bool> {
    if !path.components().all(|component| matches!(component, Component::Normal(_))) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a path leads out of the directory"));
    }
    let path = top.join(path);
    if side.kind == EntryKind::Directory {
        fs::create_dir_all(path)?;
        return Ok(true);
    }
    fs::create_dir_all(path.parent().unwrap_or(top))?;
    let mode = if side.executable { 0o755 } else { 0o644 };
    let mut open = OpenOptions::new();
    open.write(true).create_new(true).mode(mode);
    if let Some(target) = &side.target {
        open.open(path)?.write_all(target.as_bytes())?;
        return Ok(true);
    }
    let Some(sha256) = &side.sha256 else { return Ok(true) };
    let Some(mut from) = contents.open(sha256)? else { return Ok(false) };
    io::copy(&mut from, &mut open.open(path)?)?;
    Ok(true)
}
