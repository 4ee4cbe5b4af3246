//! Writes what is laid into a directory of the host, by descriptors: what is there may be an agent's, and leads nowhere.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, mkdirat, open, openat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::layer::{Kind, Kinds};
use crate::tree::TreeError;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory that is open.
pub(super) struct Directory<'a> {
    path: &'a Path,
    fd: OwnedFd,
    owner: Option<(u32, u32)>,
}

impl<'a> Directory<'a> {
    /// Opens one, which no link is the name of.
    pub(super) fn open(path: &'a Path, owner: Option<(u32, u32)>) -> Result<Self, TreeError> {
        let fd = open(path, DIRECTORY, Mode::empty())
            .map_err(|error| TreeError::Write { path: path.to_owned(), source: error.into() })?;
        Ok(Self { path, fd, owner })
    }

    /// Removes files and links, and then those directories that nothing is left in, unless they are laid again.
    pub(super) fn remove(&self, paths: &BTreeSet<PathBuf>, laid: &Kinds) -> Result<(), TreeError> {
        // The deepest come first.
        for path in paths.iter().rev().filter(|path| laid.get(*path) != Some(&Kind::Directory)) {
            let removed =
                self.above(path, None).and_then(|(dir, name)| match unlinkat(&dir, name, AtFlags::empty()) {
                    Err(Errno::ISDIR | Errno::PERM) => match unlinkat(&dir, name, AtFlags::REMOVEDIR) {
                        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
                        removed => removed,
                    },
                    removed => removed,
                });
            match removed {
                // Where there is no directory above, there is nothing to remove.
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(self.failed(path, error)),
            }
        }
        Ok(())
    }

    /// Makes a directory, in place of anything else that is there.
    pub(super) fn directory(&self, path: &Path, mode: u32) -> Result<(), TreeError> {
        let made = self.above(path, Some(mode)).and_then(|(dir, name)| self.enter(&dir, name, mode));
        made.map(drop).map_err(|error| self.failed(path, error))
    }

    /// Writes a file, in place of what is there; `modes` are those of directories on the way and of the file.
    pub(super) fn file(
        &self,
        path: &Path,
        (above, mode): (u32, u32),
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), TreeError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = self.above(path, Some(above)).and_then(|(dir, name)| {
            clear(dir.as_fd(), name)?;
            let made = openat(&dir, name, flags, Mode::from_raw_mode(mode))?;
            fchmod(&made, Mode::from_raw_mode(mode))?;
            self.own(&made)?;
            Ok(made)
        });
        let mut made = File::from(made.map_err(|error| self.failed(path, error))?);
        let copied = io::copy(&mut content.take(size), &mut made);
        match copied.map_err(|source| self.error(path, source))? {
            copied if copied == size => Ok(()),
            _ => Err(TreeError::Changed { path: path.to_owned() }),
        }
    }

    /// Makes a link, in place of what is there.
    pub(super) fn link(&self, path: &Path, above: u32, target: &Path) -> Result<(), TreeError> {
        let made = self.above(path, Some(above)).and_then(|(dir, name)| {
            clear(dir.as_fd(), name)?;
            symlinkat(target, &dir, name)?;
            let Some((uid, gid)) = self.owner else { return Ok(()) };
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            chownat(&dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
        });
        made.map_err(|error| self.failed(path, error))
    }

    /// Opens the directory that a path is in. With a mode, what is missing on the way is made, and what is in the way replaced.
    fn above<'p>(&self, path: &'p Path, mode: Option<u32>) -> rustix::io::Result<(OwnedFd, &'p OsStr)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let mut dir = self.fd.try_clone().map_err(|_| Errno::MFILE)?;
        for part in path.parent().into_iter().flatten() {
            dir = match mode {
                Some(mode) => self.enter(&dir, part, mode)?,
                None => openat(&dir, part, DIRECTORY, Mode::empty())?,
            };
        }
        Ok((dir, name))
    }

    fn enter(&self, dir: &OwnedFd, name: &OsStr, mode: u32) -> rustix::io::Result<OwnedFd> {
        match openat(dir, name, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => unlinkat(dir, name, AtFlags::empty())?,
            opened => return opened,
        }
        mkdirat(dir, name, Mode::from_raw_mode(mode))?;
        let made = openat(dir, name, DIRECTORY, Mode::empty())?;
        fchmod(&made, Mode::from_raw_mode(mode))?;
        self.own(&made)?;
        Ok(made)
    }

    fn own(&self, fd: &OwnedFd) -> rustix::io::Result<()> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
    }

    fn failed(&self, path: &Path, error: Errno) -> TreeError {
        self.error(path, error.into())
    }

    fn error(&self, path: &Path, source: io::Error) -> TreeError {
        TreeError::Write { path: self.path.join(path), source }
    }
}

/// Removes what is at a name, with all below it; links are not followed.
fn clear(dir: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        removed => return removed,
    }
    let below = openat(dir, name, DIRECTORY, Mode::empty())?;
    for entry in Dir::read_from(&below)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            clear(below.as_fd(), name)?;
        }
    }
    unlinkat(dir, name, AtFlags::REMOVEDIR)
}
