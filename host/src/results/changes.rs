//! What is said of changes beyond what they are: left out by whose rules, with old contents at hand or not.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;

use anyhow::Context;
use claude_bottle_kit::tree::Withheld;
use claude_bottle_plugin_api::{EntryKind, EntryPath};

use crate::results::collect::Collected;
use crate::results::copied_in::{CopiedIn, open_below};
use crate::results::draft::Draft;
use crate::results::hash::{Hash, from_hex};
use crate::results::ignored::{GITIGNORE, Ignored, RuleFile};
use crate::results::model::{Change, ChangeKind};

/// Notes what only rules leave out that the agent wrote, so that nothing hides by an edit of `.gitignore`.
pub fn note_ignored_by_agent(collected: &mut Collected, copied: &CopiedIn, tracked: &HashSet<PathBuf>) {
    let mut rules: HashMap<PathBuf, String> =
        copied.ignore.iter().map(|file| (file.directory.as_path().to_owned(), file.rules.clone())).collect();
    for change in collected.changes.iter().filter(|change| change.change == ChangeKind::Deleted) {
        let path = change.path.as_path();
        if path.file_name().is_some_and(|name| name == GITIGNORE) {
            path.parent().map(|directory| rules.remove(directory));
        }
    }
    rules.extend(std::mem::take(&mut collected.agent_rules));
    let files: Vec<_> = rules
        .into_iter()
        .map(|(directory, rules)| RuleFile { directory: EntryPath::new(directory), rules })
        .collect();
    let exclude = collected.agent_exclude.as_ref().unwrap_or(&copied.exclude);
    let (theirs, ours) = (Ignored::new(&files, &[exclude, &copied.everywhere]), copied.ignored());
    for change in &mut collected.changes {
        let path = change.path.as_path();
        let is_directory = change.new.as_ref().is_some_and(|new| new.kind == EntryKind::Directory);
        change.ignored_by_agent = !tracked.contains(path)
            && change.new.is_some()
            && theirs.has(path, is_directory)
            && !ours.has(path, is_directory);
    }
}

/// Notes what the copy's own rules would have left out.
pub fn note_withheld(
    changes: &mut [Change],
    copied: &CopiedIn,
    tracked: HashSet<PathBuf>,
    draft: &Draft,
) -> anyhow::Result<()> {
    let mut withheld = Withheld::new(&copied.left_out, tracked).context("read the rules of the copy")?;
    for change in changes {
        let Some(new) = &change.new else { continue };
        let contents = match new.sha256.as_deref().and_then(from_hex) {
            Some(sha256) => Some(File::open(draft.file(&sha256)).context("read kept contents")?),
            None => None,
        };
        let is_directory = new.kind == EntryKind::Directory;
        change.withheld = withheld
            .has(change.path.as_path(), is_directory, contents.as_ref())
            .context("read kept contents")?;
    }
    Ok(())
}

/// Copies the old contents of changed files from the host, as far as it still has them.
pub fn keep_bases(changes: &mut [Change], copied: &CopiedIn, draft: &mut Draft) -> anyhow::Result<()> {
    for change in changes {
        let Some(old) = change.old.as_ref().filter(|old| old.kind == EntryKind::File) else { continue };
        let Some(sha256) = old.sha256.as_deref().and_then(from_hex) else { continue };
        match open_below(&copied.directory, change.path.as_path()) {
            Ok(file) => change.base_kept = draft.keep_base(file, &sha256, old.size)?,
            // It changed there meanwhile, which `apply` will say.
            Err(error) => tracing::debug!(%error, "the host's file of a change"),
        }
    }
    Ok(())
}

/// Returns which contents the changes name.
pub fn contents(changes: &[Change]) -> HashSet<Hash> {
    changes.iter().filter_map(|change| from_hex(change.new.as_ref()?.sha256.as_deref()?)).collect()
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
