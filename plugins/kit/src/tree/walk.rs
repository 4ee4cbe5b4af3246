//! The walk itself: what is looked at, opened, refused and left out. What becomes of it, a [`Visitor`] knows.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat};

use rustix::io::Errno;

use super::closed::{OpenedUp, open_anyhow};
use super::rules::{Matcher, Thing, Verdict};
use super::trail::{self, Trail};
use super::{Found, Links, Options, Rules, Survey, TreeError, Visitor, secrets};

/// How deep a tree may be; each level holds a descriptor or two open.
pub(super) const MAX_DEPTH: usize = 200;
/// How many paths are named; the others are counted.
const NAMED: usize = 3;

pub(super) fn walk(source: &Path, options: &Options, visitor: &mut dyn Visitor) -> Result<Survey, TreeError> {
    // The source itself may be reached over a link: the user named it.
    let root = fs::open(source, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| TreeError::read(source, error))?;
    walk_from(&root, source, options, visitor, Manner::Copy)
}

/// What a walk does about what an agent may have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// What cannot be copied whole is an error.
    Copy,
    /// What cannot be read is opened up, and what is too deep or has gone meanwhile is left out.
    Export,
}

/// Walks the tree below a directory that is open; `source` is what it is called.
pub(super) fn walk_from(
    root: &OwnedFd,
    source: &Path,
    options: &Options,
    visitor: &mut dyn Visitor,
    manner: Manner,
) -> Result<Survey, TreeError> {
    let stat = fs::fstat(root).map_err(|error| TreeError::read(source, error))?;
    let matcher = Matcher::read(source, root.as_fd(), &options.rules)?;
    visitor.enter(Path::new(""), &stat)?;
    let mut trail = Trail::at(&stat);
    if options.links == Links::Follow && options.rules != Rules::All {
        trail.begin(source).map_err(|error| TreeError::read(source, error))?;
    }
    let mut walk = Walk { source, options, visitor, matcher, manner, trail, survey: Survey::default() };
    walk.survey.amount.entries = 1;
    walk.descend(root.as_fd(), Path::new(""), 0)?;
    walk.visitor.leave(Path::new(""), &stat)?;
    Ok(walk.survey)
}

struct Walk<'a> {
    source: &'a Path,
    options: &'a Options,
    visitor: &'a mut dyn Visitor,
    matcher: Matcher,
    manner: Manner,
    trail: Trail,
    survey: Survey,
}

impl Walk<'_> {
    fn error(&self, path: &Path, error: rustix::io::Errno) -> TreeError {
        TreeError::read(&self.source.join(path), error)
    }

    fn descend(&mut self, dir: BorrowedFd<'_>, path: &Path, depth: usize) -> Result<(), TreeError> {
        if depth > MAX_DEPTH {
            if self.manner == Manner::Export {
                note(&mut self.survey.too_deep, path, true);
                return Ok(());
            }
            return Err(TreeError::TooDeep { path: self.source.join(path), limit: MAX_DEPTH });
        }
        for name in self.names(dir, path)? {
            let child = path.join(&name);
            if !self.options.exclude.contains(&child) {
                let entry = self.entry(dir, &name, &child, depth);
                entry.or_else(|error| if self.is_gone(&error) { Ok(()) } else { Err(error) })?;
            }
        }
        Ok(())
    }

    /// Returns `true` if an entry has gone since its directory was listed, or another thing is in its place, and may.
    fn is_gone(&self, error: &TreeError) -> bool {
        let gone = [Errno::NOENT, Errno::LOOP, Errno::NOTDIR, Errno::NXIO].map(Errno::raw_os_error);
        match error {
            TreeError::Read { source, .. } if self.manner == Manner::Export => {
                source.raw_os_error().is_some_and(|error| gone.contains(&error))
            }
            _ => false,
        }
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
            FileType::Symlink if self.is_taken(path, Thing::Name)? => {
                self.link(dir, name, path, &stat, depth)
            }
            FileType::Symlink => Ok(()),
            FileType::Directory if self.is_taken(path, Thing::Directory)? => {
                let (opened, closed) = self.open(dir, name, path, OFlags::DIRECTORY)?;
                self.directory(&opened, closed.mode(), path, depth)
            }
            FileType::Directory => Ok(()),
            FileType::RegularFile => match self.judge(path, Thing::Name)? {
                Verdict::LeaveOut => {
                    // It is not opened either, which may not be allowed.
                    self.note(path, Verdict::LeaveOut, false);
                    Ok(())
                }
                verdict => {
                    let (opened, _) = self.open(dir, name, path, OFlags::empty())?;
                    self.file(opened, path, verdict)
                }
            },
            _ => self.special(path),
        }
    }

    fn open(
        &self,
        dir: BorrowedFd<'_>,
        name: &OsString,
        path: &Path,
        more: OFlags,
    ) -> Result<(OwnedFd, OpenedUp), TreeError> {
        // NONBLOCK: should a FIFO have taken the file's place meanwhile, opening must not wait for a writer.
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::RDONLY | more;
        let opened = match self.manner {
            Manner::Copy => fs::openat(dir, name.as_os_str(), flags, Mode::empty())
                .map(|opened| (opened, OpenedUp::default())),
            Manner::Export => open_anyhow(dir, name, flags),
        };
        opened.map_err(|error| self.error(path, error))
    }

    fn judge(&mut self, path: &Path, thing: Thing<'_>) -> Result<Verdict, TreeError> {
        self.matcher.judge(path, thing).map_err(|error| self.error(path, error))
    }

    /// Asks the rules, and notes what they say.
    fn is_taken(&mut self, path: &Path, thing: Thing<'_>) -> Result<bool, TreeError> {
        let verdict = self.judge(path, thing)?;
        self.note(path, verdict, matches!(thing, Thing::Directory));
        Ok(verdict != Verdict::LeaveOut)
    }

    fn note(&mut self, path: &Path, verdict: Verdict, is_dir: bool) {
        match verdict {
            Verdict::Take => {}
            Verdict::TakeSinceAsked => note(&mut self.survey.asked_for, path, is_dir),
            Verdict::TakeSinceTracked => note(&mut self.survey.tracked, path, is_dir),
            Verdict::LeaveOut => note(&mut self.survey.left_out, path, is_dir),
        }
    }

    /// Takes a directory, whose mode was `mode` if it was opened up.
    fn directory(
        &mut self,
        opened: &OwnedFd,
        mode: Option<u32>,
        path: &Path,
        depth: usize,
    ) -> Result<(), TreeError> {
        let mut stat = fs::fstat(opened).map_err(|error| self.error(path, error))?;
        stat.st_mode = mode.unwrap_or(stat.st_mode);
        self.survey.amount.entries += 1;
        self.visitor.enter(path, &stat)?;
        self.trail.enter(&stat);
        self.descend(opened.as_fd(), path, depth + 1)?;
        self.trail.leave();
        self.visitor.leave(path, &stat)
    }

    /// Takes a file, about whose name the rules have said `verdict`, if they take what is in it.
    fn file(&mut self, opened: OwnedFd, path: &Path, verdict: Verdict) -> Result<(), TreeError> {
        let stat = fs::fstat(&opened).map_err(|error| self.error(path, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return self.special(path);
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let verdict = match verdict {
            Verdict::Take => self.judge(path, Thing::Content(secrets::File { fd: opened.as_fd(), size }))?,
            named => named,
        };
        self.note(path, verdict, false);
        if verdict == Verdict::LeaveOut {
            return Ok(());
        }
        self.refuse_secret(&opened, path, size)?;
        let amount = &mut self.survey.amount;
        amount.entries += 1;
        amount.bytes = amount.bytes.saturating_add(size);
        if amount.bytes > self.options.max_bytes {
            let limit = self.options.max_bytes;
            return Err(TreeError::TooLarge { path: self.source.join(path), size, limit });
        }
        self.visitor.file(path, &stat, opened)
    }

    /// Refuses a secret among what a link that was followed led to.
    fn refuse_secret(&mut self, opened: &OwnedFd, path: &Path, size: u64) -> Result<(), TreeError> {
        let Some(real) = self.trail.beyond(path) else { return Ok(()) };
        let file = secrets::File { fd: opened.as_fd(), size };
        if self.trail.is_secret(&real, file).map_err(|error| self.error(path, error))? {
            return Err(TreeError::LeadsToSecret { path: self.source.join(path), target: real });
        }
        Ok(())
    }

    /// Leaves out what has no content, and notes it; what the rules leave out anyway is theirs.
    fn special(&mut self, path: &Path) -> Result<(), TreeError> {
        if self.is_taken(path, Thing::Name)? {
            note(&mut self.survey.special, path, false);
        }
        Ok(())
    }

    fn link(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsString,
        path: &Path,
        stat: &Stat,
        depth: usize,
    ) -> Result<(), TreeError> {
        let target =
            fs::readlinkat(dir, name.as_os_str(), Vec::new()).map_err(|error| self.error(path, error))?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if self.options.links != Links::Keep && !stays_inside(self.source, path, &target) {
            return match self.options.links {
                Links::Follow => self.follow(path, &target, depth),
                _ => Err(TreeError::Leaves { path: self.source.join(path), target }),
            };
        }
        self.survey.amount.entries += 1;
        self.visitor.link(path, stat, &target)
    }

    /// Takes what a link leads to in its place.
    fn follow(&mut self, path: &Path, target: &Path, depth: usize) -> Result<(), TreeError> {
        let link = self.source.join(path);
        self.trail.count(&link)?;
        let leaves = || TreeError::Leaves { path: link.clone(), target: target.to_owned() };
        let real = std::fs::canonicalize(&link).map_err(|_| leaves())?;
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::RDONLY;
        let opened = fs::open(&real, flags, Mode::empty()).map_err(|error| self.error(path, error))?;
        let stat = fs::fstat(&opened).map_err(|error| self.error(path, error))?;
        if trail::is_machines(&real) || self.trail.is_in(&stat) {
            return Err(leaves());
        }
        self.trail.follow(path, real);
        let taken = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.directory(&opened, None, path, depth),
            FileType::RegularFile => self.file(opened, path, Verdict::Take),
            _ => self.special(path),
        };
        self.trail.back();
        taken
    }
}

/// Notes a path; a directory's ends in a slash.
fn note(found: &mut Found, path: &Path, is_dir: bool) {
    found.count += 1;
    if found.first.len() < NAMED {
        found.first.push(if is_dir { path.join("") } else { path.to_owned() });
    }
}

/// Returns `true` if a link's target is relative, exists, and is in the tree both by its text and when it is followed.
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
