//! Writes steps: all of them or none.
//!
//! Everything new lies in the stage before the first rename. What is at a path is looked at right before, and the file that a
//! rename took away is looked at again: one that changed in between goes back to its place, and so does everything else.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, mkdirat, unlinkat};
use rustix::io::Errno;

use super::ApplyError;
use super::found::Found;
use super::journal::Step;
use super::order::is_leaf;
use super::stage::{Stage, staged, taken};
use super::tree::{Place, Seen, Tree, look};
use crate::results::contents::Contents;
use crate::results::restore;

/// What was written, and what was not taken with it.
#[derive(Debug, Default)]
pub(in crate::results) struct Written {
    /// Directories that stay, by their steps, because something else is in them.
    pub(in crate::results) kept: Vec<usize>,
}

/// One run over all steps.
pub(in crate::results) struct Writer<'a> {
    tree: &'a Tree,
    stage: &'a Stage,
    steps: &'a [Step],
    /// How many steps are done.
    done: usize,
    written: Written,
    /// After how many steps this process is to die, for tests.
    #[cfg(test)]
    dies_after: Option<usize>,
}

impl<'a> Writer<'a> {
    pub(in crate::results) fn new(tree: &'a Tree, stage: &'a Stage, steps: &'a [Step]) -> Self {
        Self {
            tree,
            stage,
            steps,
            done: 0,
            written: Written::default(),
            #[cfg(test)]
            dies_after: super::tests::dies_after(),
        }
    }

    /// Writes every step. When one fails, what was done is taken back first.
    pub(in crate::results) fn run(mut self, contents: &Contents) -> Result<Written, ApplyError> {
        let failed = self.all(contents).err();
        #[cfg(test)]
        if matches!(failed, Some(ApplyError::Killed)) {
            return Err(ApplyError::Killed);
        }
        let Some(error) = failed else { return Ok(self.written) };
        let left = restore::take_back(self.tree, self.stage, self.steps, self.done);
        Err(error.with_left(left))
    }

    fn all(&mut self, contents: &Contents) -> Result<(), ApplyError> {
        for (index, step) in self.steps.iter().enumerate() {
            self.stage.fill(index, step, contents, self.tree)?;
        }
        self.stage
            .make_ready()
            .map_err(|source| ApplyError::Write { path: self.stage.name.clone().into(), source })?;
        for index in 0..self.steps.len() {
            #[cfg(test)]
            if self.dies_after == Some(index) {
                return Err(ApplyError::Killed);
            }
            self.step(index)?;
            self.done = index + 1;
        }
        Ok(())
    }

    fn step(&mut self, index: usize) -> Result<(), ApplyError> {
        let step = &self.steps[index];
        let path = step.path.as_path();
        let failed = |source: io::Error| ApplyError::Write { path: path.to_owned(), source };
        let place = self.tree.place(path)?;
        let seen = look(&place.dir, place.name).map_err(failed)?;
        if seen.found != step.from || is_leaf(&step.from) && seen.identity.is_none() {
            return Err(ApplyError::Changed(path.to_owned()));
        }
        match (&step.from, &step.to) {
            (Found::Absent, Found::Directory) => make_directory(&place).map_err(failed)?,
            (Found::Absent, _) => self.stage.put(index, &place).map_err(|error| appeared(path, error))?,
            (Found::Directory, to) => self.replace_directory(index, to, &place)?,
            (_, Found::Absent | Found::Directory) => {
                self.stage.take(index, &place).map_err(failed)?;
                self.is_same(index, &taken(index), &seen, &place)?;
                if step.to == Found::Directory {
                    make_directory(&place).map_err(failed)?;
                }
            }
            _ => {
                self.stage.exchange(index, &place).map_err(failed)?;
                self.is_same(index, &staged(index), &seen, &place)?;
            }
        }
        Ok(())
    }

    /// Fails, with everything in its place again, if a rename took away something else than what was looked at.
    fn is_same(&self, index: usize, name: &str, seen: &Seen, place: &Place<'_>) -> Result<(), ApplyError> {
        let path = self.steps[index].path.as_path();
        let failed = |source: io::Error| ApplyError::Write { path: path.to_owned(), source };
        if Some(self.stage.identity(name).map_err(failed)?) == seen.identity {
            return Ok(());
        }
        let back = if name == taken(index) {
            self.stage.put_back(index, place)
        } else {
            self.stage.exchange(index, place)
        };
        back.map_err(failed)?;
        Err(ApplyError::Changed(path.to_owned()))
    }

    fn replace_directory(&mut self, index: usize, to: &Found, place: &Place<'_>) -> Result<(), ApplyError> {
        let path = self.steps[index].path.as_path();
        match unlinkat(&place.dir, place.name, AtFlags::REMOVEDIR) {
            Ok(()) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) if *to == Found::Absent => self.written.kept.push(index),
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(ApplyError::NotEmpty(path.to_owned())),
            Err(error) => return Err(ApplyError::Write { path: path.to_owned(), source: error.into() }),
        }
        if is_leaf(to)
            && let Err(error) = self.stage.put(index, place)
        {
            // This step counts only when it is done.
            make_directory(place).map_err(|source| ApplyError::Write { path: path.to_owned(), source })?;
            return Err(appeared(path, error));
        }
        Ok(())
    }
}

/// Removes what was taken away, and the stage. Returns where versions of the user's are kept that changed meanwhile.
pub(in crate::results) fn finish(
    tree: &Tree,
    stage: &Stage,
    steps: &[Step],
) -> io::Result<Vec<std::path::PathBuf>> {
    let mut kept = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        for name in [staged(index), taken(index)] {
            match stage.look(&name)? {
                Found::Absent => {}
                found if found == step.from || found == step.to => stage.remove(&name)?,
                _ => kept.push(Path::new(&stage.name).join(name)),
            }
        }
    }
    stage.close(tree)?;
    Ok(kept)
}

fn appeared(path: &Path, error: io::Error) -> ApplyError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => ApplyError::Changed(path.to_owned()),
        _ => ApplyError::Write { path: path.to_owned(), source: error },
    }
}

pub(in crate::results) fn make_directory(place: &Place<'_>) -> io::Result<()> {
    let usual = Mode::from_raw_mode(0o777);
    Ok(mkdirat(&place.dir as &OwnedFd, place.name, usual)?)
}
