//! Which directory comes along with `--cwd`, and where in it the agent starts.
//!
//! A working directory below the root of a repository brings the whole repository, since without it git, and most builds,
//! work for nobody. What is too much to be meant is refused by name: the home directory and what contains it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use claude_bottle_plugin_api::Workspace;

use crate::environment::Invocation;
use crate::error::{CliError, CliResult, Exit};

/// The directory that comes along, and what the user should know of it.
#[derive(Debug)]
pub struct Found {
    /// What the backend is asked to copy.
    pub workspace: Workspace,
    /// Why a repository stays on the host although the directory is in it.
    pub warning: Option<String>,
}

/// Finds what comes along: the repository around the working directory, or exactly the directory that is named.
///
/// # Errors
/// Fails on a directory that is not there, and on one that is too much to be meant.
pub fn find(invocation: &Invocation, named: Option<&Path>) -> CliResult<Found> {
    let start = match named {
        None => invocation.cwd.clone(),
        Some(named) => real_directory(&invocation.cwd.join(named))?,
    };
    refuse_too_much(invocation, &start)?;
    let around = around(invocation, &start);
    let warning = |why: &str| {
        let (start, root) = (start.display(), around.root.as_ref()?.display());
        Some(format!("`{start}` comes along without its repository `{root}`: {why}"))
    };
    let why = match (named, around.obstacle) {
        (Some(_), _) => Some("--cwd names it"),
        (None, obstacle) => obstacle,
    };
    let is_root = around.root.as_ref() == Some(&start);
    Ok(match (&around.root, why) {
        (Some(root), None) => Found { workspace: below(root, &start), warning: None },
        (_, Some(why)) if !is_root => Found { workspace: Workspace::new(&start), warning: warning(why) },
        _ => Found { workspace: Workspace::new(&start), warning: None },
    })
}

fn below(root: &Path, start: &Path) -> Workspace {
    let mut workspace = Workspace::new(root);
    workspace.start = start.strip_prefix(root).map(Path::to_owned).unwrap_or_default();
    workspace
}

fn real_directory(path: &Path) -> CliResult<PathBuf> {
    let real =
        path.canonicalize().with_context(|| format!("cannot find the directory `{}`", path.display()))?;
    if real.is_dir() {
        return Ok(real);
    }
    Err(CliError::new(Exit::Failed, format!("`{}` is not a directory", path.display())))
}

/// Refuses what holds the keys and logins of every program, and what this program itself writes to.
fn refuse_too_much(invocation: &Invocation, start: &Path) -> CliResult {
    let contains = |path: &Path| path.canonicalize().is_ok_and(|path| path.starts_with(start));
    let shown = start.display();
    let message = if start == Path::new("/") {
        "the working directory is `/`: a whole machine cannot be copied into a bottle".to_owned()
    } else if invocation.home.canonicalize().is_ok_and(|home| home == start) {
        format!(
            "the working directory is your home directory `{shown}`, with the keys and logins of every program"
        )
    } else if contains(&invocation.home) {
        let home = invocation.home.display();
        format!("the working directory `{shown}` contains your home directory `{home}`")
    } else {
        let own = [&invocation.state_dir, &invocation.data_dir];
        let Some(own) = own.into_iter().find(|own| contains(own)) else { return Ok(()) };
        format!("the working directory `{shown}` contains files of claude-bottle's own, `{}`", own.display())
    };
    Err(CliError::new(Exit::Failed, message)
        .hint("change to a project's directory, or name it: claude-bottle start AGENT --cwd=DIR"))
}

/// A repository around a directory.
#[derive(Debug, Default)]
struct Around {
    root: Option<PathBuf>,
    /// Why it does not come along.
    obstacle: Option<&'static str>,
}

/// Looks for the repository that a directory is in, as git does: not beyond the file system.
fn around(invocation: &Invocation, start: &Path) -> Around {
    let home = invocation.home.canonicalize().unwrap_or_else(|_| invocation.home.clone());
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    let mut found = Around::default();
    for directory in start.ancestors().take_while(|path| device(path) == device(start)) {
        if holds_repository(directory) {
            // A home directory that is one, for dotfiles, says nothing of what is below it.
            if home.starts_with(directory) {
                return Around::default();
            }
            found.root = Some(directory.to_owned());
            if !is_of_same_owner(&directory.join(".git"), start) {
                found.obstacle = Some("it belongs to somebody else");
            }
            return found;
        }
        if directory.join(Workspace::IGNORE_FILE).symlink_metadata().is_ok() {
            // Whoever wrote it said what comes along from there, and not from further up.
            found.obstacle = Some("a .claude-bottleignore is in a directory below its root");
        }
    }
    Around::default()
}

fn holds_repository(directory: &Path) -> bool {
    let git = directory.join(".git");
    match fs::symlink_metadata(&git) {
        Ok(found) if found.is_dir() => git.join("HEAD").symlink_metadata().is_ok(),
        Ok(found) if found.is_file() => fs::read(&git).is_ok_and(|text| text.starts_with(b"gitdir:")),
        _ => false,
    }
}

/// Somebody else's directory above one's own says nothing of what comes along.
fn is_of_same_owner(git: &Path, start: &Path) -> bool {
    let owner = |path: &Path| fs::symlink_metadata(path).ok().map(|found| found.uid());
    let mine = rustix::process::geteuid().as_raw();
    owner(git).is_some_and(|owner_of_git| owner_of_git == mine || Some(owner_of_git) == owner(start))
}

#[cfg(test)]
#[path = "workspace_tests.rs"]
mod tests;
