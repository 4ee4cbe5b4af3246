//! Copies a directory by descriptors, trusting nothing it finds: no link is followed, no special file is opened.
//!
//! What a thing is is asked of the open descriptor, so that a swap during the copy leads nowhere. Contents are shared
//! with the source where the file system can (`FICLONE`), and holes stay holes.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use claude_bottle_plugin_api::{Call, Failure, FailureKind, Result};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Uid, chownat, fchown, ftruncate, ioctl_ficlone,
    mkdirat, openat, readlinkat, seek, statat, symlinkat,
};
use rustix::io::Errno;

use crate::error::{PathExt, show};

/// How deep a tree may be; each level holds two descriptors open.
const MAX_DEPTH: usize = 200;

/// Which symbolic links are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// All, as they are, wherever they point.
    Keep,
    /// Those that point into the tree; another is an error.
    Inside,
}

/// How a tree is copied.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The user and group it belongs to there, when that is not this one.
    pub(crate) owner: Option<u32>,
    pub(crate) links: Links,
    /// Paths left out, relative to the source.
    pub(crate) exclude: Vec<PathBuf>,
}

/// Copies what is in `source` to the new directory `target`.
pub(crate) fn copy(call: &Call, source: &Path, target: &Path, options: &Options) -> Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    // The source itself may be reached over a link: the user named it.
    let from = openat(CWD, source, flags, Mode::empty()).at("read", source)?;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&from).at("read", source)?.st_mode & 0o777 | 0o700);
    mkdirat(CWD, target, mode).at("create", target)?;
    let to = openat(CWD, target, flags | OFlags::NOFOLLOW, Mode::empty()).at("write", target)?;
    let copier = Copier { call, source, options };
    copier.descend(from.as_fd(), to.as_fd(), Path::new(""), 0)?;
    copier.give(&to, Path::new(""))
}

/// Copies one regular file to a new one.
pub(crate) fn copy_file(source: &Path, target: &Path, owner: Option<u32>) -> Result<()> {
    let from = openat(
        CWD,
        source,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
    );
    let from = from.at("read", source)?;
    let stat = rustix::fs::fstat(&from).at("read", source)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(special(source, FileType::from_raw_mode(stat.st_mode)));
    }
    let to = create(CWD, target, stat.st_mode).at("write", target)?;
    contents(&from, &to, stat.st_size).at("copy", source)?;
    own(&to, owner).at("give away", target)
}

struct Copier<'a> {
    call: &'a Call,
    source: &'a Path,
    options: &'a Options,
}

impl Copier<'_> {
    fn descend(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, path: &Path, depth: usize) -> Result<()> {
        self.call.check()?;
        if depth > MAX_DEPTH {
            let message = format!("`{}` is nested more than {MAX_DEPTH} deep", show(&self.full(path)));
            return Err(Failure::new(FailureKind::Invalid, message));
        }
        for entry in Dir::read_from(from).at("read", &self.full(path))? {
            let entry = entry.at("read", &self.full(path))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let child = path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
            if !self.options.exclude.contains(&child) {
                self.entry(from, to, name, &child, depth)?;
            }
        }
        Ok(())
    }

    fn full(&self, path: &Path) -> PathBuf {
        self.source.join(path)
    }

    fn entry(
        &self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        depth: usize,
    ) -> Result<()> {
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW).at("read", &self.full(path))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => self.link(from, to, name, path),
            FileType::Directory | FileType::RegularFile => {
                // NONBLOCK: should a FIFO have taken its place meanwhile, opening must not wait for a writer.
                let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::RDONLY;
                let opened = openat(from, name, flags, Mode::empty()).at("read", &self.full(path))?;
                self.opened(&opened, to, name, path, depth)
            }
            other => Err(special(&self.full(path), other)),
        }
    }

    fn opened(
        &self,
        from: &OwnedFd,
        to: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        depth: usize,
    ) -> Result<()> {
        let stat = rustix::fs::fstat(from).at("read", &self.full(path))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o777 | 0o700);
                mkdirat(to, name, mode).at("copy", &self.full(path))?;
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let made = openat(to, name, flags, Mode::empty()).at("copy", &self.full(path))?;
                self.descend(from.as_fd(), made.as_fd(), path, depth + 1)?;
                self.give(&made, path)
            }
            FileType::RegularFile => {
                let made = create(to, name, stat.st_mode).at("copy", &self.full(path))?;
                contents(from, &made, stat.st_size).at("copy", &self.full(path))?;
                self.give(&made, path)
            }
            other => Err(special(&self.full(path), other)),
        }
    }

    fn link(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<()> {
        let target = readlinkat(from, name, Vec::new()).at("read", &self.full(path))?;
        let text = Path::new(std::ffi::OsStr::from_bytes(target.to_bytes()));
        if self.options.links == Links::Inside && !stays_inside(path, text) {
            let message =
                format!("the link `{}` leaves its directory, to `{}`", show(&self.full(path)), show(text));
            return Err(Failure::new(FailureKind::Invalid, message));
        }
        symlinkat(&target, to, name).at("copy", &self.full(path))?;
        let Some(id) = self.options.owner else { return Ok(()) };
        chownat(to, name, Some(Uid::from_raw(id)), Some(Gid::from_raw(id)), AtFlags::SYMLINK_NOFOLLOW)
            .at("give away", &self.full(path))
    }

    fn give(&self, fd: &OwnedFd, path: &Path) -> Result<()> {
        own(fd, self.options.owner).at("give away", &self.full(path))
    }
}

/// Says whether a link's target is inside the tree by its text.
fn stays_inside(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    target.components().all(|component| match component {
        Component::Normal(_) => {
            depth += 1;
            true
        }
        Component::CurDir => true,
        Component::ParentDir if depth > 0 => {
            depth -= 1;
            true
        }
        _ => false,
    })
}

fn special(path: &Path, kind: FileType) -> Failure {
    let kind = match kind {
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        _ => "special file",
    };
    let message = format!("`{}` is a {kind}, which cannot be copied into a bottle", show(path));
    Failure::new(FailureKind::Invalid, message).hint(format!("remove it: rm '{}'", show(path)))
}

/// Makes a file with the mode of another, less set-id and sticky bits.
fn create(dir: impl AsFd, name: impl rustix::path::Arg, mode: u32) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, name, flags, Mode::from_raw_mode(mode & 0o777 | 0o600))
}

fn own(fd: &OwnedFd, owner: Option<u32>) -> rustix::io::Result<()> {
    match owner {
        Some(id) => fchown(fd, Some(Uid::from_raw(id)), Some(Gid::from_raw(id))),
        None => Ok(()),
    }
}

/// Shares the contents, or copies them hole by hole.
fn contents(from: &OwnedFd, to: &OwnedFd, size: i64) -> io::Result<()> {
    if ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let mut end = 0;
    while let Some((start, stop)) = next_data(from, end)? {
        seek(from, SeekFrom::Start(start))?;
        seek(to, SeekFrom::Start(start))?;
        let part = File::from(from.try_clone()?).take(stop - start);
        io::copy(&mut { part }, &mut Writer(to))?;
        end = stop;
    }
    Ok(ftruncate(to, u64::try_from(size).unwrap_or(0))?)
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

#[cfg(test)]
mod tests;
