//! Which saved result a command is about: a run's id, a bottle's name, an agent's name, or the newest of this directory.

use std::path::Path;

use crate::error::{CliError, CliResult, Exit};
use crate::results::store::{Saved, Store};

/// Finds a result; with several of an agent, or without a name, the newest.
///
/// # Errors
/// Fails if nothing fits.
pub fn select(store: &Store, wanted: Option<&str>, here: &Path) -> CliResult<Saved> {
    let all = store.all()?;
    let is_any = !all.is_empty();
    let found = match wanted {
        Some(wanted) => named(all, wanted),
        None => all.into_iter().rfind(|saved| is_from(saved, here)),
    };
    found.ok_or_else(|| missing(wanted, here, is_any))
}

/// Returns `true` if a result was taken from a directory, or from a repository around it.
pub fn is_from(saved: &Saved, here: &Path) -> bool {
    let real = here.canonicalize();
    real.as_deref().unwrap_or(here).starts_with(&saved.result.directory)
}

fn named(all: Vec<Saved>, wanted: &str) -> Option<Saved> {
    let exact = |saved: &Saved| saved.result.run == wanted || saved.result.name == wanted;
    match all.iter().rposition(exact) {
        Some(at) => all.into_iter().nth(at),
        None => all.into_iter().rfind(|saved| saved.result.agent == wanted),
    }
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
    use crate::results::store::tests::put;

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
        assert!(find(None, "/projects").unwrap_err().hints[0].contains("results --all"));
        assert!(find(Some("other"), "/project").is_err());
    }
}
