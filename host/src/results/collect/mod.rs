//! Compares an export with what was copied in, entry by entry as they come, and keeps the contents that changed.
//!
//! The archive is read once. Rarely contents are needed of an entry that has gone by (a hard link to a file that is not kept
//! itself, a large file of the same size): then [`Collector::finish`] says so, and the caller exports again.

mod known;
mod refused;
mod repository;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{EntryKind, EntryPath};

use self::known::KnownFile;
use self::refused::named;
use crate::results::archive::Archive;
use crate::results::draft::Draft;
use crate::results::model::{Change, LeftOut, Side};
use crate::results::stream::{Content, Place, Sink};

pub use self::known::{Known, Learnt, OverBound};

/// How many changes a result may have.
pub const MAX_CHANGES: usize = 100_000;

/// What came of an export.
pub struct Collected {
    /// The changes, sorted by path; without marks and without what comes of comparing lines.
    pub changes: Vec<Change>,
    /// What is not part of them.
    pub left_out: LeftOut,
    /// The agent's rules of what git ignores, by their directory; the new contents are in the draft.
    pub agent_rules: Vec<(PathBuf, String)>,
    /// The agent's own list.
    pub agent_exclude: Option<String>,
    /// What was copied in of the agent's repositories and is gone there, without what is below.
    pub gone: Vec<EntryPath>,
    /// Whether the agent's repository names other commits than before.
    pub has_own_refs: bool,
}

/// Compares.
pub struct Collector<'a> {
    known: &'a Known,
    draft: &'a mut Draft,
    git: &'a mut Archive,
    learnt: &'a Learnt,
    found: Learnt,
    /// Which entries of the baseline are there still.
    seen: Vec<bool>,
    files: HashMap<PathBuf, KnownFile>,
    changes: Vec<Change>,
    max_changes: usize,
    left_out: LeftOut,
    refused: BTreeSet<PathBuf>,
    agent_rules: Vec<(PathBuf, String)>,
    agent_exclude: Option<String>,
    gone: BTreeSet<PathBuf>,
    has_own_refs: bool,
}

impl Sink for Collector<'_> {
    fn entry(&mut self, place: Place, content: Content, contents: &mut dyn Read) -> anyhow::Result<()> {
        let at = self.known.baseline.find(place.path());
        if content != Content::Special {
            self.note_seen(at, place.path());
        }
        match place {
            // Its own work trees are sealed like its repository.
            place if self.is_in_worktree(place.path()) => self.git(place.path(), at, content, contents),
            Place::Tree(path) => self.tree(path, at, content, contents),
            Place::Git(path) => self.git(&path, at, content, contents),
            Place::Refused { path, top } => self.refuse(&path, &top, at, content, contents),
        }
    }
}

impl<'a> Collector<'a> {
    /// Begins to compare, knowing what an earlier reading found out.
    pub fn new(known: &'a Known, draft: &'a mut Draft, git: &'a mut Archive, learnt: &'a Learnt) -> Self {
        Self {
            seen: vec![false; known.baseline.len()],
            known,
            draft,
            git,
            learnt,
            found: Learnt::default(),
            files: HashMap::new(),
            changes: Vec::new(),
            max_changes: MAX_CHANGES,
            left_out: LeftOut::default(),
            refused: BTreeSet::new(),
            agent_rules: Vec::new(),
            agent_exclude: None,
            gone: BTreeSet::new(),
            has_own_refs: false,
        }
    }

    /// Takes another number of changes for the most.
    #[must_use]
    pub fn with_most(mut self, changes: usize) -> Self {
        self.max_changes = changes;
        self
    }

    /// Adds what is gone, and sorts; `Err` with what has to be known for another reading.
    pub fn finish(mut self) -> Result<Collected, Learnt> {
        let more = self.found.wanted.difference(&self.learnt.wanted).next().is_some()
            || self.found.worktrees.difference(&self.learnt.worktrees).next().is_some();
        if more {
            self.found.wanted.extend(self.learnt.wanted.iter().cloned());
            self.found.worktrees.extend(self.learnt.worktrees.iter().cloned());
            return Err(self.found);
        }
        self.add_deleted();
        self.changes.sort_by(|a, b| a.path.cmp(&b.path));
        self.left_out.refused = named(&self.refused);
        self.left_out.worktrees = named(&self.learnt.worktrees);
        Ok(Collected {
            changes: self.changes,
            left_out: self.left_out,
            agent_rules: self.agent_rules,
            agent_exclude: self.agent_exclude,
            gone: self.gone.iter().map(EntryPath::new).collect(),
            has_own_refs: self.has_own_refs,
        })
    }

    /// Notes that an entry is there, and so are the directories that it is in.
    fn note_seen(&mut self, at: Option<usize>, path: &Path) {
        if let Some(at) = at {
            self.seen[at] = true;
        }
        for parent in path.ancestors().skip(1) {
            match self.known.baseline.find(parent) {
                Some(at) if !self.seen[at] => self.seen[at] = true,
                _ => break,
            }
        }
    }

    fn is_in_worktree(&self, path: &Path) -> bool {
        !self.learnt.worktrees.is_empty()
            && path.ancestors().any(|parent| self.learnt.worktrees.contains(parent))
    }

    fn is_ignored(&self, path: &Path, is_directory: bool) -> bool {
        let Some(ignored) = &self.known.ignored else { return false };
        !self.known.tracked.contains(path) && ignored.has(path, is_directory)
    }

    /// Returns what an earlier file of this archive is; `None` if its contents were passed over.
    fn known_file(&self, path: &Path) -> Option<KnownFile> {
        if let Some(file) = self.files.get(path) {
            return file.sha256.map(|_| *file);
        }
        let (sha256, size, executable) = self.known.baseline.file(self.known.baseline.find(path)?)?;
        Some(KnownFile { sha256: Some(sha256), size, executable })
    }

    fn change(&mut self, path: PathBuf, old: Option<Side>, new: Option<Side>) -> anyhow::Result<()> {
        if self.changes.len() == self.max_changes {
            return Err(OverBound::Changes { most: self.max_changes }.into());
        }
        self.changes.push(Change::new(path, old, new));
        Ok(())
    }

    /// Adds what was copied in and is not there any more.
    fn add_deleted(&mut self) {
        let baseline = &self.known.baseline;
        let seen = std::mem::take(&mut self.seen);
        for at in (0..baseline.len()).filter(|at| !seen[*at]) {
            let (path, old) = (baseline.path(at), baseline.side(at));
            let is_directory = old.kind == EntryKind::Directory;
            match Place::of(path, old.kind == EntryKind::Link) {
                Place::Tree(_) if self.is_ignored(path, is_directory) => {}
                Place::Tree(path) => {
                    self.changes.push(Change::new(path, Some(old), None));
                }
                Place::Refused { top, .. } => drop(self.refused.insert(top)),
                Place::Git(path) => self.git_gone(path),
            }
        }
    }
}
