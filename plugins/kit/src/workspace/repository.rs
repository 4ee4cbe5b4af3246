//! A repository whose `.git` is a file: a worktree's, a submodule's, or one with its data in another directory.
//!
//! What the file points to is put together to a directory of its own inside, unless it is in the working directory and travels
//! with it. The file may have been written by anybody, so what it points to must be a repository's data that points back here.

use std::fs;
use std::path::{Path, PathBuf};

use super::{DOT_GIT, WorkspaceError, submodules};
use crate::tree::{Options, Rules};

/// A repository's data, to be put together in `.git`.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Directories and how they are copied, each over the one before.
    pub trees: Vec<(PathBuf, Options)>,
    /// Files that are written over those afterwards, relative to the working directory: what named places on the host.
    pub files: Vec<(PathBuf, String)>,
}

/// What a `.git` file points to.
pub(super) struct Found {
    /// The data of this checkout.
    pub(super) own: PathBuf,
    /// The same, relative to the working directory, when it is in there.
    pub(super) inside: Option<PathBuf>,
    /// What is put together, when it is elsewhere.
    pub(super) repository: Option<Repository>,
}

/// Finds what a `.git` file points to.
pub(super) fn find(source: &Path, file: &Path, plain: &Options) -> Result<Found, WorkspaceError> {
    let astray = || WorkspaceError::Astray { file: file.to_owned() };
    let own = target(file).ok_or_else(astray)?;
    if let Some(inside) = fs::canonicalize(source).ok().and_then(|root| own.strip_prefix(root).ok()) {
        if !is_data(&own, &own) {
            return Err(astray());
        }
        refuse_borrowed(&own)?;
        return Ok(Found { inside: Some(inside.to_owned()), repository: None, own: own.clone() });
    }
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
    let repository = put_together(source, &own, common, &config, plain);
    Ok(Found { own, inside: None, repository: Some(repository) })
}

fn put_together(source: &Path, own: &Path, common: PathBuf, config: &str, plain: &Options) -> Repository {
    let without = |names: &[&str]| Options {
        exclude: names.iter().map(PathBuf::from).collect(),
        rules: Rules::All,
        ..plain.clone()
    };
    let is_worktree = own != common;
    let mut shared = vec!["worktrees", "index", "HEAD", "logs/HEAD", "config"];
    if is_worktree {
        // Those are the main worktree's: its submodules, and settings for it alone.
        shared.extend(["modules", "config.worktree"]);
    }
    let mut files = vec![(Path::new(DOT_GIT).join("config"), for_worktree(config, None))];
    files.extend(submodules::moved(source, own));
    let trees = vec![
        (common, without(&shared)),
        // This worktree's own HEAD, index and submodules.
        (own.to_owned(), without(&["worktrees", "commondir", "gitdir", "config"])),
    ];
    Repository { trees, files }
}

/// Returns where a `.git` file points.
pub(super) fn target(file: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(file).ok()?;
    let path = text.strip_prefix("gitdir:")?.trim();
    fs::canonicalize(file.parent()?.join(path)).ok()
}

fn is_data(own: &Path, common: &Path) -> bool {
    common.join("objects").is_dir() && common.join("refs").is_dir() && own.join("HEAD").is_file()
}

/// Returns `true` if the data names this working directory as its own.
fn points_back(source: &Path, file: &Path, own: &Path, common: &Path, config: &str) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let back = if own == common {
        // A submodule: `core.worktree`, relative to its data.
        worktree(config).and_then(|path| real(&own.join(path))) == real(source)
    } else {
        // A worktree: the file `gitdir` names the `.git` file it belongs to.
        let named = fs::read_to_string(own.join("gitdir")).ok();
        named.and_then(|path| real(&own.join(path.trim()))) == real(file)
    };
    is_data(own, common) && back && own.starts_with(common)
}

/// Refuses a repository with objects elsewhere. They are not fetched along: the file may have been written by anybody, and
/// name any repository of the user's.
/// <https://git-scm.com/docs/gitrepository-layout#Documentation/gitrepository-layout.txt-objectsinfoalternates>
pub(super) fn refuse_borrowed(data: &Path) -> Result<(), WorkspaceError> {
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

/// Returns the value of `core.worktree`.
pub(super) fn worktree(config: &str) -> Option<&str> {
    config.lines().find_map(worktree_of)
}

fn worktree_of(line: &str) -> Option<&str> {
    let (name, value) = line.split_once('=')?;
    name.trim().eq_ignore_ascii_case("worktree").then(|| value.trim().trim_matches('"'))
}

/// Returns a repository's configuration for one that has a working directory, and names another place for it, or none.
pub(super) fn for_worktree(config: &str, place: Option<&str>) -> String {
    let lines = config.lines().filter(|line| worktree_of(line).is_none());
    let mut config: String = lines.map(|line| format!("{line}\n")).collect();
    // The data of a repository that is bare itself, which has worktrees all the same, says so; the last word counts.
    config.push_str("[core]\n\tbare = false\n");
    config.extend(place.map(|place| format!("\tworktree = {place}\n")));
    config
}

pub(super) fn read(path: &Path) -> Result<String, WorkspaceError> {
    fs::read_to_string(path).map_err(|source| WorkspaceError::ReadGit { path: path.to_owned(), source })
}
