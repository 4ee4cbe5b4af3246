//! The repository's own data, when the working directory is copied.
//!
//! A `.git` directory travels with the working directory. In a worktree or submodule `.git` is a file that points elsewhere on
//! the host; what it points to is put together to a directory of its own inside. The file may have been written by anybody,
//! so what it points to must be a repository's data that points back here.

use std::fs;
use std::path::{Path, PathBuf};

use claude_bottle_backend_shared::tree::Options;
use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result, Spec, Workspace};

use super::{Files, Task, workspace};

const DOT_GIT: &str = ".git";

/// A repository's data that is not in the working directory.
struct Elsewhere {
    /// The data of this worktree or submodule.
    own: PathBuf,
    /// The data shared by all worktrees; the same as `own` in a submodule.
    common: PathBuf,
    /// The configuration without `core.worktree`, which names a place on the host.
    config: String,
}

/// Checks that the repository's data can be found.
pub(super) fn survey(spec: &Spec) -> Result<()> {
    spec.workspace.as_ref().map_or(Ok(()), |workspace| elsewhere(workspace).map(drop))
}

/// Returns the path to leave out of the copy of the working directory: a `.git` that is a file.
pub(super) fn replaced(workspace: &Workspace) -> Option<PathBuf> {
    is_file(&workspace.source.join(DOT_GIT)).then(|| DOT_GIT.into())
}

/// Adds the repository's data where it is not in the working directory.
pub(super) fn add(task: &Task<'_>, files: &mut Files) -> Result<()> {
    let Some(workspace) = &task.spec.workspace else { return Ok(()) };
    let Some(data) = elsewhere(workspace)? else { return Ok(()) };
    let target = Path::new(&task.workspace).join(DOT_GIT);
    let leave_out = |names: &[&str]| Options {
        exclude: names.iter().map(PathBuf::from).collect(),
        ..workspace::options(workspace)
    };
    files.tree(&data.common, &target, leave_out(&["worktrees", "index", "HEAD", "logs/HEAD"]));
    // Later entries of an archive win: this worktree's own HEAD and index.
    files.tree(&data.own, &target, leave_out(&["worktrees", "commondir", "gitdir"]));
    files.file(target.join("config"), 0o644, data.config);
    Ok(())
}

fn elsewhere(workspace: &Workspace) -> Result<Option<Elsewhere>> {
    let file = workspace.source.join(DOT_GIT);
    let kept = !workspace.exclude.iter().any(|path| path == Path::new(DOT_GIT));
    if !kept || !is_file(&file) {
        return Ok(None);
    }
    let text = read(&file)?;
    let own = text.strip_prefix("gitdir:").map(|path| workspace.source.join(path.trim()));
    let own = own.and_then(|path| fs::canonicalize(path).ok()).ok_or_else(|| astray(&file))?;
    let common = match read(&own.join("commondir")) {
        Ok(path) => fs::canonicalize(own.join(path.trim())).map_err(|_| astray(&file))?,
        Err(_) => own.clone(),
    };
    let config = read(&common.join("config"))?;
    if !points_back(workspace, &file, &own, &common, &config) {
        return Err(astray(&file));
    }
    Ok(Some(Elsewhere { own, common, config: without_worktree(&config) }))
}

/// Says whether it is a file itself: a link to one is none.
fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

/// Says whether the data belongs to this working directory by its own account.
fn points_back(workspace: &Workspace, file: &Path, own: &Path, common: &Path, config: &str) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let is_data =
        common.join("objects").is_dir() && common.join("refs").is_dir() && own.join("HEAD").is_file();
    let back = if own == common {
        // A submodule: `core.worktree`, relative to its data.
        let line = config.lines().find_map(worktree_of);
        line.and_then(|path| real(&own.join(path))) == real(&workspace.source)
    } else {
        // A worktree: the file `gitdir` names the `.git` file it belongs to.
        let named = fs::read_to_string(own.join("gitdir")).ok();
        named.and_then(|path| real(&own.join(path.trim()))) == real(file)
    };
    is_data && back && own.starts_with(common)
}

fn worktree_of(line: &str) -> Option<&str> {
    let (name, value) = line.split_once('=')?;
    name.trim().eq_ignore_ascii_case("worktree").then(|| value.trim().trim_matches('"'))
}

fn without_worktree(config: &str) -> String {
    config.lines().filter(|line| worktree_of(line).is_none()).map(|line| format!("{line}\n")).collect()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).failure(FailureKind::Invalid, || format!("read `{}`", path.display()))
}

fn astray(file: &Path) -> Failure {
    let message = format!("`{}` points to no repository's data that belongs to it", file.display());
    Failure::new(FailureKind::Invalid, message)
        .hint("git worktree repair   # or name .git in .claude-bottleignore to go without")
}
