//! What an earlier bottle left, to go on with in a new one.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Files of the host from which a backend lays what an earlier bottle left over what a new one has, before the agent runs.
///
/// Each archive is an uncompressed tar of files, directories and symbolic links with relative paths and no top directory. An
/// entry replaces what is in its place, and what is not a directory on the way to it; what the archive does not name stays.
/// Owners are the bottle's own. Their contents are an agent's: a backend follows no link while it lays them, and refuses with
/// [`crate::FailureKind::Invalid`] a path that leads out and one below a file or a link of the same archive.
/// [`crate::Workspace::index`] says what was copied in, as if none of this were here: a backend that lays these writes it.
///
/// To ignore one would lose work: each has a feature, which the host adds to [`crate::Spec::requires`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Restore {
    /// Files of the working directory, relative to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<PathBuf>,
    /// A file with a line for each path of the working directory that is removed before the archives are laid: an
    /// [`crate::EntryPath`] as JSON. A directory goes only if nothing is left in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<PathBuf>,
    /// What the earlier agent's repositories had of their own (`.git`), relative to the working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<PathBuf>,
    /// What the earlier agent remembers of its sessions, relative to the home. What a bottle is granted there (prompt, skills,
    /// settings, keys) is not replaced by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<PathBuf>,
    /// Where programs started in the earlier bottle, as [`crate::Exported::start`] said. Claude Code keeps the sessions of a
    /// directory under its name, so a backend whose programs start elsewhere renames what is named after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
}

impl Restore {
    /// What a backend declares that lays [`Self::workspace`] and removes [`Self::removed`].
    pub const WORKSPACE: &str = "restore.workspace";
    /// What a backend declares that lays [`Self::sealed`].
    pub const SEALED: &str = "restore.sealed";
    /// What a backend declares that lays [`Self::history`].
    pub const HISTORY: &str = "restore.history";

    /// Returns the features that a spec with this requires.
    pub fn features(&self) -> Vec<&'static str> {
        let parts = [
            (self.workspace.is_some() || self.removed.is_some(), Self::WORKSPACE),
            (self.sealed.is_some(), Self::SEALED),
            (self.history.is_some(), Self::HISTORY),
        ];
        parts.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, feature)| feature).collect()
    }
}
