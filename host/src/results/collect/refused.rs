//! Names that a result does not carry, and work trees of the agent's own: told, not taken.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{EntryKind, EntryPath};

use super::Collector;
use super::known::KnownFile;
use crate::results::draft::{Taken, Want};
use crate::results::hash::hex;
use crate::results::stream::Content;

/// How many refused names and work trees are named.
const NAMED: usize = 100;

impl Collector<'_> {
    /// Names what a result does not carry, unless it is as it was copied in.
    pub(super) fn refuse(
        &mut self,
        path: &Path,
        top: &Path,
        at: Option<usize>,
        content: Content,
        contents: &mut dyn Read,
    ) -> anyhow::Result<()> {
        let old = at.map(|at| self.known.baseline.side(at));
        let is_old = match content {
            Content::Special => true,
            Content::Directory => old.is_some_and(|old| old.kind == EntryKind::Directory),
            Content::Link { target } => {
                old.and_then(|old| old.target).is_some_and(|old| old.as_bytes() == target)
            }
            Content::Same { .. } => false,
            Content::File { size, executable } => {
                let is_wanted = self.learnt.wanted.contains(path);
                let want = if is_wanted { Want::Contents } else { Want::Hash };
                let taken = self.draft.take(contents, size, want)?;
                let file = KnownFile { sha256: Some(taken.sha256), size, executable };
                self.files.insert(path.to_owned(), file);
                if at.is_none() && is_worktree(path, &taken) {
                    self.found.worktrees.extend(path.parent().map(Path::to_owned));
                    return Ok(());
                }
                let is_old = old.is_some_and(|old| old.sha256 == Some(hex(taken.sha256)));
                if is_wanted {
                    self.draft.keep(taken)?;
                }
                is_old
            }
        };
        if !is_old {
            self.refused.insert(top.to_owned());
        }
        Ok(())
    }
}

/// Returns `true` if a file of a refused name makes its directory a work tree of this repository: `.git` with a path in `.git`.
fn is_worktree(path: &Path, taken: &Taken) -> bool {
    path.file_name().is_some_and(|name| name == ".git")
        && taken.text().is_some_and(|text| text.starts_with("gitdir:") && text.contains("/.git/worktrees/"))
}

/// Returns the first of these paths.
pub(super) fn named(paths: &BTreeSet<PathBuf>) -> Vec<EntryPath> {
    paths.iter().take(NAMED).map(EntryPath::new).collect()
}
