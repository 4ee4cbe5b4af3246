//! Where programs of the bottle are found: as it was given, and behind that the agent's own command.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::agent;

/// Returns a `PATH` with the directory of the agent's command behind all others, where a backend has made one. A program of the
/// same name in the bottle stays what is found.
pub(crate) fn with_command(path: OsString) -> OsString {
    let own = std::env::current_exe().ok();
    add(path, own.as_deref().and_then(Path::parent).map(|place| place.join(agent::DIRECTORY)))
}

fn add(mut path: OsString, directory: Option<PathBuf>) -> OsString {
    let Some(directory) = directory.filter(|directory| directory.join(agent::NAME).exists()) else {
        return path;
    };
    // An empty part would be the working directory.
    if !path.is_empty() {
        path.push(":");
        path.push(directory);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_behind_all_others_and_only_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let check = |path: &str, place: Option<PathBuf>, expected: &str| {
            assert_eq!(add(path.into(), place), OsString::from(expected));
        };
        check("/usr/bin:/bin", Some(dir.path().to_owned()), "/usr/bin:/bin");
        check("/usr/bin", None, "/usr/bin");
        std::fs::write(dir.path().join(agent::NAME), "").unwrap();
        let shown = dir.path().display();
        check("/usr/bin:/bin", Some(dir.path().to_owned()), &format!("/usr/bin:/bin:{shown}"));
        check("", Some(dir.path().to_owned()), "");
    }
}
