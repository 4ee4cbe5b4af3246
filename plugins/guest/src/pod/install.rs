//! Puts this program where the agent's container finds it, for an image that does not have it, and the agent's command next to it.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use crate::error::StepExt;
use crate::lead::SELF;
use crate::{GuestError, agent};

/// Everyone may run it and nothing may change it.
const MODE: u32 = 0o555;

/// Copies this program. It has its name once it is whole.
///
/// # Errors
/// Fails when it cannot be written there.
pub fn run(target: &OsStr) -> Result<u8, GuestError> {
    let target = Path::new(target);
    let done = copy(Path::new(SELF), target).and_then(|()| link(target));
    done.step(|| format!("write `{}`", target.display())).map(|()| 0)
}

/// Makes the agent's command, which is this program by another name. The guard's image has the same.
fn link(target: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else { return Ok(()) };
    let directory = parent.join(agent::DIRECTORY);
    fs::create_dir_all(&directory)?;
    match symlink(Path::new("..").join(name), directory.join(agent::NAME)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn copy(from: &Path, target: &Path) -> io::Result<()> {
    let begun = target.with_extension("begun");
    fs::remove_file(&begun).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o700).open(&begun)?;
    io::copy(&mut fs::File::open(from)?, &mut file)?;
    // A mask would decide otherwise.
    file.set_permissions(Permissions::from_mode(MODE))?;
    drop(file);
    fs::rename(begun, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_whole_and_for_running_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (from, target) = (dir.path().join("from"), dir.path().join("bottle-guest"));
        fs::write(&from, "program").unwrap();
        fs::write(dir.path().join("bottle-guest.begun"), "half").unwrap();
        copy(&from, &target).unwrap();
        copy(&from, &target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"program");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o7777, MODE);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        link(&target).unwrap();
        link(&target).unwrap();
        assert_eq!(fs::read(dir.path().join("bin/bottle")).unwrap(), b"program");
    }
}
