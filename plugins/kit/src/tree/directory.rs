//! Writes what a walk finds into a directory, by descriptors: a swap on this side leads nowhere either.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, SeekFrom, Stat, Timestamps, Uid, chownat, copy_file_range, fchmod,
    fchown, ftruncate, futimens, ioctl_ficlone, mkdirat, openat, seek, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::{Record, TreeError, Visitor, changed};

/// How much is copied before the watcher is asked.
const PART: u64 = 4 << 20;
/// How much is read at once when a copy is recorded.
const BUFFER: usize = 128 << 10;

/// A directory that is being filled.
pub(super) struct IntoDirectory<'a> {
    source: &'a Path,
    target: &'a Path,
    owner: Option<(u32, u32)>,
    /// The directories on the way to where the walk is, outermost first.
    open: Vec<OwnedFd>,
    copied: u64,
    go_on: &'a mut dyn FnMut(u64) -> bool,
    record: Option<Record<'a>>,
    /// Used again for every file.
    buffer: Vec<u8>,
}

impl<'a> IntoDirectory<'a> {
    pub(super) fn new(
        source: &'a Path,
        target: &'a Path,
        owner: Option<(u32, u32)>,
        go_on: &'a mut dyn FnMut(u64) -> bool,
    ) -> Self {
        Self { source, target, owner, open: Vec::new(), copied: 0, go_on, record: None, buffer: Vec::new() }
    }

    /// Records in an index what was copied.
    pub(super) fn told_to(self, record: Option<Record<'a>>) -> Self {
        let length = if record.is_some() { BUFFER } else { 0 };
        Self { record, buffer: vec![0; length], ..self }
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

    fn set_times(&self, fd: &OwnedFd, path: &Path, stat: &Stat) -> Result<(), TreeError> {
        futimens(fd, &times(stat)).map_err(|error| self.failed(path, error))
    }

    fn make_dir(&self, path: &Path, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (dir, name) = match (self.open.last(), path.file_name()) {
            (Some(dir), Some(name)) => (dir, Path::new(name)),
            _ => {
                make_unless_there(mkdirat(CWD, self.target, mode))?;
                return with_mode(openat(CWD, self.target, flags, Mode::empty())?, mode);
            }
        };
        make_unless_there(mkdirat(dir, name, mode))?;
        with_mode(openat(dir, name, flags, Mode::empty())?, mode)
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
        // The kernel copies by itself where it can, and says 0 or an error where it cannot.
        let kernel = usize::try_from(most).map(|most| {
            copy_file_range(from, Some(&mut { start }), to, Some(&mut { start }), most).unwrap_or(0)
        });
        let copied = match kernel {
            Ok(n) if n > 0 => Ok(n as u64),
            _ => by_hand((from, to), start, most),
        };
        match copied {
            // It became shorter meanwhile.
            Ok(0) => Err(TreeError::Changed { path: self.source.join(path) }),
            Ok(n) => Ok(start + n),
            Err(error) => Err(self.failed(path, error)),
        }
    }

    /// Copies what is hashed on its way, so that it is read once; holes are hashed as the zeros that they are.
    fn hashed(
        &mut self,
        path: &Path,
        (from, to): (&OwnedFd, &OwnedFd),
        size: u64,
    ) -> Result<Sha256, TreeError> {
        let is_shared = ioctl_ficlone(to, from).is_ok();
        // A shared file is read on this side, where nothing changes it.
        let source = if is_shared { to } else { from };
        let (before, mut hasher, mut done) = (self.copied, Sha256::new(), 0);
        while done < size {
            let read = |error: io::Error| TreeError::Read { path: self.source.join(path), source: error };
            let (start, stop) = next_data_from(source, done, size).map_err(read)?;
            hash_zeros(&mut hasher, start - done);
            done = start;
            while done < stop {
                let most = usize::try_from(stop - done).unwrap_or(BUFFER).min(BUFFER);
                let n = rustix::io::pread(source, &mut self.buffer[..most], done)
                    .map_err(|error| TreeError::read(&self.source.join(path), error))?;
                if n == 0 {
                    // It became shorter meanwhile.
                    return Err(TreeError::Changed { path: self.source.join(path) });
                }
                hasher.update(&self.buffer[..n]);
                if !is_shared {
                    write_all_at(to, &self.buffer[..n], done).map_err(|error| self.failed(path, error))?;
                }
                done += n as u64;
                if done.is_multiple_of(PART) {
                    self.tell(before.saturating_add(done))?;
                }
            }
        }
        ftruncate(to, size).map_err(|error| self.failed(path, error))?;
        self.tell(before.saturating_add(size))?;
        Ok(hasher)
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
        self.record.as_mut().map_or(Ok(()), |record| record.directory(path, mode.as_raw_mode()))
    }

    fn file(&mut self, path: &Path, stat: &Stat, file: OwnedFd) -> Result<(), TreeError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o777 | 0o600);
        let (dir, name) = self.place(path)?;
        let made = in_place_of(dir, name, || with_mode(openat(dir, name, flags, mode)?, mode));
        let made = made.map_err(|error| self.failed(path, error))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if self.record.is_some() {
            let hasher = self.hashed(path, (&file, &made), size)?;
            let told = self.record.as_mut();
            told.map_or(Ok(()), |record| record.file(path, mode.as_raw_mode(), size, hasher))?;
        } else {
            self.contents(path, &file, &made, size)?;
        }
        self.own(&made, path)?;
        self.set_times(&made, path, stat)
    }

    fn link(&mut self, path: &Path, stat: &Stat, target: &Path) -> Result<(), TreeError> {
        let (dir, name) = self.place(path)?;
        let made = in_place_of(dir, name, || symlinkat(target, dir, name));
        made.map_err(|error| self.failed(path, error))?;
        if let Some((uid, gid)) = self.owner {
            let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            chownat(dir, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| self.failed(path, error))?;
        }
        utimensat(dir, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.failed(path, error))?;
        self.record.as_mut().map_or(Ok(()), |record| record.link(path, target))
    }

    fn leave(&mut self, path: &Path, stat: &Stat) -> Result<(), TreeError> {
        let Some(dir) = self.open.pop() else { return Ok(()) };
        self.own(&dir, path)?;
        self.set_times(&dir, path, stat)
    }
}

/// Returns the time of the last change, for reading too: a build compares them.
fn times(stat: &Stat) -> Timestamps {
    let changed = changed(stat);
    Timestamps { last_access: changed, last_modification: changed }
}

/// Gives what was made the whole of its mode, of which the calling process's mask may have taken something.
fn with_mode(made: OwnedFd, mode: Mode) -> rustix::io::Result<OwnedFd> {
    fchmod(&made, mode)?;
    Ok(made)
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

/// Returns the next stretch of a file that is not a hole.
fn next_data(file: &OwnedFd, from: u64) -> io::Result<Option<(u64, u64)>> {
    match seek(file, SeekFrom::Data(from)) {
        Ok(start) => Ok(Some((start, seek(file, SeekFrom::Hole(start))?))),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns the next stretch of a file that is not a hole, within its size; at the end an empty one.
fn next_data_from(file: &OwnedFd, from: u64, size: u64) -> io::Result<(u64, u64)> {
    let (start, stop) = match next_data(file, from) {
        Ok(found) => found.unwrap_or((size, size)),
        // Not every file system knows its holes.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => (from, size),
        Err(error) => return Err(error),
    };
    Ok((start.min(size), stop.min(size)))
}

fn hash_zeros(hasher: &mut Sha256, mut length: u64) {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    while length > 0 {
        let part = length.min(ZEROS.len() as u64);
        hasher.update(&ZEROS[..usize::try_from(part).unwrap_or(ZEROS.len())]);
        length -= part;
    }
}

fn write_all_at(to: &OwnedFd, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = rustix::io::pwrite(to, bytes, at)?;
        (bytes, at) = (&bytes[n..], at + n as u64);
    }
    Ok(())
}

/// Copies a part through this process.
fn by_hand((from, to): (&OwnedFd, &OwnedFd), start: u64, most: u64) -> io::Result<u64> {
    seek(from, SeekFrom::Start(start))?;
    seek(to, SeekFrom::Start(start))?;
    let part = File::from(from.try_clone()?).take(most);
    io::copy(&mut { part }, &mut Writer(to))
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
