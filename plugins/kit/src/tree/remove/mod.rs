//! Removes a directory whatever an agent has done to it: without permissions, nested without end.
//!
//! The agent is dead by then. No symbolic link is followed.

mod several;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// How often it is tried while another process removes the same directory: each time less of it is there.
const TRIES: usize = 100;

/// Removes a directory with all in it; one that is gone is fine, and so is another process that removes it too.
///
/// # Errors
/// Fails when something of it stays.
pub fn remove(path: &Path) -> io::Result<()> {
    for _ in 1..TRIES {
        match once(path) {
            Err(error) if by_another(&error) => {}
            result => return result,
        }
    }
    once(path)
}

/// Returns `true` if an error is due to another process that removes the directory at the same time.
fn by_another(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty)
}

fn once(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // A link in its place goes itself.
        Ok(found) if !found.is_dir() => return fs::remove_file(path),
        _ => {}
    }
    match several::remove(path) {
        Err(error) if by_another(&error) => Err(error),
        // Unreadable directories, or paths longer than the kernel takes.
        Err(_) => remove_level_by_level(path),
        Ok(()) => Ok(()),
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

    #[test]
    fn several_who_remove_the_same_directory_all_see_it_gone() {
        let holder = tempfile::tempdir().unwrap();
        for round in 0..5 {
            let root = holder.path().join(format!("tree-{round}"));
            for at in 0..200 {
                let dir = root.join(format!("{}/{at}", at % 7));
                fs::create_dir_all(&dir).unwrap();
                fs::write(dir.join("file"), "x").unwrap();
            }
            std::thread::scope(|scope| {
                let removers: Vec<_> = (0..4).map(|_| scope.spawn(|| remove(&root))).collect();
                removers.into_iter().for_each(|remover| remover.join().unwrap().unwrap());
            });
            assert!(!root.exists());
        }
    }
}
