//! Repositories among the files: git takes a directory with a `HEAD` for one, whatever its name, and runs what its settings and
//! hooks name as soon as it is called below it, as a shell's prompt does.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{add, table};
use crate::results::model::{Change, MarkKind};

const HEAD: &str = "head";
const WHY: &str = "git takes its directory for a repository, and runs what this file names";

/// Marks the settings and hooks of repositories; `known` are those that were there before.
pub(super) fn mark(files: &mut [Change], known: &[PathBuf]) {
    let mut places: BTreeSet<Vec<String>> = known.iter().map(|place| table::folded(place)).collect();
    for file in files.iter().filter(|file| file.new.is_some()) {
        let mut path = table::folded(file.path.as_path());
        if path.pop().is_some_and(|name| name == HEAD) {
            places.insert(path);
        }
    }
    for file in files.iter_mut().filter(|file| file.new.is_some()) {
        let path = table::folded(file.path.as_path());
        let is_named = (0..path.len()).any(|depth| {
            let (place, below) = path.split_at(depth);
            matches!(below, [name] if name == "config" || name == "config.worktree" || name == "commondir" || name == "hooks")
                && places.contains(place)
                || matches!(below, [hooks, _] if hooks == "hooks") && places.contains(place)
        });
        // A directory runs nothing by itself.
        if is_named && file.new.as_ref().is_some_and(|new| new.sha256.is_some() || new.target.is_some()) {
            add(&mut file.marks, MarkKind::Runs, WHY);
        }
    }
}

/// Returns the directory of a `HEAD`, of which there may be a repository.
pub(in crate::results) fn place(path: &Path) -> Option<&Path> {
    path.file_name().filter(|name| name.eq_ignore_ascii_case(OsStr::new(HEAD)))?;
    path.parent()
}
