//! The agent's own repositories: what is not as it was copied in goes into an archive, and nothing looks into it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use claude_bottle_plugin_api::EntryKind;

use super::Collector;
use super::known::KnownFile;
use crate::results::draft::Want;
use crate::results::model::Side;
use crate::results::stream::Content;

/// The agent's own list of what git ignores.
const EXCLUDE: &str = ".git/info/exclude";
/// Where commits and contents are.
const OBJECTS: &str = ".git/objects";
/// Where commits have names, a file each.
const REFS: &str = ".git/refs";
/// Names of commits in one file.
const PACKED_REFS: &str = ".git/packed-refs";

/// What is said of an archive that cannot be written.
const WRITING: &str = "write the sealed repository";

impl Collector<'_> {
    /// Puts what is not as it was copied in of the agent's repository into the sealed archive; nothing looks into it.
    pub(super) fn git(
        &mut self,
        path: &Path,
        at: Option<usize>,
        content: Content,
        contents: &mut dyn Read,
    ) -> anyhow::Result<()> {
        let old = at.map(|at| self.known.baseline.side(at));
        match content {
            Content::Special => Ok(()),
            Content::Directory if old.as_ref().is_some_and(|old| old.kind == EntryKind::Directory) => Ok(()),
            Content::Directory => self.git.directory(path).context(WRITING),
            Content::Link { target } => {
                let is_old = old.and_then(|old| old.target).is_some_and(|old| old.as_bytes() == target);
                if is_old { Ok(()) } else { self.git.link(path, &target).context(WRITING) }
            }
            Content::File { size, executable } => self.git_file(path, at, (size, executable), contents),
            Content::Same { earlier } => self.git_same(path, old.as_ref(), &earlier),
        }
    }

    fn git_file(
        &mut self,
        path: &Path,
        at: Option<usize>,
        (size, executable): (u64, bool),
        contents: &mut dyn Read,
    ) -> anyhow::Result<()> {
        let was = at.and_then(|at| self.known.baseline.file(at));
        let is_wanted = self.learnt.wanted.contains(path);
        let is_new = was.is_none_or(|(_, old_size, _)| old_size != size);
        let want = if is_new || is_wanted { Want::Contents } else { Want::Hash };
        let taken = self.draft.take(contents, size, want)?;
        if path == Path::new(EXCLUDE) {
            self.agent_exclude = taken.text();
        }
        if was != Some((taken.sha256, size, executable)) {
            self.has_own_refs |= is_ref(path);
            self.files.insert(path.to_owned(), KnownFile { sha256: Some(taken.sha256), size, executable });
            match taken.open()? {
                Some(contents) => self.git.file(path, executable, size, contents).context(WRITING)?,
                None if self.draft.is_over_bound() => {}
                None => drop(self.found.wanted.insert(path.to_owned())),
            }
        }
        if is_wanted { self.draft.keep(taken).map(drop) } else { Ok(()) }
    }

    fn git_same(&mut self, path: &Path, old: Option<&Side>, earlier: &Path) -> anyhow::Result<()> {
        if let Some(file) = self.known_file(earlier) {
            self.files.insert(path.to_owned(), file);
            if old == Some(&file.side()) {
                return Ok(());
            }
            if let Some(sha256) = file.sha256.filter(|sha256| self.draft.has(sha256)) {
                let contents = File::open(self.draft.file(&sha256)).context("read kept contents")?;
                return self.git.file(path, file.executable, file.size, contents).context(WRITING);
            }
        }
        self.found.wanted.insert(earlier.to_owned());
        Ok(())
    }

    /// Notes what was copied in of the repository and is not there any more. Objects that come again change nothing.
    pub(super) fn git_gone(&mut self, path: PathBuf) {
        let is_known = path.ancestors().any(|parent| self.gone.contains(parent));
        if !is_known && !path.starts_with(OBJECTS) {
            self.has_own_refs |= is_ref(&path);
            self.gone.insert(path);
        }
    }
}

/// Returns `true` for what names commits: a branch, a tag, a stash.
fn is_ref(path: &Path) -> bool {
    path.starts_with(REFS) || path == Path::new(PACKED_REFS)
}
