//! Copies a directory of the host into a tar stream, in one pass, trusting nothing it finds there.
//!
//! Invariant: no symbolic link is ever followed; every directory and file is opened by descriptor from its parent,
//! and what it is is asked of the open descriptor, so that a swap during the copy cannot lead elsewhere.
//! Devices, FIFOs and sockets are refused, set-id bits are dropped, owner and mode are set here.

mod error;
mod write;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat};

pub use error::TreeError;
pub use write::{Entry, TarWriter};

/// How deep a tree may be; each level holds a descriptor open.
const MAX_DEPTH: usize = 200;

/// Which symbolic links are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// All, as links, wherever they point.
    Keep,
    /// Those which point to something inside the tree; another is an error.
    Inside,
}

/// What is taken from a tree, and how it arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The numeric owner and group there.
    pub owner: (u32, u32),
    /// Which symbolic links are taken.
    pub links: Links,
    /// Paths relative to the source that are left out, with all below them.
    pub exclude: BTreeSet<PathBuf>,
    /// How many bytes of content may come together.
    pub max_bytes: u64,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of content, holes counted.
    pub bytes: u64,
}

/// Receives what a walk finds.
trait Visitor {
    fn dir(&mut self, path: &Path, stat: &Stat) -> Result<(), TreeError>;
    fn file(&mut self, path: &Path, stat: &Stat, file: OwnedFd) -> Result<(), TreeError>;
    fn link(&mut self, path: &Path, stat: &Stat, target: &Path) -> Result<(), TreeError>;
}

/// Walks the tree without reading contents: refuses what a copy would refuse, and says how much there is.
///
/// # Errors
/// The same as [`append`], but for those of the receiving side.
pub fn survey(source: &Path, options: &Options) -> Result<Amount, TreeError> {
    struct Nothing;
    impl Visitor for Nothing {
        fn dir(&mut self, _: &Path, _: &Stat) -> Result<(), TreeError> {
            Ok(())
        }
        fn file(&mut self, _: &Path, _: &Stat, _: OwnedFd) -> Result<(), TreeError> {
            Ok(())
        }
        fn link(&mut self, _: &Path, _: &Stat, _: &Path) -> Result<(), TreeError> {
            Ok(())
        }
    }
    walk(source, options, &mut Nothing)
}

/// Copies the content of `source` to the path `target` in the tar stream; the directory `target` comes with it.
///
/// # Errors
/// Fails on what is neither file, directory nor link, on a link that leaves the tree when that is asked for, on too
/// much content, on what cannot be read, and when the stream cannot be written.
pub fn append(
    writer: &mut TarWriter<'_>,
    source: &Path,
    target: &Path,
    options: &Options,
) -> Result<Amount, TreeError> {
    let mut visitor = write::CopyVisitor { writer, source, target, owner: options.owner };
    walk(source, options, &mut visitor)
}

fn walk(source: &Path, options: &Options, visitor: &mut dyn Visitor) -> Result<Amount, TreeError> {
    let read = |error| TreeError::read(source, error);
    // The source itself may be reached over a link: the user named it.
    let root = fs::open(source, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(read)?;
    let stat = fs::fstat(&root).map_err(read)?;
    visitor.dir(Path::new(""), &stat)?;
    let mut walk = Walk { source, options, visitor, amount: Amount { entries: 1, bytes: 0 } };
    walk.descend(root.as_fd(), Path::new(""), 0)?;
    Ok(walk.amount)
}

struct Walk<'a> {
    source: &'a Path,
    options: &'a Options,
    visitor: &'a mut dyn Visitor,
    amount: Amount,
}

impl Walk<'_> {
    fn error(&self, path: &Path, error: rustix::io::Errno) -> TreeError {
        TreeError::read(&self.source.join(path), error)
    }

    fn descend(&mut self, dir: BorrowedFd<'_>, path: &Path, depth: usize) -> Result<(), TreeError> {
        if depth > MAX_DEPTH {
            return Err(TreeError::TooDeep { path: self.source.join(path), limit: MAX_DEPTH });
        }
        for name in self.names(dir, path)? {
            let child = path.join(&name);
            if !self.options.exclude.contains(&child) {
                self.entry(dir, &name, &child, depth)?;
                self.amount.entries += 1;
            }
        }
        Ok(())
    }

    /// Lists a directory in one order on every machine.
    fn names(&self, dir: BorrowedFd<'_>, path: &Path) -> Result<Vec<OsString>, TreeError> {
        let mut names = Vec::new();
        for entry in Dir::read_from(dir).map_err(|error| self.error(path, error))? {
            let entry = entry.map_err(|error| self.error(path, error))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        names.sort();
        Ok(names)
    }

    fn entry(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsString,
        path: &Path,
        depth: usize,
    ) -> Result<(), TreeError> {
        let stat = fs::statat(dir, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.error(path, error))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => self.link(dir, name, path, &stat),
            kind @ (FileType::Directory | FileType::RegularFile) => {
                // NONBLOCK: should a FIFO have taken the file's place meanwhile, opening must not wait for a writer.
                let mut flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::RDONLY;
                if kind == FileType::Directory {
                    flags |= OFlags::DIRECTORY;
                }
                let opened = fs::openat(dir, name.as_os_str(), flags, Mode::empty())
                    .map_err(|error| self.error(path, error))?;
                let stat = fs::fstat(&opened).map_err(|error| self.error(path, error))?;
                self.opened(opened, &stat, path, depth)
            }
            other => Err(TreeError::special(&self.source.join(path), other)),
        }
    }

    fn opened(&mut self, opened: OwnedFd, stat: &Stat, path: &Path, depth: usize) -> Result<(), TreeError> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.visitor.dir(path, stat)?;
                self.descend(opened.as_fd(), path, depth + 1)
            }
            FileType::RegularFile => {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                self.amount.bytes = self.amount.bytes.saturating_add(size);
                if self.amount.bytes > self.options.max_bytes {
                    let limit = self.options.max_bytes;
                    return Err(TreeError::TooLarge { path: self.source.join(path), size, limit });
                }
                self.visitor.file(path, stat, opened)
            }
            other => Err(TreeError::special(&self.source.join(path), other)),
        }
    }

    fn link(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsString,
        path: &Path,
        stat: &Stat,
    ) -> Result<(), TreeError> {
        let target =
            fs::readlinkat(dir, name.as_os_str(), Vec::new()).map_err(|error| self.error(path, error))?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if self.options.links == Links::Inside && !stays_inside(self.source, path, &target) {
            return Err(TreeError::Leaves { path: self.source.join(path), target });
        }
        self.visitor.link(path, stat, &target)
    }
}

/// Says whether a link's target is relative, exists, and is in the tree both by its text and in truth.
fn stays_inside(source: &Path, link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    // The text may pass through another link, so the file system has the last word.
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    match (real(source), real(&source.join(link))) {
        (Some(root), Some(end)) => end.starts_with(root),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
