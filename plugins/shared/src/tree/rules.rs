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

use super::{Rules, TreeError, index};

/// The file in a working directory's root that says what stays out of bottles, in the syntax of `.gitignore`.
pub const IGNORE_FILE: &str = ".claude-bottleignore";

/// Files that usually hold secrets, in upper or lower case. Directories of such names are not meant.
pub const USUALLY_LEFT_OUT: [&str; 12] = [
    ".env",
    ".env.*",
    ".netrc",
    ".git-credentials",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
];

/// Files like the above that are made to be shared.
const TEMPLATES: [&str; 3] = ["!.env.example", "!.env.sample", "!.env.template"];

/// The longest [`IGNORE_FILE`] that is read.
const MAX_BYTES: u64 = 1 << 20;

/// What is to become of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Take,
    /// It usually stays out, and the file says that it comes.
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
    usual: Gitignore,
    /// The usual ones and then the file's own: the last that matches decides.
    all: Gitignore,
    index: Option<PathBuf>,
    /// What the index tracks of what is usually left out, read when it is first asked for.
    tracked: Option<HashSet<PathBuf>>,
}

/// Says whether the working directory's own rules leave its `.git` out.
///
/// # Errors
/// Fails on rules that cannot be read or understood.
pub fn names_git(source: &Path) -> Result<bool, TreeError> {
    let root =
        File::open(source).map_err(|error| TreeError::Read { path: source.to_owned(), source: error })?;
    let mut matcher = Matcher::read(source, root.as_fd(), &Rules::Workspace { index: None })?;
    let is_dir = source.join(".git").is_dir();
    Ok(matcher.judge(Path::new(".git"), is_dir) == Verdict::LeaveOut)
}

impl Matcher {
    pub(super) fn read(source: &Path, root: BorrowedFd<'_>, rules: &Rules) -> Result<Self, TreeError> {
        let Rules::Workspace { index } = rules else { return Ok(Self(None)) };
        let path = source.join(IGNORE_FILE);
        let own = text(&path, root)?;
        let bad = |line: usize, error: &ignore::Error| TreeError::BadRule {
            path: path.clone(),
            line,
            reason: error.to_string(),
        };
        let mut builder = GitignoreBuilder::new("");
        builder.case_insensitive(true).map_err(|error| bad(0, &error))?;
        for line in USUALLY_LEFT_OUT.iter().chain(&TEMPLATES) {
            builder.add_line(None, line).map_err(|error| bad(0, &error))?;
        }
        let usual = builder.build().map_err(|error| bad(0, &error))?;
        builder.case_insensitive(false).map_err(|error| bad(0, &error))?;
        for (number, line) in own.lines().enumerate() {
            builder.add_line(Some(path.clone()), line).map_err(|error| bad(number + 1, &error))?;
        }
        let all = builder.build().map_err(|error| bad(0, &error))?;
        Ok(Self(Some(Ready { usual, all, index: index.clone(), tracked: None })))
    }

    /// Says what is to become of a path relative to the root.
    pub(super) fn judge(&mut self, path: &Path, is_dir: bool) -> Verdict {
        let Some(ready) = &mut self.0 else { return Verdict::Take };
        // What is in a repository's data is named by git: a branch may be called `id_rsa`.
        if path.parent().is_some_and(|parent| parent.components().any(|part| part.as_os_str() == ".git")) {
            return Verdict::Take;
        }
        let is_usual = |ready: &Ready| !is_dir && ready.usual.matched(path, is_dir).is_ignore();
        // Who says so: the file, or nobody but this program.
        match ready.all.matched(path, is_dir).map(|glob| glob.from().is_some()) {
            Match::Ignore(true) => Verdict::LeaveOut,
            Match::Ignore(false) if is_dir => Verdict::Take,
            Match::Ignore(false) if ready.tracks(path) => Verdict::TakeSinceTracked,
            Match::Ignore(false) => Verdict::LeaveOut,
            Match::Whitelist(true) if is_usual(ready) => Verdict::TakeSinceAsked,
            Match::Whitelist(_) | Match::None => Verdict::Take,
        }
    }
}

impl Ready {
    fn tracks(&mut self, path: &Path) -> bool {
        let (usual, file) = (&self.usual, &self.index);
        let tracked = self.tracked.get_or_insert_with(|| {
            let wanted = |path: &Path| usual.matched(path, false).is_ignore();
            file.as_ref().and_then(|file| index::tracked(file, wanted)).unwrap_or_default()
        });
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
