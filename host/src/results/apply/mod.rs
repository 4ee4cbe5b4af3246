//! Applies a result to the user's directory, and undoes that: all or nothing, and never over what changed since.
//!
//! This module and `restore` are the only ones that write below a user's directory.

mod case;
pub(in crate::results) mod found;
pub mod into;
pub mod journal;
pub(in crate::results) mod order;
pub mod plan;
pub(in crate::results) mod stage;
pub mod three_way;
pub(in crate::results) mod tree;
pub(in crate::results) mod write;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::EntryPath;

use self::found::Found;
use self::journal::{Journal, JournalFile, Phase, Step};
use self::plan::{Plan, Wanted};
use self::stage::Stage;
use self::tree::{PlaceError, Tree};
use self::write::Writer;
use crate::results::contents::Contents;
use crate::results::hash;
use crate::results::model::{Change, ResultState};
use crate::results::restore;
use crate::results::store::{BASE, REPLACED, Saved};

/// Why a directory was not written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The directory cannot be opened.
    #[error("open the directory `{}`", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// Another process writes there.
    #[error("another `apply` is writing to `{}`", .0.display())]
    Busy(PathBuf),
    /// The journal cannot be read or written.
    #[error("the journal of this result")]
    Journal(#[source] io::Error),
    /// A path cannot be used.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A path cannot be written.
    #[error("write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A path changed while it was written.
    #[error("`{}` changed just now", .0.display())]
    Changed(PathBuf),
    /// A directory has to go and something is in it.
    #[error("the directory `{}` is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// Contents of the result are not what their name says, or are missing.
    #[error("the contents of `{}` in this result are damaged or missing", .0.display())]
    Damaged(PathBuf),
    /// Taking back failed too.
    #[error("some paths could not be put back as they were: {}", list(paths))]
    Left {
        /// Which.
        paths: Vec<PathBuf>,
        /// Why anything had to be taken back.
        #[source]
        source: Box<Self>,
    },
    /// A test ends the process here.
    #[cfg(test)]
    #[error("killed")]
    Killed,
}

impl ApplyError {
    fn with_left(self, paths: Vec<PathBuf>) -> Self {
        if paths.is_empty() { self } else { Self::Left { paths, source: Box::new(self) } }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    shown.join(", ")
}

/// What was done.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many paths were written.
    pub written: usize,
    /// Directories that stay because something else is in them.
    pub kept: Vec<PathBuf>,
    /// Of an undo: paths that are not as they were written, and stay.
    pub changed_since: Vec<PathBuf>,
    /// Where versions are kept that changed while they were replaced, below the directory.
    pub rescued: Vec<PathBuf>,
}

/// What could not be taken back.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The paths that are not as they were before.
    pub paths: Vec<PathBuf>,
    /// Where what was there before is kept.
    pub stage: Option<PathBuf>,
}

/// A directory that is locked for one command, and the journal of a result in it.
pub struct Session<'a> {
    saved: &'a Saved,
    directory: PathBuf,
    contents: Contents,
    tree: Tree,
    file: JournalFile,
    journal: Journal,
}

impl<'a> Session<'a> {
    /// Opens and locks a directory.
    ///
    /// # Errors
    /// Fails if it cannot be opened, if another process writes there, or if the journal cannot be read.
    pub fn open(saved: &'a Saved, directory: &Path) -> Result<Self, ApplyError> {
        let failed = |source| ApplyError::Open { path: directory.to_owned(), source };
        let directory = directory.canonicalize().map_err(failed)?;
        let tree = Tree::open(&directory).map_err(failed)?;
        if !tree.lock().map_err(failed)? {
            return Err(ApplyError::Busy(directory));
        }
        let file = JournalFile::new(saved, &directory);
        let journal = file.read().map_err(ApplyError::Journal)?;
        Ok(Self { contents: Contents::new(&saved.dir), saved, directory, tree, file, journal })
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns what was done with the result in this directory.
    pub fn state(&self) -> ResultState {
        self.journal.state
    }

    /// Returns `true` if an earlier process was ended in the middle.
    pub fn is_cut_off(&self) -> bool {
        self.journal.phase == Phase::Writing
    }

    /// Goes back from what an earlier process was ended in the middle of, and removes what it left.
    ///
    /// # Errors
    /// Fails if what it left cannot be read or removed, or if the journal cannot be written.
    pub fn recover(&mut self) -> Result<Left, ApplyError> {
        let stage = Stage::reopen(&self.tree, &self.journal.stage).map_err(ApplyError::Journal)?;
        let mut left = Left::default();
        match stage {
            Some(stage) if self.is_cut_off() => {
                let steps = &self.journal.steps;
                left.paths = restore::take_back(&self.tree, &stage, steps, steps.len());
                left.stage = (!left.paths.is_empty()).then(|| self.directory.join(&stage.name));
            }
            Some(stage) => {
                write::finish(&self.tree, &stage, &self.journal.steps).map_err(ApplyError::Journal)?;
            }
            None if self.is_cut_off() => {}
            None => return Ok(left),
        }
        self.journal.phase = Phase::Done;
        self.journal.stage = String::new();
        self.journal.steps = Vec::new();
        self.file.save(&self.journal).map_err(ApplyError::Journal)?;
        Ok(left)
    }

    /// Says what applying these changes would do.
    pub fn plan(&self, changes: &[&Change]) -> Plan {
        let wanted: Vec<_> = changes.iter().map(|change| Wanted { change }).collect();
        plan::plan(&self.tree, &wanted)
    }

    /// Says what undoing would do, and which paths are not as they were written.
    pub fn plan_undo(&self) -> (Plan, Vec<PathBuf>) {
        restore::plan(&self.tree, &self.journal.applied)
    }

    /// Writes a plan without conflicts.
    ///
    /// # Errors
    /// Fails if a path cannot be written, or is not as it was planned; then everything is as before.
    pub fn apply(&mut self, plan: &Plan) -> Result<Outcome, ApplyError> {
        if plan.steps.is_empty() && plan.already > 0 && self.journal.state != ResultState::Applied {
            // All of it is here already.
            self.journal.state = ResultState::Applied;
            self.file.save(&self.journal).map_err(ApplyError::Journal)?;
        }
        self.write(&plan.steps, ResultState::Applied, |journal, kept| {
            let steps = plan.steps.iter().enumerate().filter(|(index, _)| !kept.contains(index));
            let again: BTreeSet<&EntryPath> = plan.steps.iter().map(|step| &step.path).collect();
            let mut applied: Vec<Step> =
                journal.applied.iter().filter(|step| !again.contains(&step.path)).cloned().collect();
            let before: BTreeMap<&EntryPath, &Step> =
                journal.applied.iter().map(|step| (&step.path, step)).collect();
            applied.extend(steps.map(|(_, step)| merged(before.get(&step.path).copied(), step)));
            applied
        })
    }

    /// Undoes what was applied and is still there.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn undo(&mut self) -> Result<Outcome, ApplyError> {
        let (plan, changed_since) = self.plan_undo();
        let stay: BTreeSet<PathBuf> = changed_since.iter().cloned().collect();
        let outcome = self.write(&plan.steps, ResultState::Undone, |journal, kept| {
            let kept: BTreeSet<&EntryPath> = kept.iter().map(|index| &plan.steps[*index].path).collect();
            let remains = |step: &&Step| stay.contains(step.path.as_path()) || kept.contains(&step.path);
            journal.applied.iter().filter(remains).cloned().collect()
        })?;
        Ok(Outcome { changed_since, ..outcome })
    }

    fn write(
        &mut self,
        steps: &[Step],
        state: ResultState,
        applied: impl FnOnce(&Journal, &[usize]) -> Vec<Step>,
    ) -> Result<Outcome, ApplyError> {
        if steps.is_empty() {
            if state == ResultState::Undone {
                self.journal.applied = applied(&self.journal, &[]);
                self.journal.state = state;
                self.file.save(&self.journal).map_err(ApplyError::Journal)?;
            }
            return Ok(Outcome::default());
        }
        self.keep_old(steps)?;
        let directory = self.directory.clone();
        let failed = |source| ApplyError::Write { path: directory.clone(), source };
        self.journal.stage = stage::fresh_name().map_err(failed)?;
        self.journal.phase = Phase::Writing;
        self.journal.steps = steps.to_vec();
        self.file.save(&self.journal).map_err(ApplyError::Journal)?;
        let written = Stage::make(&self.tree, &self.journal.stage).map_err(failed).and_then(|stage| {
            let written = Writer::new(&self.tree, &stage, &self.journal.steps).run(&self.contents)?;
            Ok((stage, written))
        });
        let (stage, written) = match written {
            Ok(done) => done,
            #[cfg(test)]
            Err(ApplyError::Killed) => return Err(ApplyError::Killed),
            Err(error) => {
                if !matches!(error, ApplyError::Left { .. }) {
                    self.settle()?;
                }
                return Err(error);
            }
        };
        self.journal.applied = applied(&self.journal, &written.kept);
        self.journal.state = state;
        self.journal.phase = Phase::Done;
        self.file.save(&self.journal).map_err(ApplyError::Journal)?;
        #[cfg(test)]
        if tests::dies_after() == Some(steps.len()) {
            return Err(ApplyError::Killed);
        }
        let rescued = write::finish(&self.tree, &stage, &self.journal.steps).map_err(failed)?;
        self.journal.steps = Vec::new();
        let kept =
            written.kept.iter().map(|index| steps[*index].path.as_path().to_owned()).collect::<Vec<_>>();
        Ok(Outcome { written: steps.len() - kept.len(), kept, changed_since: Vec::new(), rescued })
    }

    /// Notes that nothing is being written.
    fn settle(&mut self) -> Result<(), ApplyError> {
        self.journal.phase = Phase::Done;
        self.journal.steps = Vec::new();
        self.journal.stage = String::new();
        self.file.save(&self.journal).map_err(ApplyError::Journal)
    }

    /// Keeps the old contents that the result has not got yet, for the way back.
    fn keep_old(&self, steps: &[Step]) -> Result<(), ApplyError> {
        let files = &self.saved.result.files;
        let copied: BTreeSet<&String> =
            files.iter().filter_map(|file| file.old.as_ref()?.sha256.as_ref()).collect();
        for step in steps {
            let Found::File { sha256, .. } = &step.from else { continue };
            let place = if copied.contains(sha256) { BASE } else { REPLACED };
            let failed = |source| ApplyError::Write { path: step.path.as_path().to_owned(), source };
            if self.contents.open(sha256).map_err(failed)?.is_some() {
                continue;
            }
            let at = self.tree.place(step.path.as_path())?;
            let mut from = tree::open_file(&at.dir, at.name).map_err(failed)?;
            if keep(&self.saved.dir.join(place), &mut from, Some(sha256)).map_err(failed)? != *sha256 {
                return Err(ApplyError::Changed(step.path.as_path().to_owned()));
            }
        }
        Ok(())
    }
}

/// Keeps contents under their hash, and returns that; ones with another hash than `wanted` are not kept.
fn keep(dir: &Path, from: &mut impl io::Read, wanted: Option<&String>) -> io::Result<String> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    let sha256 = hash::hex(hash::of_parts(from, &mut |part| file.write_all(part))?.1);
    if wanted.is_none_or(|wanted| *wanted == sha256) {
        file.as_file().sync_all()?;
        file.persist(dir.join(&sha256))?;
    }
    Ok(sha256)
}

/// Returns the step to keep of a path that was written before: from what was there first.
fn merged(before: Option<&Step>, step: &Step) -> Step {
    match before {
        Some(before) if before.to == step.from => {
            Step { from: before.from.clone(), from_mode: before.from_mode, ..step.clone() }
        }
        _ => step.clone(),
    }
}
