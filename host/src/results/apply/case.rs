//! Whether a file system takes two spellings for the same name.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, mkdirat, openat, statat, unlinkat};
use unicode_normalization::UnicodeNormalization;

use super::stage;
use super::tree::Tree;

/// A name whose other spelling folds case, and one that is composed otherwise.
const CASE: (&str, &str) = ("probe-a", "PROBE-A");
const COMPOSED: (&str, &str) = ("probe-\u{e9}", "probe-e\u{301}");

/// Returns a path as a file system that folds case and normalises compares it.
pub(in crate::results) fn fold(path: &Path) -> String {
    path.to_string_lossy().nfc().flat_map(char::to_lowercase).collect()
}

/// Returns `true` if the file system of the directory folds case or normalises. What cannot be asked counts as yes.
pub(in crate::results) fn folds(tree: &Tree) -> bool {
    by_listing(tree.root()).unwrap_or_else(|| by_trying(tree).unwrap_or(true))
}

/// Looks for an entry that is there by another spelling too.
fn by_listing(dir: &OwnedFd) -> Option<bool> {
    let entries = Dir::read_from(dir).ok()?.flatten().take(1_000);
    let names: Vec<Vec<u8>> = entries.map(|entry| entry.file_name().to_bytes().to_vec()).collect();
    for name in names.iter().filter(|name| name.iter().any(u8::is_ascii_alphabetic)) {
        let other: Vec<u8> = name
            .iter()
            .map(|byte| {
                if byte.is_ascii_lowercase() { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() }
            })
            .collect();
        if names.contains(&other) {
            return Some(false);
        }
        let inode = |name: &[u8]| {
            statat(dir, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_ino)
        };
        if inode(name).is_ok() && inode(&other) == inode(name) {
            return Some(true);
        }
    }
    None
}

/// Makes two names in a directory of its own, and looks for them by other spellings.
fn by_trying(tree: &Tree) -> std::io::Result<bool> {
    let name = stage::fresh_name()?;
    mkdirat(tree.root(), &name, Mode::RWXU)?;
    let tried =
        openat(tree.root(), &name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(std::io::Error::from)
            .and_then(|dir| {
                let mut folds = false;
                for (one, other) in [CASE, COMPOSED] {
                    mkdirat(&dir, one, Mode::RWXU)?;
                    folds |= statat(&dir, other, AtFlags::SYMLINK_NOFOLLOW).is_ok();
                    unlinkat(&dir, one, AtFlags::REMOVEDIR)?;
                }
                Ok(folds)
            });
    unlinkat(tree.root(), &name, AtFlags::REMOVEDIR)?;
    tried
}
