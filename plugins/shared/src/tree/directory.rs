//! Writes what a walk finds into a directory, by descriptors: a swap on this side leads nowhere either.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, SeekFrom, Stat, Uid, chownat, fchown, ftruncate, ioctl_ficlone, mkdirat,
    openat, seek, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::{TreeError, Visitor};

/// How much is copied before the watcher is asked.
const PART: u64 = 4 << 20;

/// A directory that is being filled.
pub(super) struct IntoDirectory<'a> {
    source: &'a Path,
    target: &'a Path,
    owner: Option<(u32, u32)>,
    /// The directories on the way to where the walk is, outermost first.
    open: Vec<OwnedFd>,
    copied: u64,
    go_on: &'a mut dyn FnMut(u64) -> bool,
}

impl<'a> IntoDirectory<'a> {
    pub(super) fn new(
        source: &'a Path,
        target: &'a Path,
        owner: Option<(u32, u32)>,
        go_on: &'a mut dyn FnMut(u64) -> bool,
    ) -> Self {
        Self { source, target, owner, open: Vec::new(), copied: 0, go_on }
    }

    fn failed(&self, path: &Path, error: impl Into<io::Error>) -> TreeError {
        TreeError::Write { path: self.target.join(path), source: error.into() }
    }

    /// Returns the directory that a path is in, and its name there.
    fn place<'p>(&self, path: &'p Path) -> Result<(&OwnedFd, &'p std::ffi::OsStr), TreeError> {
        let place = self.open.last().zip(path.file_name());
        place.ok_or_else(|| self.failed(path, io::ErrorKind::InvalidInput))
    }

    fn own(&self, fd: &OwnedFd, path: &Path) -> Result<(), TreeError> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(|error| self.failed(path, error))
    }

    fn make_dir(&self, path: &Path, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (dir, name) = match (self.open.last(), path.file_name()) {
            (Some(dir), Some(name)) => (dir, Path::new(name)),
            _ => {
                make_unless_there(mkdirat(CWD, self.target, mode))?;
                return openat(CWD, self.target, flags, Mode::empty());
            }
        };
        make_unless_there(mkdirat(dir, name, mode))?;
        openat(dir, name, flags, Mode::empty())
    }

    /// Shares the contents, or copies them hole by hole.
    fn contents(&mut self, path: &Path, from: &OwnedFd, to: &OwnedFd, size: u64) -> Result<(), TreeError> {
        let before = self.copied;
        if ioctl_ficlone(to, from).is_err() {
            let read = |error: io::Error| TreeError::Read { path: self.source.join(path), source: error };
            let mut end = 0;
            while let Some((start, stop)) = next_data(from, end).map_err(read)? {
                end = self.stretch(path, (from, to), start, stop)?;
                self.tell(before.saturating_add(end.min(size)))?;
            }
            ftruncate(to, size).map_err(|error| self.failed(path, error))?;
        }
        self.tell(before.saturating_add(size))
    }

    /// Copies a part of a stretch without holes, and returns where it ended.
    fn stretch(
        &self,
        path: &Path,
        (from, to): (&OwnedFd, &OwnedFd),
        start: u64,
        stop: u64,
    ) -> Result<u64, TreeError> {
        let most = (stop - start).min(PART);
        let copied = || -> io::Result<u64> {
            seek(from, SeekFrom::Start(start))?;
            seek(to, SeekFrom::Start(start))?;
            let part = File::from(from.try_clone()?).take(most);
            io::copy(&mut { part }, &mut Writer(to))
        };
        match copied() {
            // It became shorter meanwhile.
            Ok(0) => Err(TreeError::Changed { path: self.source.join(path) }),
            Ok(n) => Ok(start + n),
            Err(error) => Err(self.failed(path, error)),
        }
    }

    fn tell(&mut self, copied: u64) -> Result<(), TreeError> {
        self.copied = copied;
        if (self.go_on)(copied) { Ok(()) } else { Err(TreeError::Stopped) }
    }
}

impl Visitor for IntoDirectory<'_> {
    fn enter(&mut self, path: &Path, stat: &Stat) -> Result<(), TreeError> {
        // It is asked here too, since a tree of empty directories has no bytes.
        self.tell(self.copied)?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o777 | 0o700);
        let made = self.make_dir(path, mode).map_err(|error| self.failed(path, error))?;
        self.open.push(made);
        Ok(())
    }

    fn file(&mut self, path: &Path, stat: &Stat, file: OwnedFd) -> Result<(), TreeError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o777 | 0o600);
        let (dir, name) = self.place(path)?;
        let made = in_place_of(dir, name, || openat(dir, name, flags, mode));
        let made = made.map_err(|error| self.failed(path, error))?;
        self.contents(path, &file, &made, u64::try_from(stat.st_size).unwrap_or(0))?;
        self.own(&made, path)
    }

    fn link(&mut self, path: &Path, _: &Stat, target: &Path) -> Result<(), TreeError> {
        let (dir, name) = self.place(path)?;
        let made = in_place_of(dir, name, || symlinkat(target, dir, name));
        made.map_err(|error| self.failed(path, error))?;
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(dir, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.failed(path, error))
    }

    fn leave(&mut self, path: &Path) -> Result<(), TreeError> {
        match self.open.pop() {
            Some(dir) => self.own(&dir, path),
            None => Ok(()),
        }
    }
}

fn make_unless_there(made: rustix::io::Result<()>) -> rustix::io::Result<()> {
    if made == Err(Errno::EXIST) { Ok(()) } else { made }
}

/// Makes something; a file or a link in its way goes first.
fn in_place_of<T>(
    dir: &OwnedFd,
    name: &std::ffi::OsStr,
    make: impl Fn() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    match make() {
        Err(Errno::EXIST) => {
            unlinkat(dir, name, AtFlags::empty())?;
            make()
        }
        other => other,
    }
}

/// Returns the next stretch of a file that is no hole.
fn next_data(file: &OwnedFd, from: u64) -> io::Result<Option<(u64, u64)>> {
    match seek(file, SeekFrom::Data(from)) {
        Ok(start) => Ok(Some((start, seek(file, SeekFrom::Hole(start))?))),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

struct Writer<'a>(&'a OwnedFd);

impl Write for Writer<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.0, buffer)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
