//! Which changes of a result a command is about.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use crate::results::model::{Change, SavedResult};

/// A path that no change is at or below.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is not among the changes of run `{run}`", path.display())]
pub struct NotAmongChanges {
    path: PathBuf,
    run: String,
}

/// Returns the changes at or below these paths, or all of them; `here` is the directory that paths are relative to.
///
/// # Errors
/// Fails if nothing was changed at one of them.
pub fn choose<'r>(
    result: &'r SavedResult,
    paths: &[PathBuf],
    here: &Path,
) -> Result<Vec<&'r Change>, NotAmongChanges> {
    if paths.is_empty() {
        return Ok(result.files.iter().collect());
    }
    let mut named = Vec::new();
    for path in paths {
        let candidates = [below(result, path, here), plain(path)];
        let fits = |wanted: &PathBuf| result.files.iter().any(|file| is_at(file, wanted));
        let found = candidates.into_iter().flatten().find(fits);
        named.push(found.ok_or_else(|| NotAmongChanges { path: path.clone(), run: result.run.clone() })?);
    }
    Ok(result.files.iter().filter(|file| named.iter().any(|wanted| is_at(file, wanted))).collect())
}

/// Returns `true` if a change is of a path or below it.
fn is_at(file: &Change, wanted: &Path) -> bool {
    file.path.as_path().starts_with(wanted)
}

/// Returns a path as seen from where the command is given, relative to the result's directory.
fn below(result: &SavedResult, path: &Path, here: &Path) -> Option<PathBuf> {
    let real = here.canonicalize().unwrap_or_else(|_| here.to_owned());
    plain(real.join(path).strip_prefix(&result.directory).ok()?)
}

/// Returns a relative path without `.` and `..`.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push::<&OsStr>(name),
            Component::CurDir => {}
            Component::ParentDir => plain.pop().then_some(())?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::made::Made;

    #[test]
    fn paths_are_taken_from_where_one_is_and_else_from_the_top() {
        let made = Made::new();
        made.after("src/a.rs", "1").after("src/deep/b.rs", "1").after("c.rs", "1");
        std::fs::create_dir_all(made.here().join("src")).unwrap();
        let saved = made.save();
        let chosen = |paths: &[&str], here: &Path| {
            let paths: Vec<_> = paths.iter().map(PathBuf::from).collect();
            let chosen = choose(&saved.result, &paths, here);
            chosen.map(|files| {
                files.iter().map(|file| file.path.as_path().display().to_string()).collect::<Vec<_>>()
            })
        };
        let (top, src) = (made.here(), made.here().join("src"));
        assert_eq!(chosen(&["c.rs"], &top).unwrap(), ["c.rs"]);
        assert_eq!(chosen(&["a.rs", "../c.rs"], &src).unwrap(), ["c.rs", "src/a.rs"]);
        assert_eq!(chosen(&["src/deep"], &src).unwrap(), ["src/deep", "src/deep/b.rs"]);
        assert_eq!(chosen(&["./src/deep/b.rs"], Path::new("/")).unwrap(), ["src/deep/b.rs"]);
        assert_eq!(chosen(&[], &top).unwrap().len(), 5);
        for wrong in ["x", "src/a", "/etc/passwd", "../.."] {
            assert!(chosen(&[wrong], &top).is_err(), "{wrong}");
        }
    }
}
