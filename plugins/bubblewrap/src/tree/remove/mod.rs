//! Removes a directory whatever an agent has done to it: without permissions, nested without end.
//!
//! The agent is dead by then. No symbolic link is followed.

mod several;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Removes a directory with all in it; one that is gone is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    // A link in its place goes itself.
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir()) {
        return fs::remove_file(path);
    }
    match several::remove(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => Ok(()),
        // Unreadable directories, or paths longer than the kernel takes.
        Err(_) => remove_level_by_level(path),
    }
}

/// Moves every directory up to one place before it is looked into, so that nothing is ever deep.
fn remove_level_by_level(path: &Path) -> io::Result<()> {
    let flat = path.join(".removing");
    match DirBuilder::new().mode(0o700).create(&flat) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut names = 0..;
    empty(path, &flat, &mut names)?;
    loop {
        let Some(next) = fs::read_dir(&flat)?.next().transpose()? else { break };
        let next = next.path();
        open_up(&next)?;
        empty(&next, &flat, &mut names)?;
        fs::remove_dir(&next)?;
    }
    fs::remove_dir(&flat)?;
    fs::remove_dir(path)
}

/// Empties a directory: files go, directories are moved.
fn empty(path: &Path, flat: &Path, names: &mut impl Iterator<Item = u64>) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let path = entry.path();
        if path == flat {
            continue;
        }
        if entry.file_type()?.is_dir() {
            // Moving a directory changes its `..`, for which it must be writable.
            open_up(&path)?;
            let name = names.next().unwrap_or_default();
            fs::rename(&path, flat.join(format!("{}-{name}", std::process::id())))?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn open_up(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, mkdirat, openat};

    #[test]
    fn a_closed_and_endless_tree_goes_and_its_links_are_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "x").unwrap();
        let holder = tempfile::tempdir().unwrap();
        let root = holder.path().join("tree");
        fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.join("link")).unwrap();
        fs::create_dir(root.join("closed")).unwrap();
        fs::write(root.join("closed/file"), "x").unwrap();
        fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = openat(rustix::fs::CWD, &root, flags, Mode::empty()).unwrap();
        for _ in 0..300 {
            mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
            at = openat(&at, "d", flags, Mode::empty()).unwrap();
        }
        drop(at);
        remove_level_by_level(&root).unwrap();
        assert!(!root.exists());
        assert!(outside.path().join("kept").exists());
        remove(&root).unwrap();
    }
}
