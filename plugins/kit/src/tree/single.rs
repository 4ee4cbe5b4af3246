//! One file of the user's own, by its name, over a link if it is one.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};

use super::trail::{self, Trail};
use super::{TreeError, secrets};

/// Reads a file that is named. It may be a link, as home-manager and stow make them, and leads to no secret.
///
/// # Errors
/// Fails when it cannot be read, is not a file, is longer than `max_bytes`, or holds a secret.
pub fn read_file(path: &Path, max_bytes: u64) -> Result<Vec<u8>, TreeError> {
    let unreadable = |source| TreeError::Read { path: path.to_owned(), source };
    let real = path.canonicalize().map_err(unreadable)?;
    if trail::is_machines(&real) {
        return Err(TreeError::Leaves { path: path.to_owned(), target: real });
    }
    // NONBLOCK: opening a FIFO must not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = open(&real, flags, Mode::empty()).map_err(|error| TreeError::read(path, error))?;
    let stat = fstat(&opened).map_err(|error| TreeError::read(path, error))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(unreadable(std::io::ErrorKind::IsADirectory.into())),
        other => return Err(TreeError::special(path, other)),
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let file = secrets::File { fd: opened.as_fd(), size };
    if Trail::at(&stat).is_secret(&real, file).map_err(|error| TreeError::read(path, error))? {
        return Err(TreeError::LeadsToSecret { path: path.to_owned(), target: real });
    }
    let mut bytes = Vec::new();
    File::from(opened).take(max_bytes + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let size = bytes.len() as u64;
    if size > max_bytes {
        return Err(TreeError::TooLarge { path: path.to_owned(), size, limit: max_bytes });
    }
    Ok(bytes)
}
