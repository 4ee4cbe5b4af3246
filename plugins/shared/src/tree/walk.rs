//! The walk itself: what is looked at, opened, refused and left out. What becomes of it, a [`Visitor`] knows.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::rules::{Matcher, Verdict};
use super::{Found, Links, Options, Survey, TreeError, Visitor};

/// How deep a tree may be; each level holds a descriptor or two open.
pub(super) const MAX_DEPTH: usize = 200;
/// How many paths are named; the others are counted.
const NAMED: usize = 3;

pub(super) fn walk(source: &Path, options: &Options, visitor: &mut dyn Visitor) -> Result<Survey, TreeError> {
    let read = |error| TreeError::read(source, error);
    // The source itself may be reached over a link: the user named it.
    let root = fs::open(source, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(read)?;
    let stat = fs::fstat(&root).map_err(read)?;
    let matcher = Matcher::read(source, root.as_fd(), &options.rules)?;
    visitor.enter(Path::new(""), &stat)?;
    let mut walk = Walk { source, options, visitor, matcher, survey: Survey::default() };
    walk.survey.amount.entries = 1;
    walk.descend(root.as_fd(), Path::new(""), 0)?;
    walk.visitor.leave(Path::new(""))?;
    Ok(walk.survey)
}

struct Walk<'a> {
    source: &'a Path,
    options: &'a Options,
    visitor: &'a mut dyn Visitor,
    matcher: Matcher,
    survey: Survey,
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
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !self.is_taken(path, kind.is_dir()) {
            return Ok(());
        }
        self.survey.amount.entries += 1;
        match kind {
            FileType::Symlink => self.link(dir, name, path, &stat),
            FileType::Directory | FileType::RegularFile => {
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

    /// Asks the rules, and notes what they say.
    fn is_taken(&mut self, path: &Path, is_dir: bool) -> bool {
        let (found, is_taken) = match self.matcher.judge(path, is_dir) {
            Verdict::Take => return true,
            Verdict::TakeSinceAsked => (&mut self.survey.asked_for, true),
            Verdict::TakeSinceTracked => (&mut self.survey.tracked, true),
            Verdict::LeaveOut => (&mut self.survey.left_out, false),
        };
        note(found, path, is_dir);
        is_taken
    }

    fn opened(&mut self, opened: OwnedFd, stat: &Stat, path: &Path, depth: usize) -> Result<(), TreeError> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.visitor.enter(path, stat)?;
                self.descend(opened.as_fd(), path, depth + 1)?;
                self.visitor.leave(path)
            }
            FileType::RegularFile => {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                let bytes = &mut self.survey.amount.bytes;
                *bytes = bytes.saturating_add(size);
                if *bytes > self.options.max_bytes {
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

/// Notes a path; a directory's ends in a slash.
fn note(found: &mut Found, path: &Path, is_dir: bool) {
    found.count += 1;
    if found.first.len() < NAMED {
        found.first.push(if is_dir { path.join("") } else { path.to_owned() });
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
