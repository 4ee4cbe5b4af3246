//! Keeps changes as one commit on a branch of its own: by a stream of our own to `git fast-import`, which checks next to nothing,
//! so everything in it is checked here. Work tree and index are not touched.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use claude_bottle_plugin_api::{EntryKind, GitIdentity};
use ignore::gitignore::GitignoreBuilder;

use super::run::{Git, Verb};
use crate::results::commits::CommitsError;
use crate::results::commits::import::import;
use crate::results::contents::Contents;
use crate::results::model::{Change, SavedResult, Side};
use crate::results::repository::Repository;
use crate::results::stream::Place;

/// The largest file that a commit takes, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// Why there is no branch.
#[derive(Debug, thiserror::Error)]
pub enum BranchError {
    /// The directory is not a work tree's root, or has no commit.
    #[error("`{0}` was not a repository with a commit when it was copied in")]
    NoBase(String),
    /// git is not there.
    #[error("git is not installed")]
    NoGit,
    /// The name cannot be a branch's.
    #[error("`{0}` is not a valid name of a branch")]
    Name(String),
    /// There is one already.
    #[error("the branch `{0}` exists")]
    Exists(String),
    /// A filter would have to run.
    #[error("`{0}` has a filter in .gitattributes, as of git-lfs, which is not run for it")]
    Filter(String),
    /// Contents are missing.
    #[error("the contents of `{0}` are not kept")]
    Missing(String),
    /// A path cannot be in a repository.
    #[error("`{0}` cannot be in a repository")]
    Path(String),
    /// A commit of the agent's builds on one that has nothing to do with it.
    #[error("a commit of the agent's builds on `{0}`, which does not lead to the commit that was copied in")]
    Elsewhere(String),
    /// The agent's commits are not taken.
    #[error(transparent)]
    Commits(#[from] CommitsError),
    /// git failed, or could not be run.
    #[error("run git")]
    Git(#[source] io::Error),
}

/// Makes the branch, and returns its commit.
///
/// # Errors
/// Fails if the directory has no commit to build on, the name is taken or not valid, or git fails.
pub fn make(
    result: &SavedResult,
    files: &[&Change],
    contents: &Contents,
    name: &str,
    committer: &GitIdentity,
) -> Result<String, BranchError> {
    check_filters(&result.directory, files)?;
    let fresh = Fresh::find(result, name)?;
    let stream = stream(result, files, contents, (&fresh.reference, fresh.head), committer)?;
    let output =
        fresh.git.run(Verb::FastImport, &["--quiet", "--done"], &stream).map_err(BranchError::Git)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(BranchError::Git(io::Error::other(said)));
    }
    fresh.commit()
}

/// Makes the branch of the agent's own commits, and returns the last of them.
///
/// # Errors
/// Fails as [`make`] does, and if the text of the commits is not taken.
pub fn make_of_commits(result: &SavedResult, text: &Path, name: &str) -> Result<String, BranchError> {
    let fresh = Fresh::find(result, name)?;
    import(text, &fresh.git, &fresh.reference, fresh.head)?;
    fresh.commit()
}

/// A branch that is not there yet, in a repository that has the commit to build on.
struct Fresh<'r> {
    git: Git,
    reference: String,
    head: &'r str,
}

impl<'r> Fresh<'r> {
    fn find(result: &'r SavedResult, name: &str) -> Result<Self, BranchError> {
        let directory = &result.directory;
        let no_base = || BranchError::NoBase(directory.display().to_string());
        let (Some(_), Some(head)) = (Repository::find(directory), &result.base.head) else {
            return Err(no_base());
        };
        let reference = format!("refs/heads/{name}");
        if name.starts_with('-')
            || name == "HEAD"
            || gix_validate::reference::name(reference.as_str().into()).is_err()
        {
            return Err(BranchError::Name(name.to_owned()));
        }
        let fresh = Self { git: Git::find(directory).ok_or(BranchError::NoGit)?, reference, head };
        if fresh.parse(&fresh.reference)?.is_some() {
            return Err(BranchError::Exists(name.to_owned()));
        }
        fresh.parse(&format!("{head}^{{commit}}"))?.ok_or_else(no_base)?;
        Ok(fresh)
    }

    /// Returns what a name stands for.
    fn parse(&self, what: &str) -> Result<Option<String>, BranchError> {
        let words = ["--verify", "--quiet", "--end-of-options", what];
        let output = self.git.run(Verb::RevParse, &words, b"").map_err(BranchError::Git)?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(output.status.success().then_some(text))
    }

    /// Returns the commit of the branch, now that it was made.
    fn commit(&self) -> Result<String, BranchError> {
        let made = self.parse(&self.reference)?;
        made.ok_or_else(|| BranchError::Git(io::Error::other("the branch was not made")))
    }
}

/// Refuses paths with a filter: what is in the tree is not what git would keep of it.
fn check_filters(directory: &Path, files: &[&Change]) -> Result<(), BranchError> {
    for file in files.iter().filter(|file| file.new.is_some()) {
        let path = file.path.as_path();
        for above in path.ancestors().skip(1) {
            let Ok(text) = fs::read_to_string(directory.join(above).join(".gitattributes")) else { continue };
            let mut rules = GitignoreBuilder::new("");
            for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
                let mut words = line.split_whitespace();
                let pattern = words.next().unwrap_or_default();
                if words.any(|word| word.starts_with("filter=")) {
                    // A pattern that cannot be read fits nothing for git either.
                    drop(rules.add_line(None, pattern));
                }
            }
            let Ok(rules) = rules.build() else { continue };
            let below = path.strip_prefix(above).unwrap_or(path);
            if rules.matched_path_or_any_parents(below, false).is_ignore() {
                return Err(BranchError::Filter(path.display().to_string()));
            }
        }
    }
    Ok(())
}

/// Writes the stream: a commit that deletes and adds exactly these paths.
fn stream(
    result: &SavedResult,
    files: &[&Change],
    contents: &Contents,
    (reference, head): (&str, &str),
    committer: &GitIdentity,
) -> Result<Vec<u8>, BranchError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let line =
        |text: &str| text.chars().filter(|c| !c.is_control() && !"<>".contains(*c)).collect::<String>();
    let person = format!("{} <{}> {now} +0000", line(&committer.name), line(&committer.email));
    let message = format!(
        "Changes of the agent {}\n\nClaude-Bottle-Run: {}\nClaude-Bottle-Agent: {}\n",
        line(&result.agent),
        line(&result.run),
        line(&result.agent)
    );
    let mut stream = format!("feature done\ncommit {reference}\ncommitter {person}\n").into_bytes();
    data(&mut stream, message.as_bytes());
    stream.extend_from_slice(format!("from {head}\n").as_bytes());
    for file in files.iter().filter(|file| is_kept(file.old.as_ref())) {
        stream.extend_from_slice(format!("D {}\n", quoted(file)?).as_bytes());
    }
    for file in files {
        let Some(new) = file.new.as_ref().filter(|new| is_kept(Some(new))) else { continue };
        let missing = || BranchError::Missing(file.path.as_path().display().to_string());
        let (mode, bytes) = match (&new.sha256, &new.target) {
            (Some(sha256), _) => {
                let from = contents.open(sha256).map_err(BranchError::Git)?.ok_or_else(missing)?;
                let mut bytes = Vec::new();
                from.take(MOST_BYTES).read_to_end(&mut bytes).map_err(BranchError::Git)?;
                (if new.executable { "100755" } else { "100644" }, bytes)
            }
            (None, Some(target)) => ("120000", target.as_bytes().to_vec()),
            (None, None) => return Err(missing()),
        };
        stream.extend_from_slice(format!("M {mode} inline {}\n", quoted(file)?).as_bytes());
        data(&mut stream, &bytes);
    }
    stream.extend_from_slice(b"done\n");
    Ok(stream)
}

/// Returns `true` for what git keeps: files and links.
fn is_kept(side: Option<&Side>) -> bool {
    side.is_some_and(|side| matches!(side.kind, EntryKind::File | EntryKind::Link))
}

fn data(stream: &mut Vec<u8>, bytes: &[u8]) {
    stream.extend_from_slice(format!("data {}\n", bytes.len()).as_bytes());
    stream.extend_from_slice(bytes);
    stream.push(b'\n');
}

/// Returns a path as the stream has it. Each component was checked when the result was saved, and is again.
fn quoted(file: &Change) -> Result<String, BranchError> {
    let wrong = || BranchError::Path(file.path.as_path().display().to_string());
    let is_link = file.new.as_ref().is_some_and(|new| new.kind == EntryKind::Link);
    if !matches!(Place::of(file.path.as_path(), is_link), Place::Tree(_)) {
        return Err(wrong());
    }
    Ok(quoted_path(file.path.as_path()))
}

/// Quotes a path that was checked.
pub(in crate::results) fn quoted_path(path: &Path) -> String {
    let mut text = String::from("\"");
    for (index, part) in path.as_os_str().as_bytes().split(|byte| *byte == b'/').enumerate() {
        if index > 0 {
            text.push('/');
        }
        for byte in part {
            match byte {
                b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
                b' '..=b'~' => text.push(char::from(*byte)),
                other => text.push_str(&format!("\\{other:03o}")),
            }
        }
    }
    text.push('"');
    text
}
