//! What of a working directory stays on the host: what its [`IGNORE_FILE`] names, and what usually holds secrets.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::secrets::{self, Names};
use super::{Rules, TreeError, index};

/// The file in a working directory's root that says what stays out of bottles, in the syntax of `.gitignore`.
pub const IGNORE_FILE: &str = claude_bottle_plugin_api::Workspace::IGNORE_FILE;

/// The longest [`IGNORE_FILE`] that is read.
const MAX_BYTES: u64 = 1 << 20;

/// What is to become of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Take,
    /// It usually stays out, and the file includes it.
    TakeSinceAsked,
    /// It usually stays out, and is in the repository.
    TakeSinceTracked,
    LeaveOut,
}

/// Rules that are ready to be asked.
#[derive(Debug, Default)]
pub(super) struct Matcher(Option<Ready>);

#[derive(Debug)]
struct Ready {
    /// What the file says.
    own: Gitignore,
    names: Names,
    index: Option<PathBuf>,
    data: Option<PathBuf>,
    /// What the index tracks, read when it is first asked for.
    tracked: Option<HashSet<PathBuf>>,
}

/// What the rules look at.
#[derive(Clone, Copy)]
pub(super) enum Thing<'a> {
    Directory,
    /// The name of something else, which for a link is all there is.
    Name,
    /// What is in a file whose name was not left out.
    Content(secrets::File<'a>),
}

/// Returns `true` if the working directory's own rules leave a path in it out, or a directory that it is in.
///
/// # Errors
/// Fails on rules that cannot be read or understood.
pub fn names(source: &Path, path: &Path) -> Result<bool, TreeError> {
    let root =
        File::open(source).map_err(|error| TreeError::Read { path: source.to_owned(), source: error })?;
    let mut matcher = Matcher::read(source, root.as_fd(), &Rules::Workspace { index: None, data: None })?;
    let mut place = PathBuf::new();
    for part in path {
        place.push(part);
        // Of a file only the name counts here.
        let thing = if source.join(&place).is_dir() { Thing::Directory } else { Thing::Name };
        let verdict = matcher.judge(&place, thing).map_err(|error| TreeError::read(source, error))?;
        if verdict == Verdict::LeaveOut {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The rules of a copy, asked about what came to be in it: what they would have left out.
#[derive(Debug)]
pub struct Withheld(Matcher);

impl Withheld {
    /// Prepares the rules from the text of [`IGNORE_FILE`] and from what the repository tracks.
    ///
    /// # Errors
    /// Fails on rules that cannot be understood.
    pub fn new(rules: &str, tracked: HashSet<PathBuf>) -> Result<Self, TreeError> {
        let mut ready = Ready::parse(Path::new(IGNORE_FILE), rules, None, None)?;
        ready.tracked = Some(tracked);
        Ok(Self(Matcher(Some(ready))))
    }

    /// Returns `true` if the copy would have left a path out, or a directory that it is in. The contents count only of a file.
    ///
    /// # Errors
    /// Fails when the file cannot be read.
    pub fn has(&mut self, path: &Path, is_directory: bool, contents: Option<&File>) -> std::io::Result<bool> {
        let leaves_out = |matcher: &mut Matcher, path: &Path, thing: Thing<'_>| {
            matcher.judge(path, thing).map(|verdict| verdict == Verdict::LeaveOut)
        };
        for directory in path.ancestors().skip(1).filter(|directory| !directory.as_os_str().is_empty()) {
            if leaves_out(&mut self.0, directory, Thing::Directory)? {
                return Ok(true);
            }
        }
        if is_directory {
            return Ok(leaves_out(&mut self.0, path, Thing::Directory)?);
        }
        if leaves_out(&mut self.0, path, Thing::Name)? {
            return Ok(true);
        }
        let Some(contents) = contents else { return Ok(false) };
        let file = secrets::File { fd: contents.as_fd(), size: contents.metadata()?.len() };
        Ok(leaves_out(&mut self.0, path, Thing::Content(file))?)
    }
}

impl Matcher {
    pub(super) fn read(source: &Path, root: BorrowedFd<'_>, rules: &Rules) -> Result<Self, TreeError> {
        let Rules::Workspace { index, data } = rules else { return Ok(Self(None)) };
        let path = source.join(IGNORE_FILE);
        let own = text(&path, root)?;
        Ready::parse(&path, &own, index.clone(), data.clone()).map(|ready| Self(Some(ready)))
    }

    /// Returns the verdict on a path relative to the root.
    ///
    /// # Errors
    /// Fails when a file cannot be read.
    pub(super) fn judge(&mut self, path: &Path, thing: Thing<'_>) -> rustix::io::Result<Verdict> {
        let Some(ready) = &mut self.0 else { return Ok(Verdict::Take) };
        // What is in a repository's data is named by git: a branch may be called `id_rsa`.
        if ready.is_of_git(path) {
            return Ok(Verdict::Take);
        }
        let own = ready.own.matched(path, matches!(thing, Thing::Directory)).map(drop);
        Ok(match own {
            Match::Ignore(_) => Verdict::LeaveOut,
            _ if !ready.is_secret(path, thing)? => Verdict::Take,
            Match::Whitelist(_) => Verdict::TakeSinceAsked,
            Match::None if ready.tracks(path) => Verdict::TakeSinceTracked,
            Match::None => Verdict::LeaveOut,
        })
    }
}

impl Ready {
    fn parse(
        path: &Path,
        own: &str,
        index: Option<PathBuf>,
        data: Option<PathBuf>,
    ) -> Result<Self, TreeError> {
        let bad = |line: usize, error: &ignore::Error| TreeError::BadRule {
            path: path.to_owned(),
            line,
            reason: error.to_string(),
        };
        let mut builder = GitignoreBuilder::new("");
        for (number, line) in own.lines().enumerate() {
            builder.add_line(Some(path.to_owned()), line).map_err(|error| bad(number + 1, &error))?;
        }
        let own = builder.build().map_err(|error| bad(0, &error))?;
        let names = Names::new().map_err(|error| bad(0, &error))?;
        Ok(Self { own, names, index, data, tracked: None })
    }

    /// Returns `true` if a path is in a repository's data.
    fn is_of_git(&self, path: &Path) -> bool {
        let is_below = |parent: &Path| parent.components().any(|part| part.as_os_str() == ".git");
        path.parent().is_some_and(is_below) || self.data.as_ref().is_some_and(|data| path.starts_with(data))
    }

    fn is_secret(&self, path: &Path, thing: Thing<'_>) -> rustix::io::Result<bool> {
        match thing {
            Thing::Directory => Ok(false),
            Thing::Name => Ok(self.names.is_secret(path)),
            Thing::Content(file) => self.names.holds_secret(path, file),
        }
    }

    fn tracks(&mut self, path: &Path) -> bool {
        let file = &self.index;
        let tracked = self
            .tracked
            .get_or_insert_with(|| file.as_ref().and_then(|file| index::tracked(file)).unwrap_or_default());
        tracked.contains(path)
    }
}

/// Reads the file of rules; one that is not there has none. A link or a device in its place is refused.
fn text(path: &Path, root: BorrowedFd<'_>) -> Result<String, TreeError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(root, IGNORE_FILE, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(String::new()),
        opened => opened.map_err(|error| TreeError::read(path, error))?,
    };
    let stat = fstat(&file).map_err(|error| TreeError::read(path, error))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        other => return Err(TreeError::special(path, other)),
    }
    let mut bytes = Vec::new();
    File::from(file)
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| TreeError::Read { path: path.to_owned(), source })?;
    let size = bytes.len() as u64;
    if size > MAX_BYTES {
        return Err(TreeError::TooLarge { path: path.to_owned(), size, limit: MAX_BYTES });
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        TreeError::BadRule { path: path.to_owned(), line: line + 1, reason: "it is not UTF-8".to_owned() }
    })
}
