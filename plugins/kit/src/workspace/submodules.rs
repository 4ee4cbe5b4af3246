//! Submodules of a worktree: their data is in the worktree's own, and both sides name each other by paths of the host.

use std::fs;
use std::path::{Path, PathBuf};

use super::DOT_GIT;
use super::repository::{for_worktree, target, worktree};

/// How deep submodules are looked for, by directories.
const MAX_DEPTH: usize = 32;

/// Returns the files that name places, as they have to be where the data lies in `.git` of the working directory.
pub(super) fn moved(source: &Path, own: &Path) -> Vec<(PathBuf, String)> {
    let Ok(root) = fs::canonicalize(source) else { return Vec::new() };
    let mut files = Vec::new();
    look(&Place { root: &root, own }, Path::new("modules"), MAX_DEPTH, &mut files);
    files
}

struct Place<'a> {
    root: &'a Path,
    own: &'a Path,
}

/// Looks at a directory below the worktree's data: it is a submodule's data, or a part of such one's name.
fn look(place: &Place<'_>, below: &Path, depth: usize, files: &mut Vec<(PathBuf, String)>) {
    let data = place.own.join(below);
    let next: Vec<_> = match fs::read_to_string(data.join("config")) {
        Ok(config) if data.join("HEAD").is_file() => {
            files.extend(pair(place, below, &config).into_iter().flatten());
            vec![below.join("modules")]
        }
        _ => directories(&data).map(|name| below.join(name)).collect(),
    };
    if depth > 0 {
        next.iter().for_each(|below| look(place, below, depth - 1, files));
    }
}

/// Links of a repository's data lead nowhere here either.
fn directories(path: &Path) -> impl Iterator<Item = std::ffi::OsString> + use<> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter(is_dir).map(|entry| entry.file_name())
}

/// Returns both files of a submodule that is checked out in this working directory and belongs to this data.
fn pair(place: &Place<'_>, below: &Path, config: &str) -> Option<[(PathBuf, String); 2]> {
    let data = fs::canonicalize(place.own.join(below)).ok()?;
    let checkout = fs::canonicalize(data.join(worktree(config)?)).ok()?;
    let checkout = checkout.strip_prefix(place.root).ok()?;
    let file = checkout.join(DOT_GIT);
    if target(&place.root.join(&file))? != data {
        return None;
    }
    let up = |path: &Path| "../".repeat(path.components().count());
    let inside = Path::new(DOT_GIT).join(below);
    let pointer = format!("gitdir: {}{}\n", up(checkout), inside.display());
    let config = for_worktree(config, Some(&format!("{}{}", up(&inside), checkout.display())));
    Some([(file, pointer), (inside.join("config"), config)])
}
