//! Marks: which changes need a word of their own before they reach the user's directory, and why.
//!
//! Three kinds only, since a question for everything is answered by reflex. Code that is built or tested when the user asks for
//! it has no mark: it is code, like the rest.

mod bare;
pub mod hooks;
mod odd;
mod table;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::results::model::{Change, ChangeKind, Mark, MarkKind};

pub(super) use bare::place as repository_of;
pub(super) use odd::{invisible, scripts};
pub use table::builds;

/// How many deletions are many.
const MANY: usize = 50;

/// What is known of the directory as it was copied in.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// How many files it had.
    pub files: u64,
    /// Where git looks for hooks, relative to it, where that is a directory of the work tree.
    pub hooks: Vec<PathBuf>,
    /// Directories that git may take for a repository, since they have a `HEAD`.
    pub repositories: Vec<PathBuf>,
}

/// Adds the marks that paths, kinds and modes give.
pub(super) fn by_path(files: &mut [Change], before: &Before) {
    for file in files.iter_mut() {
        let path = table::folded(file.path.as_path());
        let is_link = file.new.as_ref().is_some_and(|new| new.target.is_some());
        let mut add = |mark, why: &str| add(&mut file.marks, mark, why);
        let below_hooks = |hooks: &PathBuf| {
            let hooks = table::folded(hooks);
            path.starts_with(&hooks) && (path.len() > hooks.len() || is_link)
        };
        if before.hooks.iter().any(below_hooks) {
            add(MarkKind::Runs, "git runs it: `core.hooksPath` of this repository leads here");
        }
        for row in table::ROWS.iter().filter(|row| row.fits(&path, is_link)) {
            add(row.mark, row.why);
        }
        odd::by_kind(file);
    }
    bare::mark(files, &before.repositories);
    mass_deletion(files, before);
}

fn mass_deletion(files: &mut [Change], before: &Before) {
    let is_deleted_file = |file: &&mut Change| {
        file.change == ChangeKind::Deleted
            && file.old.as_ref().is_some_and(|old| old.kind != claude_bottle_plugin_api::EntryKind::Directory)
    };
    let deleted = files.iter_mut().filter(is_deleted_file).count();
    if deleted > MANY && deleted as u64 * 5 > before.files {
        let why = format!("{deleted} of {} files are deleted", before.files);
        files.iter_mut().filter(is_deleted_file).for_each(|file| add(&mut file.marks, MarkKind::Odd, &why));
    }
}

/// Adds a mark, once.
pub(super) fn add(marks: &mut Vec<Mark>, mark: MarkKind, why: &str) {
    if !marks.iter().any(|known| known.mark == mark && known.why == why) {
        marks.push(Mark { mark, why: why.to_owned() });
    }
}
