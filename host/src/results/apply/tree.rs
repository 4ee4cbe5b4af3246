//! The user's directory, by descriptors: no path leads out of it, whatever is swapped meanwhile.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, open, openat, readlinkat, statat};
use rustix::io::Errno;

use super::found::Found;
use crate::results::hash;

/// Why a path cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A directory on the way is a link here.
    #[error("`{}` is a link here", .0.display())]
    Link(PathBuf),
    /// A directory on the way is something else.
    #[error("`{}` is not a directory here", .0.display())]
    NotADirectory(PathBuf),
    /// A directory on the way is not there.
    #[error("`{}` is missing here", .0.display())]
    Missing(PathBuf),
    /// A file system is mounted there.
    #[error("`{}` is another file system", .0.display())]
    Mounted(PathBuf),
    /// The path is not one below the directory.
    #[error("`{}` is not a path below the directory", .0.display())]
    Path(PathBuf),
    /// It cannot be read.
    #[error("read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// A file as it was when it was read: another one in its place, or one that was written to, differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::results) struct Identity {
    device: u64,
    inode: u64,
    size: i64,
    changed: (i64, u64),
    pub(in crate::results) mode: u32,
}

impl Identity {
    pub(in crate::results) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            changed: (stat.st_mtime, stat.st_mtime_nsec),
            mode: stat.st_mode,
        }
    }
}

/// What is at a path, and how to know that it is still that.
#[derive(Debug, Clone)]
pub(in crate::results) struct Seen {
    pub(in crate::results) found: Found,
    pub(in crate::results) identity: Option<Identity>,
}

/// An open directory of the user's.
pub(in crate::results) struct Tree {
    root: OwnedFd,
    /// The mount that the directory is on, where the system tells.
    mount: Mount,
}

#[derive(PartialEq, Eq)]
struct Mount {
    device: u64,
    id: Option<u64>,
}

/// A directory below, and a name in it.
pub(in crate::results) struct Place<'p> {
    pub(in crate::results) dir: OwnedFd,
    pub(in crate::results) name: &'p OsStr,
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Tree {
    /// Opens a directory.
    pub(in crate::results) fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(directory, flags, Mode::empty())?;
        let mount = mount(&root)?;
        Ok(Self { root, mount })
    }

    /// Takes the lock of the directory; `false` if another process has it.
    pub(in crate::results) fn lock(&self) -> io::Result<bool> {
        use rustix::fs::{FlockOperation, flock};
        match flock(&self.root, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            // Some network file systems lock no directories.
            Err(Errno::BADF | Errno::NOTSUP | Errno::NOLCK | Errno::INVAL) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the descriptor of the directory itself.
    pub(in crate::results) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Opens the directory that a path is in, component by component.
    pub(in crate::results) fn place<'p>(&self, path: &'p Path) -> Result<Place<'p>, PlaceError> {
        let outside = || PlaceError::Path(path.to_owned());
        let mut names = path.components().map(|component| match component {
            Component::Normal(name) => Ok(name),
            _ => Err(outside()),
        });
        let mut name = names.next().ok_or_else(outside)??;
        let (mut dir, mut at) = (self.root.try_clone().map_err(|error| read(path, error))?, PathBuf::new());
        for next in names {
            at.push(name);
            dir = self.enter(&dir, name, &at)?;
            name = next?;
        }
        Ok(Place { dir, name })
    }

    fn enter(&self, dir: &OwnedFd, name: &OsStr, at: &Path) -> Result<OwnedFd, PlaceError> {
        let below = openat(dir, name, DIRECTORY, Mode::empty()).map_err(|error| match error {
            Errno::NOENT => PlaceError::Missing(at.to_owned()),
            Errno::LOOP | Errno::NOTDIR if is_link(dir, name) => PlaceError::Link(at.to_owned()),
            Errno::NOTDIR | Errno::LOOP => PlaceError::NotADirectory(at.to_owned()),
            other => read(at, other),
        })?;
        if mount(&below).map_err(|error| read(at, error))? != self.mount {
            return Err(PlaceError::Mounted(at.to_owned()));
        }
        Ok(below)
    }

    /// Looks at what is at a path; a file is read whole.
    pub(in crate::results) fn look(&self, path: &Path) -> Result<Seen, PlaceError> {
        let place = match self.place(path) {
            // Below what is not there nothing is.
            Err(PlaceError::Missing(_)) => return Ok(Seen { found: Found::Absent, identity: None }),
            other => other?,
        };
        let seen = look(&place.dir, place.name).map_err(|error| read(path, error))?;
        if seen.found == Found::Directory {
            self.enter(&place.dir, place.name, path)?;
        }
        Ok(seen)
    }
}

fn read(path: &Path, error: impl Into<io::Error>) -> PlaceError {
    PlaceError::Read { path: path.to_owned(), source: error.into() }
}

fn is_link(dir: &OwnedFd, name: &OsStr) -> bool {
    statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

#[cfg(target_os = "linux")]
fn mount(dir: &OwnedFd) -> io::Result<Mount> {
    use rustix::fs::{StatxFlags, statx};
    // A directory of the same file system that is mounted once more has the same device.
    let id = statx(dir, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok();
    let id = id.filter(|stat| stat.stx_mask & StatxFlags::MNT_ID.bits() != 0).map(|stat| stat.stx_mnt_id);
    Ok(Mount { device: fstat(dir)?.st_dev, id })
}

#[cfg(not(target_os = "linux"))]
fn mount(dir: &OwnedFd) -> io::Result<Mount> {
    Ok(Mount { device: fstat(dir)?.st_dev as u64, id: None })
}

/// Looks at a name of an open directory.
pub(in crate::results) fn look(dir: &OwnedFd, name: &OsStr) -> io::Result<Seen> {
    let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(Seen { found: Found::Absent, identity: None }),
        other => other?,
    };
    let found = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Found::Directory,
        FileType::Symlink => Found::link(readlinkat(dir, name, Vec::new())?.into_bytes()),
        FileType::RegularFile => return file(dir, name),
        _ => Found::Special,
    };
    Ok(Seen { found, identity: Some(Identity::of(&stat)) })
}

fn file(dir: &OwnedFd, name: &OsStr) -> io::Result<Seen> {
    let mut file = open_file(dir, name)?;
    let before = fstat(&file)?;
    if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
        return Ok(Seen { found: Found::Special, identity: None });
    }
    let (_, sha256) = hash::of(&mut file)?;
    let after = fstat(&file)?;
    // One that is being written has no contents to speak of; its identity says so later.
    let identity = Some(Identity::of(&before)).filter(|identity| *identity == Identity::of(&after));
    Ok(Seen {
        found: Found::File { executable: after.st_mode & 0o100 != 0, sha256: hash::hex(sha256) },
        identity,
    })
}

/// Opens a regular file without waiting for a FIFO that took its place.
pub(in crate::results) fn open_file(dir: &OwnedFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(openat(dir, name, flags, Mode::empty())?.into())
}
