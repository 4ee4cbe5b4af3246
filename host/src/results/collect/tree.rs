//! Entries of the working directory: compared with what was copied in, and kept where they differ.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{EntryKind, EntryPath};

use super::known::{KnownFile, side};
use super::{Collector, MAX_CHANGES};
use crate::results::draft::{Taken, Want};
use crate::results::ignored::GITIGNORE;
use crate::results::model::Side;
use crate::results::stream::Content;

impl Collector<'_> {
    /// Compares an entry of the tree.
    pub(super) fn tree(
        &mut self,
        path: PathBuf,
        at: Option<usize>,
        content: Content,
        contents: &mut dyn Read,
    ) -> anyhow::Result<()> {
        let old = at.map(|at| self.known.baseline.side(at));
        let new = match content {
            Content::Special => {
                self.left_out.special += 1;
                return Ok(());
            }
            Content::Directory => side(EntryKind::Directory),
            Content::Link { target } => {
                let target = Some(EntryPath::new(OsStr::from_bytes(&target)));
                Side { target, ..side(EntryKind::Link) }
            }
            Content::File { size, executable } => {
                return self.file(path, at, old, (size, executable), contents);
            }
            Content::Same { earlier } => return self.same(path, old, &earlier),
        };
        if old.as_ref() != Some(&new) && !self.is_ignored(&path, new.kind == EntryKind::Directory) {
            self.change(path, old, Some(new))?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        path: PathBuf,
        at: Option<usize>,
        old: Option<Side>,
        (size, executable): (u64, bool),
        contents: &mut dyn Read,
    ) -> anyhow::Result<()> {
        let is_wanted = self.learnt.wanted.contains(&path);
        let was = at.and_then(|at| self.known.baseline.file(at));
        let is_new = was.is_none_or(|(_, old_size, _)| old_size != size);
        if is_new && !is_wanted && self.is_ignored(&path, false) {
            self.leave_behind(size);
            self.files.insert(path, KnownFile { sha256: None, size, executable });
            return Ok(());
        }
        let want = if is_new || is_wanted { Want::Contents } else { Want::Hash };
        let taken = self.draft.take(contents, size, want)?;
        let file = KnownFile { sha256: Some(taken.sha256), size, executable };
        if was == Some((taken.sha256, size, executable)) {
            if is_wanted {
                self.draft.keep(taken)?;
            }
            return Ok(());
        }
        self.files.insert(path.clone(), file);
        if self.is_ignored(&path, false) {
            self.leave_behind(size);
            if is_wanted {
                self.draft.keep(taken)?;
            }
            return Ok(());
        }
        self.note_rules(&path, &taken);
        if !self.draft.keep(taken)? {
            self.found.wanted.insert(path.clone());
        }
        self.change(path, old, Some(file.side()))
    }

    /// Takes another name of an earlier file for a copy of it.
    fn same(&mut self, path: PathBuf, old: Option<Side>, earlier: &Path) -> anyhow::Result<()> {
        let Some(file) = self.known_file(earlier) else {
            self.found.wanted.insert(earlier.to_owned());
            return Ok(());
        };
        self.files.insert(path.clone(), file);
        let new = file.side();
        if old.as_ref() == Some(&new) {
            return Ok(());
        }
        if self.is_ignored(&path, false) {
            self.leave_behind(file.size);
            return Ok(());
        }
        if file.sha256.is_none_or(|sha256| !self.draft.has(&sha256)) && !self.draft.is_over_bound() {
            self.found.wanted.insert(earlier.to_owned());
        }
        self.change(path, old, Some(new))
    }

    fn leave_behind(&mut self, size: u64) {
        let ignored = &mut self.left_out.ignored;
        (ignored.files, ignored.bytes) = (ignored.files + 1, ignored.bytes + size);
    }

    /// Keeps rules of what git ignores that the agent wrote.
    fn note_rules(&mut self, path: &Path, taken: &Taken) {
        if path.file_name().is_some_and(|name| name == GITIGNORE) && self.agent_rules.len() < MAX_CHANGES {
            let directory = path.parent().unwrap_or(Path::new("")).to_owned();
            self.agent_rules.extend(taken.text().map(|rules| (directory, rules)));
        }
    }
}
