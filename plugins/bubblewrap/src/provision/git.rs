//! The workspace's repository.
//!
//! A `.git` directory is copied as it is. A `.git` *file*, as a worktree or a submodule has it, points to a directory
//! elsewhere: the bottle gets a repository made of what it points to. No `git` of the host is ever run.

use std::fs;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result, Spec};

use super::Guest;
use crate::error::{PathExt, show};
use crate::tree::{self, Links};

/// Files of a worktree that are its own and not the repository's: <https://git-scm.com/docs/gitrepository-layout>.
const OF_WORKTREE: [&str; 4] = ["HEAD", "ORIG_HEAD", "index", "MERGE_HEAD"];

/// What a `.git` is made of.
struct Repository {
    /// Objects, references and configuration.
    common: PathBuf,
    /// The worktree's own files, when they are elsewhere.
    worktree: Option<PathBuf>,
    /// Whether its configuration says where its files are checked out.
    is_elsewhere: bool,
}

/// Returns the workspace's `.git`, when there is one.
pub(super) fn find(spec: &Spec) -> Option<PathBuf> {
    let git = spec.workspace.as_ref()?.source.join(".git");
    let is_left_out = spec.workspace.as_ref()?.exclude.iter().any(|path| path == Path::new(".git"));
    (git.symlink_metadata().is_ok() && !is_left_out).then_some(git)
}

/// Refuses a repository that would not work inside.
pub(super) fn check(spec: &Spec) -> Result<()> {
    let Some(git) = find(spec) else { return Ok(()) };
    let repository = resolve(&git)?;
    let alternates = repository.common.join("objects/info/alternates");
    if alternates.exists() {
        let message = format!("the repository borrows objects from another, by `{}`", show(&alternates));
        return Err(Failure::new(FailureKind::Invalid, message)
            .hint(format!("git repack -a -d && rm '{}'", show(&alternates))));
    }
    Ok(())
}

/// Copies the repository into the workspace.
pub(super) fn provision(guest: &Guest<'_>) -> Result<()> {
    let Some(git) = &guest.state.git else { return Ok(()) };
    let repository = resolve(git)?;
    let target = guest.outside("workspace/.git");
    guest.clear(&target)?;
    let mut exclude = Vec::new();
    if repository.worktree.is_some() {
        exclude.push(PathBuf::from("worktrees"));
        exclude.extend(OF_WORKTREE.map(PathBuf::from));
    }
    let options = tree::Options { owner: guest.state.drop_to, links: Links::Keep, exclude };
    tree::copy(guest.call, &repository.common, &target, &options)?;
    for name in OF_WORKTREE {
        let source =
            repository.worktree.as_ref().map(|worktree| worktree.join(name)).filter(|path| path.exists());
        if let Some(source) = source {
            tree::copy_file(&source, &target.join(name), guest.state.drop_to)?;
        }
    }
    if repository.is_elsewhere { settle(guest, &target) } else { Ok(()) }
}

/// Takes out of the configuration where the files were checked out on the host.
fn settle(guest: &Guest<'_>, target: &Path) -> Result<()> {
    let path = target.join("config");
    let text = fs::read_to_string(&path).at("read", &path)?;
    let says_where = |line: &&str| {
        let key = line.split('=').next().unwrap_or_default().trim();
        !key.eq_ignore_ascii_case("worktree")
    };
    let text: String = text.lines().filter(says_where).flat_map(|line| [line, "\n"]).collect();
    guest.write("workspace/.git/config", text.as_bytes(), 0o644)
}

fn resolve(git: &Path) -> Result<Repository> {
    if git.is_dir() {
        return Ok(Repository { common: git.to_owned(), worktree: None, is_elsewhere: false });
    }
    let text = fs::read_to_string(git).at("read", git)?;
    let pointed = text.trim_end().strip_prefix("gitdir: ").map(|path| git.with_file_name(path));
    let pointed = pointed.ok_or_else(|| not_a_pointer(git))?;
    let own = pointed.canonicalize().at("find", &pointed)?;
    match fs::read_to_string(own.join("commondir")) {
        Err(_) => Ok(Repository { common: own, worktree: None, is_elsewhere: true }),
        Ok(common) => {
            let common = own.join(common.trim_end());
            let common = common
                .canonicalize()
                .failure(FailureKind::Missing, || format!("find `{}`", show(&common)))?;
            Ok(Repository { common, worktree: Some(own), is_elsewhere: true })
        }
    }
}

fn not_a_pointer(git: &Path) -> Failure {
    Failure::new(FailureKind::Invalid, format!("`{}` is no repository and points to none", show(git)))
}
