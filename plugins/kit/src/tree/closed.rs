//! Opens what an agent has closed to everyone, its owner too: the permission is given for as long as it is needed.
//!
//! Only what belongs to this process's user can be opened so. No link is followed.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat, chmod, fchmod, fstat, open, openat};
use rustix::io::{Errno, Result};

/// Gives a directory its own mode again at the end.
#[derive(Default)]
pub(super) struct OpenedUp(Option<(OwnedFd, Mode)>);

impl OpenedUp {
    /// Returns the mode that the directory had, if it was changed.
    pub(super) fn mode(&self) -> Option<u32> {
        self.0.as_ref().map(|(_, mode)| mode.as_raw_mode())
    }
}

impl Drop for OpenedUp {
    fn drop(&mut self) {
        if let Some((fd, mode)) = &self.0 {
            fchmod(fd, *mode).ok();
        }
    }
}

/// Opens a file or a directory for reading, whatever its mode; a directory's entries can be reached as long as the guard is
/// kept.
pub(super) fn open_anyhow(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> Result<(OwnedFd, OpenedUp)> {
    let opened = match openat(dir, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => unlock(dir, name, flags)?,
        opened => opened?,
    };
    let stat = fstat(&opened)?;
    let guard = if is_directory(&stat) { reach(&opened, &stat)? } else { None };
    Ok((opened, OpenedUp(guard)))
}

/// Opens what may not be read: the entry is held first, so that it is the one whose mode is changed for the moment.
fn unlock(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> Result<OwnedFd> {
    let held = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let mode = mode(&fstat(&held)?);
    let path = format!("/proc/self/fd/{}", held.as_fd().as_raw_fd());
    chmod(&path, mode | Mode::RUSR)?;
    // The kernel's link leads to what is held, and nowhere else.
    let opened = open(&path, flags - OFlags::NOFOLLOW, Mode::empty());
    chmod(&path, mode)?;
    opened
}

/// Makes a directory's entries reachable; to list them it is opened once more.
fn reach(opened: &OwnedFd, stat: &Stat) -> Result<Option<(OwnedFd, Mode)>> {
    let (mode, needed) = (mode(stat), Mode::RUSR | Mode::XUSR);
    if mode.contains(needed) || rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    fchmod(opened, mode | needed)?;
    Ok(Some((opened.try_clone().map_err(|_| Errno::MFILE)?, mode)))
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}
