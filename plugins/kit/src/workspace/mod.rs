//! The working directory as a bottle gets it: what comes, what stays on the host, and where its repository's data is.
//!
//! A `.git` directory travels with the working directory; where `.git` is a file, `repository` has what it points to.
//! No git of the host is ever run here.

mod place;
mod repository;
mod submodules;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{Failure, FailureKind, Workspace};

use crate::progress::size;
use crate::tree::{self, Found, IGNORE_FILE, Links, Options, Rules, Survey, TreeError};

pub use place::Place;
pub use repository::Repository;

const DOT_GIT: &str = ".git";

/// A working directory that was looked at.
#[derive(Debug, Clone)]
pub struct Checkout {
    /// How the directory is copied.
    pub options: Options,
    /// The repository's data where that is not in the directory.
    pub repository: Option<Repository>,
}

/// Why a working directory cannot come along.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// The tree, or the rules about it.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file of the repository's data cannot be read.
    #[error("cannot read `{}`", show(.path))]
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
    /// Programs would start in a directory that stays on the host.
    #[error("{IGNORE_FILE} leaves out `{}`, in which the agent would start", show(.start))]
    StartStays {
        /// Which, relative to the source.
        start: PathBuf,
    },
    /// The repository's objects are partly in another repository.
    #[error("the repository borrows objects from another, which would not be in the bottle: `{}`", show(.alternates))]
    Borrows {
        /// The file that says so.
        alternates: PathBuf,
    },
}

impl WorkspaceError {
    /// Returns what fixes it.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Tree(error) => error.hint(),
            Self::ReadGit { .. } => None,
            Self::StartStays { .. } => Some(format!("start in another directory, or change {IGNORE_FILE}")),
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
            TreeError::Read { source, .. }
            | TreeError::Write { source, .. }
            | TreeError::Index { source, .. } => match source.kind() {
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
    if tree::names(source, Path::new(DOT_GIT))? {
        exclude.insert(DOT_GIT.into());
    }
    if tree::names(source, &workspace.start)? {
        return Err(WorkspaceError::StartStays { start: workspace.start.clone() });
    }
    // Links are kept as they are: inside they point to the bottle's own files or to nothing.
    let plain = Options { owner, links: Links::Keep, exclude, rules: Rules::All, max_bytes };
    let git = source.join(DOT_GIT);
    let kind = fs::symlink_metadata(&git).map(|found| found.file_type()).ok();
    let mut data = None;
    let (index, repository) = match kind.filter(|_| !plain.exclude.contains(Path::new(DOT_GIT))) {
        Some(kind) if kind.is_dir() => {
            repository::refuse_borrowed(&git)?;
            (Some(git.join("index")), None)
        }
        Some(kind) if kind.is_file() => {
            let found = repository::find(source, &git, &plain)?;
            data = found.inside;
            (Some(found.own.join("index")), found.repository)
        }
        _ => (None, None),
    };
    let mut options = Options { rules: Rules::Workspace { index, data }, ..plain };
    if repository.is_some() {
        options.exclude.insert(DOT_GIT.into());
    }
    Ok(Checkout { options, repository })
}

/// Returns for a plan what is copied and what is not.
pub fn facts(survey: &Survey) -> Vec<(&'static str, String)> {
    let (entries, bytes) = (survey.amount.entries, size(survey.amount.bytes));
    let noun = if entries == 1 { "entry" } else { "entries" };
    let mut facts = vec![("copied in", format!("{entries} {noun}, {bytes}"))];
    if survey.left_out.count > 0 {
        facts.push(("left out", named(&survey.left_out)));
    }
    if survey.special.count > 0 {
        facts.push((
            "not copied",
            format!("{}: sockets, FIFOs and devices have no content", named(&survey.special)),
        ));
    }
    let let_in = [
        (&survey.asked_for, format!("since {IGNORE_FILE} asks for it")),
        (&survey.tracked, "since git tracks it".to_owned()),
    ];
    let let_in = let_in.into_iter().filter(|(found, _)| found.count > 0);
    facts.extend(let_in.map(|(found, why)| ("secrets let in", format!("{}, {why}", named(found)))));
    facts
}

/// Names the first of some paths, and how many there are.
pub(crate) fn named(found: &Found) -> String {
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
