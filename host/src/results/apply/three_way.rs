//! `--3way`: a file that changed on both sides is merged.

use std::io::Read;
use std::path::PathBuf;

use super::found::Found;
use super::journal::Step;
use super::plan::{Plan, with_executable};
use super::{ApplyError, Session, keep, order, tree};
use crate::results::contents::Bytes;
use crate::results::git::merge::merge;
use crate::results::model::Change;
use crate::results::store::REPLACED;
use crate::results::text;

/// A file that was merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedFile {
    /// Its path.
    pub path: PathBuf,
    /// How many places have conflict markers.
    pub conflicts: usize,
}

impl Session<'_> {
    /// Merges the files of a plan that are in conflict, as far as both sides are text and what was copied in is known. What was
    /// merged is written by the plan then; the rest stays in conflict.
    ///
    /// # Errors
    /// Fails if contents cannot be read or kept, or git cannot be run.
    pub fn merge(&self, plan: &mut Plan, files: &[&Change]) -> Result<Vec<MergedFile>, ApplyError> {
        let mut merged = Vec::new();
        for conflict in std::mem::take(&mut plan.conflicts) {
            let change = files.iter().find(|file| file.path.as_path() == conflict.path);
            let step = match change.filter(|_| conflict.contents) {
                Some(change) => self.merge_one(change)?,
                None => None,
            };
            match step {
                Some((step, conflicts)) => {
                    merged.push(MergedFile { path: conflict.path, conflicts });
                    if step.from == step.to { plan.already += 1 } else { plan.steps.push(step) }
                }
                None => plan.conflicts.push(conflict),
            }
        }
        order::sort(&mut plan.steps);
        Ok(merged)
    }

    fn merge_one(&self, change: &Change) -> Result<Option<(Step, usize)>, ApplyError> {
        let path = change.path.as_path();
        let failed = |source| ApplyError::Write { path: path.to_owned(), source };
        let most = text::MOST_BYTES as u64;
        let base = self.contents.read(change.old.as_ref(), most).map_err(failed)?;
        let new = self.contents.read(change.new.as_ref(), most).map_err(failed)?;
        let place = self.tree.place(path)?;
        let mut here = Vec::new();
        let file = tree::open_file(&place.dir, place.name).map_err(failed)?;
        file.take(most + 1).read_to_end(&mut here).map_err(failed)?;
        let (Bytes::Whole(base), Bytes::Whole(new)) = (base, new) else { return Ok(None) };
        let Some(merged) = merge(&base, &here, &new, &self.saved.result.run).map_err(failed)? else {
            return Ok(None);
        };
        let seen = self.tree.look(path)?;
        let (Found::File { executable, .. }, Some(identity)) = (&seen.found, &seen.identity) else {
            return Ok(None);
        };
        let bit =
            |side: &Option<crate::results::model::Side>| side.as_ref().is_some_and(|side| side.executable);
        // The bit is the agent's where the agent changed it.
        let executable = if bit(&change.old) == bit(&change.new) { *executable } else { bit(&change.new) };
        let kept = self.saved.dir.join(REPLACED);
        let sha256 = keep(&kept, &mut merged.bytes.as_slice(), None).map_err(failed)?;
        let mode = identity.mode & 0o777;
        let step = Step {
            path: change.path.clone(),
            from: seen.found.clone(),
            to: Found::File { executable, sha256 },
            from_mode: Some(mode),
            to_mode: Some(with_executable(mode, executable)),
        };
        Ok(Some((step, merged.conflicts)))
    }
}
