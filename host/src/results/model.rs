//! The documents of a saved result.
//!
//! ```text
//! results/<run>/result.json     SavedResult; never changed once it is there
//! results/<run>/files/<sha256>  new contents
//! results/<run>/base/<sha256>   old contents of the changed paths, as far as the host still had them when the result was saved
//! results/<run>/sealed/         tar archives that are never opened on the host: git.tar, history.tar
//! results/<run>/commits.fe     the agent's own commits as text, if they were asked for
//! results/<run>/applied.json    the journal of `apply`, from which `apply --undo` goes back
//! ```

use std::path::PathBuf;

use claude_bottle_plugin_api::{EntryKind, EntryPath};
use serde::{Deserialize, Serialize};

use crate::results::commits::Commits;
use crate::results::save::GIT;

/// The version of [`SavedResult`]'s form.
pub const VERSION: u32 = 1;

/// What a run changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedResult {
    /// [`VERSION`]; a result of another version is refused.
    pub version: u32,
    /// The run's identifier.
    pub run: String,
    /// What the engine calls the bottle.
    pub name: String,
    /// The agent's name.
    pub agent: String,
    /// The bottle's name in the manifest.
    pub bottle: String,
    /// The backend's name.
    pub backend: String,
    /// The directory that was copied in: results are applied to it.
    pub directory: PathBuf,
    /// What the directory's repository said when it was copied in.
    pub base: Base,
    /// When it was saved, in seconds since 1970-01-01 UTC.
    pub saved_unix: u64,
    /// `true` if every changed file is in the result; `false` if some were left out for a reason that `left_out` names.
    pub complete: bool,
    /// `true` if the changes were searched for the bottle's own secrets, whose values only the process of the run has.
    pub secrets_checked: bool,
    /// The changes, sorted by path.
    pub files: Vec<Change>,
    /// What is not part of the changes.
    pub left_out: LeftOut,
    /// Where its agent began.
    #[serde(default, skip_serializing_if = "Origin::is_empty")]
    pub origin: Origin,
    /// The archives in `sealed/`.
    #[serde(default)]
    pub sealed: Vec<Sealed>,
    /// The agent's own commits, when they were asked for and there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commits: Option<Commits>,
    /// What was copied in of the agent's repositories and is gone there: a later bottle does not get it either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<EntryPath>,
    /// How large the working directory of its bottle is, in bytes, if the bottle is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<u64>,
    /// The SHA-256 of this document without this field, in compact JSON, which names every content by its own SHA-256.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
}

impl SavedResult {
    /// Returns `true` if there is something in it that a directory or a repository could have; a conversation is not.
    pub fn has_work(&self) -> bool {
        let has_repository = self.sealed.iter().any(|sealed| sealed.name == GIT);
        has_repository || !(self.files.is_empty() && self.gone.is_empty())
    }
}

/// The state of the directory's repository at copy-in, read from its files without running git.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The commit that HEAD named.
    #[serde(default)]
    pub head: Option<String>,
    /// The branch that HEAD named.
    #[serde(default)]
    pub branch: Option<String>,
}

/// Where an agent began: what a later bottle needs to go on from its result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Where in the directory its programs started; empty for the directory itself.
    #[serde(default, skip_serializing_if = "is_top")]
    pub below: PathBuf,
    /// Where that was inside the bottle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// The run whose result it went on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<String>,
}

impl Origin {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn is_top(path: &std::path::Path) -> bool {
    path.as_os_str().is_empty()
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It was not there.
    Added,
    /// Its contents, kind, link target or executable bit are different.
    Modified,
    /// It is gone.
    Deleted,
}

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The path, relative to the directory.
    #[serde(flatten)]
    pub path: EntryPath,
    /// What happened to it.
    pub change: ChangeKind,
    /// The path that it was renamed from; for show only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EntryPath>,
    /// How much of the larger file is in both, in percent, if it was renamed and changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alike: Option<u8>,
    /// As it was copied in; absent if it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Side>,
    /// As it is in the bottle; absent if it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Side>,
    /// Lines added; absent if the file is binary or was too large to compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<u64>,
    /// Lines removed; absent as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<u64>,
    /// `true` if the old contents are in `base/`.
    #[serde(default)]
    pub base_kept: bool,
    /// `true` if either side is not text.
    #[serde(default)]
    pub binary: bool,
    /// Why it needs a word of its own before it is applied.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// `true` if the copy's rules would have left it out (a usual secret, `.claude-bottleignore`): shown, and never part of a plain `apply`.
    #[serde(default)]
    pub withheld: bool,
    /// `true` if only ignore rules that the agent wrote leave it out.
    #[serde(default)]
    pub ignored_by_agent: bool,
}

impl Change {
    /// Says what happened to a path by what it was and what it is. One of the two is there.
    pub fn new(path: impl Into<PathBuf>, old: Option<Side>, new: Option<Side>) -> Self {
        let change = match (&old, &new) {
            (None, _) => ChangeKind::Added,
            (Some(_), None) => ChangeKind::Deleted,
            (Some(_), Some(_)) => ChangeKind::Modified,
        };
        Self {
            path: EntryPath::new(path),
            change,
            from: None,
            alike: None,
            old,
            new,
            added: None,
            removed: None,
            base_kept: false,
            binary: false,
            marks: Vec::new(),
            withheld: false,
            ignored_by_agent: false,
        }
    }
}

/// One side of a change. What counts for equality: kind, executable bit, contents, link target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// What it is.
    pub kind: EntryKind,
    /// Of a file: whether its owner may execute it.
    #[serde(default)]
    pub executable: bool,
    /// Of a file: its size in bytes.
    #[serde(default)]
    pub size: u64,
    /// Of a file: the SHA-256 of its contents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Of a link: where it leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<EntryPath>,
}

/// A reason why a change needs a word of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The kind.
    pub mark: MarkKind,
    /// Why, as a user reads it.
    pub why: String,
}

/// The kinds of marks; `--accept` takes these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// A tool executes it by itself: on opening or entering the directory, or at the next everyday command.
    Runs,
    /// An agent on this machine reads it as instructions.
    Steers,
    /// It is not what it looks like, or takes something along.
    Odd,
}

impl MarkKind {
    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Steers => "steers",
            Self::Odd => "odd",
        }
    }
}

/// An archive that is kept for `resume` and never opened on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Its file below `sealed/`.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The SHA-256 of it.
    pub sha256: String,
}

/// Where a result is in its life: the field `state` of `applied.json`; a result without that file is new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultState {
    /// Nothing was done with it: only `discard` removes it.
    #[default]
    New,
    /// It was applied.
    Applied,
    /// It was applied, and undone.
    Undone,
    /// A later run went on from it.
    Resumed,
}

/// What is not part of the changes, counted or named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Files that the host's own git rules ignore.
    pub ignored: Count,
    /// Devices, sockets and FIFOs.
    pub special: u64,
    /// Directories that are work trees of their own, made by the agent.
    #[serde(default)]
    pub worktrees: Vec<EntryPath>,
    /// Names that a result does not carry (`.git` in any spelling, too long, too deep).
    #[serde(default)]
    pub refused: Vec<EntryPath>,
    /// `true` if `sealed/` does not have all of the agent's repository or history, which exceeded its bound.
    #[serde(default)]
    pub sealed: bool,
    /// What the backend could not export, in its words.
    #[serde(default)]
    pub skipped: Vec<String>,
}

/// A number of files and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many.
    pub files: u64,
    /// How large together.
    pub bytes: u64,
}
