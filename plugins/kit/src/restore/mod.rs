//! What an earlier bottle left, laid over what a new one has: [`Restore`] for both kinds of backends.
//!
//! A backend whose bottles are directories copies everything and then calls [`Restored::lay`]. One that sends a stream of entries
//! covers it with [`Restored::cover`], so that nothing is sent that is replaced or removed, and ends it with
//! [`Restored::append`]. The bottle has the same files afterwards, and the index says the same.
//!
//! The archives are an agent's. Nothing of them leads out of its place, and no link is followed.

mod archive;
mod cover;
mod directory;
mod layer;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{AgentSpec, EntryPath, Restore};

use crate::tree::{TarWriter, TreeError};
use crate::workspace::Place;

pub(crate) use cover::Cover;
use layer::Layer;

/// Where a new bottle has what is laid over.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The copy of the working directory.
    pub workspace: &'a Path,
    /// The home.
    pub home: &'a Path,
}

/// What is laid over a bottle, looked through.
#[derive(Debug)]
pub struct Restored {
    work: Layer,
    removed: BTreeSet<PathBuf>,
    history: Layer,
}

impl Restored {
    /// Looks through what a spec names; `None` if it names nothing. `agent` and `home` are the bottle's own.
    ///
    /// # Errors
    /// Fails on an archive that cannot be read, and on an entry that would lead out of its place.
    pub fn read(
        restore: Option<&Restore>,
        agent: &AgentSpec,
        place: &Place,
        home: &str,
    ) -> Result<Option<Self>, TreeError> {
        let Some(restore) = restore else { return Ok(None) };
        let mut work = Layer::default();
        for archive in [&restore.workspace, &restore.sealed].into_iter().flatten() {
            work.read(archive)?;
        }
        let mut history = Layer::of_home(agent, place, home);
        if let Some(start) = restore.start.as_ref().filter(|start| **start != place.start) {
            history.rename(start, &place.start);
        }
        if let Some(archive) = &restore.history {
            history.read(archive)?;
        }
        let removed = restore.removed.as_deref().map(removed).transpose()?.unwrap_or_default();
        Ok(Some(Self { work, removed, history }))
    }

    /// Keeps out of a stream what is replaced or removed in the working directory `root`.
    pub fn cover(&self, writer: &mut TarWriter<'_>, root: &Path) {
        writer.cover(Cover::new(root, self.work.kinds().clone(), self.removed.clone()));
    }

    /// Ends a stream that was covered: everything is laid over what it has, for this owner.
    ///
    /// # Errors
    /// Fails when an archive cannot be read any more, and when the stream cannot be written.
    pub fn append(
        &self,
        writer: &mut TarWriter<'_>,
        places: Places<'_>,
        owner: (u32, u32),
    ) -> Result<(), TreeError> {
        let mut known = writer.uncover().map(Cover::into_directories).unwrap_or_default();
        self.work.append(writer, places.workspace, owner, &mut known)?;
        self.history.append(writer, places.home, owner, &mut known)
    }

    /// Lays everything over directories of the host, for this owner if that is not this process's user.
    ///
    /// # Errors
    /// Fails when an archive cannot be read any more, and when something cannot be written.
    pub fn lay(&self, places: Places<'_>, owner: Option<(u32, u32)>) -> Result<(), TreeError> {
        let workspace = directory::Directory::open(places.workspace, owner)?;
        workspace.remove(&self.removed, self.work.kinds())?;
        self.work.lay(&workspace)?;
        self.history.lay(&directory::Directory::open(places.home, owner)?)
    }
}

/// Reads the paths that are removed.
fn removed(file: &Path) -> Result<BTreeSet<PathBuf>, TreeError> {
    let failed = |source| TreeError::Read { path: file.to_owned(), source };
    let mut paths = BTreeSet::new();
    for line in BufReader::new(File::open(file).map_err(failed)?).lines() {
        let path: EntryPath =
            serde_json::from_str(&line.map_err(failed)?).map_err(|error| failed(error.into()))?;
        paths.insert(archive::checked(path.as_path())?);
    }
    Ok(paths)
}

#[cfg(test)]
mod tests;
