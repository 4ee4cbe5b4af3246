//! The agent's own commits: written as text by the git inside before the bottle is halted, checked here line by line, and
//! imported into the user's repository from a text of our own.
//!
//! The text is the agent's word. It has no trees and no deltas; each path, mode, person and reference in it is checked, since
//! `git fast-import` checks next to nothing of them.

pub mod export;
pub mod form;
pub mod import;
pub mod look;
pub mod read;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Context;
use claude_bottle_plugin_api::EntryPath;
use serde::{Deserialize, Serialize};

use crate::results::model::Change;

/// The file of the text, in a result and until then with the records of a run.
pub const FILE: &str = "commits.fe";
/// How large the text may be, in bytes.
pub const MOST_BYTES: u64 = 256 << 20;
/// How many commits it may have.
pub const MOST_COMMITS: usize = 10_000;
/// How many changes of paths they may have together.
pub const MOST_CHANGES: usize = 500_000;

/// What a result says of the agent's commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commits {
    /// The size of the text in bytes.
    pub bytes: u64,
    /// The SHA-256 of it.
    pub sha256: String,
    /// How many there are.
    pub count: u64,
    /// Files of any of them that need a word of their own.
    #[serde(default)]
    pub marked: Vec<Change>,
    /// Paths that are not the same after the last commit as in the result: the first of them.
    #[serde(default)]
    pub apart: Vec<EntryPath>,
    /// How many there are of those; absent if the commits do not begin at the one that was copied in.
    #[serde(default)]
    pub apart_count: Option<u64>,
}

/// Why the commits are not taken.
#[derive(Debug, thiserror::Error)]
pub enum CommitsError {
    /// They cannot be read.
    #[error("read the agent's commits")]
    Read(#[from] std::io::Error),
    /// The text is not in the form of `git fast-export`.
    #[error("line {line} of the agent's commits: {what}")]
    Form {
        /// The line; contents have none.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A path cannot be in a repository.
    #[error("`{}` in the agent's commits cannot be in a repository", .0.display())]
    Path(PathBuf),
    /// There is too much of something.
    #[error("the agent's commits have more than {0}")]
    TooMuch(&'static str),
}

/// Takes the agent's own commits into a result, if they were written. Those that are not taken are said, and hold nothing up.
///
/// # Errors
/// Fails if they cannot be written.
pub fn keep(
    run_dir: &Path,
    into: &Path,
    against: look::Against<'_>,
    skipped: &mut Vec<String>,
) -> anyhow::Result<Option<Commits>> {
    let mut skip = |why: String| skipped.push(format!("the agent's commits: {why}"));
    if let Some(why) = export::why_not(run_dir) {
        skip(why);
    }
    let text = run_dir.join(FILE);
    if !text.exists() {
        return Ok(None);
    }
    match look::look(&text, against) {
        Ok(None) => Ok(None),
        Ok(found) => {
            std::fs::copy(&text, into.join(FILE)).context("keep the agent's commits")?;
            Ok(found)
        }
        Err(error) => {
            skip(format!("{:#}", anyhow::Error::new(error)));
            Ok(None)
        }
    }
}

/// A commit that another one builds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parent {
    /// One of the agent's, by its number in the text.
    Own(u64),
    /// One that was copied in, by its name.
    Known(String),
}

/// What a commit does to one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is there, with the contents of that number.
    Put {
        /// The path.
        path: PathBuf,
        /// What it is.
        mode: Mode,
        /// The contents.
        blob: u64,
    },
    /// It is gone.
    Remove(PathBuf),
}

/// What git keeps of a file besides its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A file.
    Plain,
    /// A file that can be executed.
    Executable,
    /// A symbolic link.
    Link,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its number in the text.
    pub mark: u64,
    /// Who wrote it and when, as git has it.
    pub author: String,
    /// Who committed it and when.
    pub committer: String,
    /// What is said of it.
    pub message: String,
    /// What it builds on; the first is what its steps are against.
    pub parents: Vec<Parent>,
    /// What it does.
    pub steps: Vec<Step>,
}

impl Mode {
    /// Returns the number that git writes.
    pub fn digits(self) -> &'static str {
        match self {
            Self::Plain => "100644",
            Self::Executable => "100755",
            Self::Link => "120000",
        }
    }
}
