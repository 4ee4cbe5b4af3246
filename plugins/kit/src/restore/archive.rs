//! Reads an archive of what an earlier bottle left: plain relative paths, three kinds of entries.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use tar::{Archive, EntryType};

use crate::tree::TreeError;

/// An entry.
pub(super) struct Item<'a> {
    pub(super) path: PathBuf,
    pub(super) kind: ItemKind<'a>,
}

/// What an entry is.
pub(super) enum ItemKind<'a> {
    Directory,
    File { size: u64, is_executable: bool, content: &'a mut dyn Read },
    Link { target: PathBuf },
}

/// Reads every entry in its order.
pub(super) fn read(
    archive: &Path,
    each: &mut dyn FnMut(Item<'_>) -> Result<(), TreeError>,
) -> Result<(), TreeError> {
    let failed = |source| TreeError::Read { path: archive.to_owned(), source };
    let file = BufReader::new(File::open(archive).map_err(failed)?);
    let mut reader = Archive::new(file);
    for entry in reader.entries_with_seek().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let path = checked(&path_of(&entry.path_bytes()))?;
        let target = entry.link_name_bytes().map(|target| path_of(&target)).unwrap_or_default();
        let size = entry.size();
        let is_executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
        let kind = match entry.header().entry_type() {
            EntryType::Directory => ItemKind::Directory,
            EntryType::Symlink => ItemKind::Link { target },
            EntryType::Regular => ItemKind::File { size, is_executable, content: &mut entry },
            _ => {
                return Err(TreeError::Restore {
                    path,
                    reason: "is not a file, a directory or a symbolic link",
                });
            }
        };
        each(Item { path, kind })?;
    }
    Ok(())
}

/// Returns a path as it is, without a slash at its end.
///
/// # Errors
/// Fails on one that leads out of the place that it is relative to.
pub(super) fn checked(path: &Path) -> Result<PathBuf, TreeError> {
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if is_plain && !path.as_os_str().is_empty() {
        return Ok(path.components().collect());
    }
    Err(TreeError::Restore { path: path.to_owned(), reason: "leads out of its place" })
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}
