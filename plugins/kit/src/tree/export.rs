//! Writes what an agent left as a tar stream: as it is, and whatever it has done to it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

use super::closed::{OpenedUp, open_anyhow};
use super::stream::IntoStream;
use super::walk::{Manner, walk_from};
use super::{Amount, Links, Options, Rules, Survey, TarWriter, TreeError, Visitor};

/// A directory that was reached without following a link; those on the way have their own modes again when it is dropped.
pub struct Below {
    fd: OwnedFd,
    way: Vec<OpenedUp>,
}

/// Opens a directory below one of this program's own, without following a link on the way; `None` when it is not there, or
/// something else than directories leads to it.
///
/// # Errors
/// Fails when it cannot be opened for another reason.
pub fn open_below(top: &Path, place: &Path) -> Result<Option<Below>, TreeError> {
    let failed = |error| TreeError::read(&top.join(place), error);
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut below = Below { fd: open(top, flags, Mode::empty()).map_err(failed)?, way: Vec::new() };
    for part in place.components() {
        let Component::Normal(name) = part else { return Err(failed(Errno::INVAL)) };
        match open_anyhow(below.fd.as_fd(), name, flags) {
            Ok((fd, opened_up)) => {
                below.fd = fd;
                below.way.push(opened_up);
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(Some(below))
}

/// Writes the directory with all in it to the path `target` in the stream. Links stay links, owners are root's, and what is
/// neither file, directory nor link, or nested too deep, is left out and noted.
///
/// # Errors
/// Fails on what cannot be read, and when the stream cannot be written.
pub fn export(writer: &mut TarWriter<'_>, from: &Below, target: &Path) -> Result<Survey, TreeError> {
    let options = Options {
        owner: Some((0, 0)),
        links: Links::Keep,
        exclude: BTreeSet::new(),
        rules: Rules::All,
        max_bytes: u64::MAX,
    };
    // Messages name a path as the archive does.
    let mut visitor = IntoStream::new(writer, target, target, options.owner).for_export();
    walk_from(&from.fd, target, &options, &mut visitor, Manner::Export)
}

/// Writes one regular file of a directory to the path `target` in the stream; `None` when there is none of this name.
///
/// # Errors
/// The same as [`export`].
pub fn export_file(
    writer: &mut TarWriter<'_>,
    from: &Below,
    name: &OsStr,
    target: &Path,
) -> Result<Option<Amount>, TreeError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let (file, _) = match open_anyhow(from.fd.as_fd(), name, flags) {
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
        opened => opened.map_err(|error| TreeError::read(target, error))?,
    };
    let stat = fstat(&file).map_err(|error| TreeError::read(target, error))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let place = target.parent().unwrap_or(target);
    let mut visitor = IntoStream::new(writer, place, place, Some((0, 0))).for_export();
    visitor.file(Path::new(name), &stat, file)?;
    Ok(Some(Amount { entries: 1, bytes: u64::try_from(stat.st_size).unwrap_or(0) }))
}
