//! Which saved result a command is about: a run's id, a bottle's name, an agent's name, or the newest of this directory.

use std::path::Path;

use crate::error::{CliError, CliResult, Exit};
use crate::results::store::{Saved, Store};

/// Finds a result; with several of an agent, or without a name, the newest.
///
/// # Errors
/// Fails if nothing fits.
pub fn select(store: &Store, wanted: Option<&str>, here: &Path) -> CliResult<Saved> {
    find(store, wanted, here, |_| true)
}

/// Finds a result for a command that is about files: the newest that has some, if there is one.
///
/// # Errors
/// Fails if nothing fits.
pub fn select_files(store: &Store, wanted: Option<&str>, here: &Path) -> CliResult<Saved> {
    find(store, wanted, here, |saved| !saved.result.files.is_empty())
}

fn find(
    store: &Store,
    wanted: Option<&str>,
    here: &Path,
    is_better: impl Fn(&Saved) -> bool,
) -> CliResult<Saved> {
    let mut all = store.all()?;
    let is_any = !all.is_empty();
    let exact =
        |saved: &Saved| wanted.is_some_and(|word| saved.result.run == word || saved.result.name == word);
    if let Some(at) = all.iter().rposition(exact) {
        return Ok(all.swap_remove(at));
    }
    all.retain(|saved| wanted.map_or_else(|| is_from(saved, here), |agent| saved.result.agent == agent));
    let found = all.iter().rposition(is_better).map(|at| all.swap_remove(at));
    found.or_else(|| all.pop()).ok_or_else(|| missing(wanted, here, is_any))
}

/// Returns `true` if a result was taken from a directory, or from a repository around it.
pub fn is_from(saved: &Saved, here: &Path) -> bool {
    let real = here.canonicalize();
    real.as_deref().unwrap_or(here).starts_with(&saved.result.directory)
}

fn missing(wanted: Option<&str>, here: &Path, is_any: bool) -> CliError {
    let message = match wanted {
        Some(wanted) => format!("there is no saved result `{wanted}`"),
        None => format!("there is no saved result of `{}`", here.display()),
    };
    let error = CliError::new(Exit::Failed, message);
    error.hint(if is_any {
        "see which there are: claude-bottle results --all"
    } else {
        "a result is saved when a bottle ends that was started with --cwd and changed something"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::model::ResultState;
    use crate::results::store::tests::{put, put_work};

    #[test]
    fn a_result_is_found_by_its_run_its_bottle_its_agent_or_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let none = select(&store, None, Path::new("/project")).unwrap_err();
        assert!(none.hints[0].contains("--cwd"), "{none:?}");
        for (run, saved) in [("dev-0000000a", 2), ("dev-0000000b", 1), ("fix-0000000c", 3)] {
            put(&store, run, saved, ResultState::New, 0);
        }
        // Of the same second, and gone on from by the one above.
        put(&store, "fix-0000000d", 3, ResultState::Resumed, 0);
        let find = |wanted: Option<&str>, here: &str| {
            select(&store, wanted, Path::new(here)).map(|saved| saved.result.run)
        };
        for (wanted, expected) in [
            (Some("dev-0000000b"), "dev-0000000b"),
            (Some("fake-dev-0000000b"), "dev-0000000b"),
            (Some("dev"), "dev-0000000a"),
            (None, "fix-0000000c"),
        ] {
            assert_eq!(find(wanted, "/project/below").unwrap(), expected);
        }
        // What only remembers is gone on from, and nothing of it is taken.
        put_work(&store, "fix-0000000e", 1, ResultState::New, 0);
        for (wanted, expected) in
            [(Some("fix"), "fix-0000000e"), (None, "fix-0000000e"), (Some("dev"), "dev-0000000a")]
        {
            assert_eq!(select_files(&store, wanted, Path::new("/project")).unwrap().result.run, expected);
        }
        assert_eq!(find(Some("fix"), "/project").unwrap(), "fix-0000000c");
        assert!(find(None, "/projects").unwrap_err().hints[0].contains("results --all"));
        assert!(find(Some("other"), "/project").is_err());
    }
}
