//! The working directory as a bottle gets it: what comes, what stays on the host, and where its repository's data is.
//!
//! A `.git` directory travels with the working directory. In a worktree or submodule `.git` is a file that points elsewhere on
//! the host; what it points to is put together to a directory of its own inside. The file may have been written by anybody,
//! so what it points to must be a repository's data that points back here. No git of the host is ever run.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{Failure, FailureKind, Workspace};

use crate::progress::size;
use crate::tree::{self, Found, IGNORE_FILE, Links, Options, Rules, Survey, TreeError};

const DOT_GIT: &str = ".git";

/// A working directory that was looked at.
#[derive(Debug, Clone)]
pub struct Checkout {
    /// How the directory is copied.
    pub options: Options,
    /// The repository's data where that is not in the directory.
    pub repository: Option<Repository>,
}

/// A repository's data, to be put together in `.git`.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Directories and how they are copied, each over the one before.
    pub trees: Vec<(PathBuf, Options)>,
    /// The content of the file `config`, without what names a place on the host.
    pub config: String,
}

/// Why a working directory cannot come along.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// The tree, or the rules about it.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file of the repository's data cannot be read.
    #[error("read `{}`", show(.path))]
    ReadGit {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A `.git` file points to nothing, or to what belongs to somebody else.
    #[error("`{}` points to no repository's data that belongs to it", show(.file))]
    Astray {
        /// The `.git` file.
        file: PathBuf,
    },
    /// The repository's objects are partly in another repository.
    #[error("the repository borrows objects from another, which would not be in the bottle: `{}`", show(.alternates))]
    Borrows {
        /// The file that says so.
        alternates: PathBuf,
    },
}

impl WorkspaceError {
    /// Returns what mends it.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Tree(TreeError::Special { .. } | TreeError::TooLarge { .. }) => {
                Some(format!("name it in {IGNORE_FILE}, or remove it"))
            }
            Self::Tree(_) | Self::ReadGit { .. } => None,
            Self::Astray { .. } => {
                Some(format!("git worktree repair   # or name .git in {IGNORE_FILE} to go without"))
            }
            Self::Borrows { alternates } => Some(format!(
                "git repack -a -d && rm '{}'   # or name .git in {IGNORE_FILE} to go without",
                show(alternates)
            )),
        }
    }
}

impl From<WorkspaceError> for Failure {
    fn from(error: WorkspaceError) -> Self {
        let hint = error.hint();
        let failure = match error {
            WorkspaceError::Tree(error) => Self::from(error),
            WorkspaceError::ReadGit { ref source, .. } => {
                Self::new(FailureKind::Invalid, error.to_string()).caused_by(source)
            }
            other => Self::new(FailureKind::Invalid, other.to_string()),
        };
        hint.into_iter().fold(failure, Self::hint)
    }
}

impl From<TreeError> for Failure {
    fn from(error: TreeError) -> Self {
        let (kind, source) = match &error {
            TreeError::Stopped => return Self::cancelled(),
            TreeError::Read { source, .. } | TreeError::Write { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => (FailureKind::Missing, Some(source)),
                io::ErrorKind::PermissionDenied => (FailureKind::Denied, Some(source)),
                _ => (FailureKind::Internal, Some(source)),
            },
            _ => (FailureKind::Invalid, None),
        };
        let failure = Self::new(kind, error.to_string());
        source.map_or(failure.clone(), |source| failure.caused_by(source))
    }
}

/// Looks at a working directory; nothing of it is copied yet.
///
/// # Errors
/// Fails on rules that cannot be understood, and on a repository that would not work inside.
pub fn checkout(
    workspace: &Workspace,
    owner: Option<(u32, u32)>,
    max_bytes: u64,
) -> Result<Checkout, WorkspaceError> {
    let source = &workspace.source;
    let mut exclude: BTreeSet<PathBuf> = workspace.exclude.iter().cloned().collect();
    if tree::names_git(source)? {
        exclude.insert(DOT_GIT.into());
    }
    // Links are kept as they are: inside they point to the bottle's own files or to nothing.
    let plain = Options { owner, links: Links::Keep, exclude, rules: Rules::All, max_bytes };
    let git = source.join(DOT_GIT);
    let kind = fs::symlink_metadata(&git).map(|found| found.file_type()).ok();
    let (index, repository) = match kind.filter(|_| !plain.exclude.contains(Path::new(DOT_GIT))) {
        Some(kind) if kind.is_dir() => {
            refuse_borrowed(&git)?;
            (Some(git.join("index")), None)
        }
        Some(kind) if kind.is_file() => {
            let (own, repository) = elsewhere(source, &git, &plain)?;
            (Some(own.join("index")), Some(repository))
        }
        _ => (None, None),
    };
    let mut options = Options { rules: Rules::Workspace { index }, ..plain };
    if repository.is_some() {
        options.exclude.insert(DOT_GIT.into());
    }
    Ok(Checkout { options, repository })
}

/// Finds what a `.git` file points to, and returns this checkout's own data with the whole.
fn elsewhere(source: &Path, file: &Path, plain: &Options) -> Result<(PathBuf, Repository), WorkspaceError> {
    let astray = || WorkspaceError::Astray { file: file.to_owned() };
    let text = read(file)?;
    let own = text.strip_prefix("gitdir:").map(|path| source.join(path.trim()));
    let own = own.and_then(|path| fs::canonicalize(path).ok()).ok_or_else(astray)?;
    // The data shared by all worktrees; a submodule's is its own.
    let common = match read(&own.join("commondir")) {
        Ok(path) => fs::canonicalize(own.join(path.trim())).map_err(|_| astray())?,
        Err(_) => own.clone(),
    };
    let config = read(&common.join("config"))?;
    if !points_back(source, file, &own, &common, &config) {
        return Err(astray());
    }
    refuse_borrowed(&common)?;
    let without =
        |names: &[&str]| Options { exclude: names.iter().map(PathBuf::from).collect(), ..plain.clone() };
    let trees = vec![
        (common, without(&["worktrees", "index", "HEAD", "logs/HEAD", "config"])),
        // This worktree's own HEAD and index.
        (own.clone(), without(&["worktrees", "commondir", "gitdir", "config"])),
    ];
    Ok((own, Repository { trees, config: without_worktree(&config) }))
}

/// Says whether the data belongs to this working directory by its own account.
fn points_back(source: &Path, file: &Path, own: &Path, common: &Path, config: &str) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let is_data =
        common.join("objects").is_dir() && common.join("refs").is_dir() && own.join("HEAD").is_file();
    let back = if own == common {
        // A submodule: `core.worktree`, relative to its data.
        let line = config.lines().find_map(worktree_of);
        line.and_then(|path| real(&own.join(path))) == real(source)
    } else {
        // A worktree: the file `gitdir` names the `.git` file it belongs to.
        let named = fs::read_to_string(own.join("gitdir")).ok();
        named.and_then(|path| real(&own.join(path.trim()))) == real(file)
    };
    is_data && back && own.starts_with(common)
}

/// Refuses a repository with objects elsewhere. They are not fetched along: the file may have been written by anybody, and
/// name any repository of the user's.
/// <https://git-scm.com/docs/gitrepository-layout#Documentation/gitrepository-layout.txt-objectsinfoalternates>
fn refuse_borrowed(data: &Path) -> Result<(), WorkspaceError> {
    let alternates = data.join("objects/info/alternates");
    if !fs::symlink_metadata(&alternates).is_ok_and(|found| found.is_file()) {
        return Ok(());
    }
    let inside = fs::canonicalize(data).ok();
    let is_outside = |line: &str| {
        let found = fs::canonicalize(data.join("objects").join(line)).ok();
        // One that is not there is nothing that the host's own git has either.
        found.is_some_and(|path| {
            Path::new(line).is_absolute() || !inside.as_ref().is_some_and(|data| path.starts_with(data))
        })
    };
    let text = read(&alternates)?;
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    if lines.any(is_outside) { Err(WorkspaceError::Borrows { alternates }) } else { Ok(()) }
}

fn worktree_of(line: &str) -> Option<&str> {
    let (name, value) = line.split_once('=')?;
    name.trim().eq_ignore_ascii_case("worktree").then(|| value.trim().trim_matches('"'))
}

fn without_worktree(config: &str) -> String {
    config.lines().filter(|line| worktree_of(line).is_none()).map(|line| format!("{line}\n")).collect()
}

fn read(path: &Path) -> Result<String, WorkspaceError> {
    fs::read_to_string(path).map_err(|source| WorkspaceError::ReadGit { path: path.to_owned(), source })
}

/// Says for a plan what comes along and what does not.
pub fn facts(survey: &Survey) -> Vec<(&'static str, String)> {
    let (entries, bytes) = (survey.amount.entries, size(survey.amount.bytes));
    let mut facts = vec![("copied in", format!("{entries} entries, {bytes}"))];
    if survey.left_out.count > 0 {
        facts.push(("left out", named(&survey.left_out)));
    }
    let let_in = [
        (&survey.asked_for, format!("since {IGNORE_FILE} asks for it")),
        (&survey.tracked, "since git tracks it".to_owned()),
    ];
    let let_in = let_in.into_iter().filter(|(found, _)| found.count > 0);
    facts.extend(let_in.map(|(found, why)| ("secrets let in", format!("{}, {why}", named(found)))));
    facts
}

/// Names the first of some paths, and says how many there are.
fn named(found: &Found) -> String {
    let names: Vec<_> = found.first.iter().map(|path| show(path)).collect();
    let more = if found.count > names.len() as u64 { ", …" } else { "" };
    format!("{} ({}{more})", found.count, names.join(", "))
}

/// Returns a path that drives no terminal.
fn show(path: &Path) -> String {
    path.as_os_str().as_encoded_bytes().escape_ascii().to_string()
}

#[cfg(test)]
mod tests;
