//! Whether the directories that a start writes into are there, may be written, and have room.

use std::io;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use super::super::App;
use super::super::size::size;
use super::checks::Check;

/// Less than this is told: a bottle's own files are small, and the copy of a working directory seldom is.
const LITTLE: u64 = 1 << 30;

/// A directory that a start writes into.
struct Place<'p> {
    path: &'p Path,
    /// The variable that names another.
    variable: &'static str,
    /// Whether it is made when it is not there.
    is_made: bool,
}

/// Looks at the directories of records, of backends and of temporary files.
pub(super) fn checks(app: &App) -> Vec<Check> {
    let temporary = std::env::temp_dir();
    let places = [
        Place { path: &app.invocation.state_dir, variable: "XDG_STATE_HOME", is_made: true },
        Place { path: &app.invocation.data_dir, variable: "XDG_DATA_HOME", is_made: true },
        Place { path: &temporary, variable: "TMPDIR", is_made: false },
    ];
    let (free, failed): (Vec<_>, Vec<_>) = places.iter().map(free).partition(Result::is_ok);
    if !failed.is_empty() {
        return failed.into_iter().filter_map(Result::err).collect();
    }
    let least = free.into_iter().flatten().min_by_key(|(bytes, _)| *bytes);
    least.map(|(bytes, place)| room(bytes, place)).into_iter().collect()
}

fn room(bytes: u64, place: &Place<'_>) -> Check {
    let message = format!("{} free at `{}`", size(bytes), place.path.display());
    if bytes < LITTLE {
        let fix = format!(
            "claude-bottle cleanup, or name a directory with more room: export {}=DIR",
            place.variable
        );
        return Check::warning("disk", message, fix);
    }
    Check::ok("disk", message)
}

/// Returns how much room there is for a place, or what is wrong with it.
fn free<'p>(place: &'p Place<'p>) -> Result<(u64, &'p Place<'p>), Check> {
    let (path, variable) = (place.path, place.variable);
    let shown = path.display();
    let refuse = |message: String| {
        Check::failed("disk", message, format!("name another directory: export {variable}=DIR"))
    };
    let there = path.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(Path::new("/"));
    if there != path && !place.is_made {
        let fix = format!("mkdir -p {shown}, or: unset {variable}");
        return Err(Check::failed("disk", format!("`{shown}` ({variable}) does not exist"), fix));
    }
    if !there.is_dir() {
        return Err(refuse(format!("`{shown}` cannot be made: `{}` is not a directory", there.display())));
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| refuse(format!("`{shown}` cannot be written: {}", io::Error::from(error))))?;
    let found = statvfs(there).map_err(|error| {
        refuse(format!("the room at `{shown}` cannot be told: {}", io::Error::from(error)))
    })?;
    Ok((found.f_bavail.saturating_mul(found.f_frsize), place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_told_and_enough_is_not_a_warning() {
        let place = Place { path: Path::new("/x"), variable: "TMPDIR", is_made: false };
        assert_eq!(room(5 << 30, &place).lines(), ["disk: ok: 5.0 GiB free at `/x`"]);
        let little = room(3 << 20, &place).lines();
        assert_eq!(little[0], "disk: warning: 3.0 MiB free at `/x`");
        assert!(little[1].ends_with("export TMPDIR=DIR"), "{little:?}");
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_the_one_it_goes_into() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let look = |name: &str, is_made| {
            let path = dir.path().join(name);
            let place = Place { path: &path, variable: "XDG_STATE_HOME", is_made };
            free(&place).map(drop).map_err(|check| check.lines().join("\n"))
        };
        assert_eq!(look("a/b/c", true), Ok(()));
        assert!(look("a", false).unwrap_err().contains("does not exist"));
        assert!(look("file/state", true).unwrap_err().contains("is not a directory"));
    }
}
