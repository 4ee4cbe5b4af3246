//! Going on from a saved result: what a new bottle is given of it, and what is said of that before.
//!
//! The result's files, the agent's repository and its history are handed to the backend as they were saved; the directory is the
//! one of today. What is sealed is not opened here.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use claude_bottle_plugin_api::{EntryKind, EntryPath, Restore};
use serde::Serialize;

use crate::results::apply::found::Found;
use crate::results::apply::journal::{JournalFile, Phase};
use crate::results::apply::tree::{PlaceError, Tree};
use crate::results::archive::Archive;
use crate::results::contents::Contents;
use crate::results::kept::{Added, Kept};
use crate::results::model::{Change, Count, ResultState, SavedResult, Side};
use crate::results::save::{GIT, HISTORY};
use crate::results::store::{SEALED, Saved, Store};
use crate::results::verify::verify;

/// What a new bottle goes on from.
pub struct Resumed {
    /// What the backend is given.
    pub restore: Restore,
    /// What the user is told.
    pub view: ResumedView,
}

/// What a plan says of it. Its keys are a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResumedView {
    /// The run of the result.
    pub run: String,
    /// How many files it changed.
    pub files: usize,
    /// Whether the agent's repository comes back.
    pub repository: bool,
    /// Whether the agent's history comes back.
    pub history: bool,
    /// What git ignores and comes back too, out of a bottle that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Count>,
    /// Paths that changed here since they were copied in, and are as the agent left them inside.
    pub changed_here: Vec<EntryPath>,
}

/// Writes into the directory `stage` what the backend is given, and looks at what changed here since. Of a bottle that is kept
/// there is more than its result has.
///
/// # Errors
/// Fails on a result that is not what was saved, on a directory that is gone, and if something cannot be read or written.
pub fn stage(saved: &Saved, kept: Option<&Kept<'_>>, stage: &Path) -> anyhow::Result<Resumed> {
    let result = &saved.result;
    if let Some(wrong) = verify(saved)?.first() {
        bail!("the result `{}` is not what was saved: {wrong}", result.run);
    }
    let sealed = |name: &str| {
        let is_there = result.sealed.iter().any(|sealed| sealed.name == name);
        is_there.then(|| saved.dir.join(SEALED).join(name))
    };
    let mut restore = Restore::default();
    let (workspace, added) = files(saved, kept, stage)?;
    restore.workspace = workspace;
    restore.removed = removed(result, &added.gone, &stage.join("removed.jsonl"))?;
    (restore.sealed, restore.history) = (sealed(GIT), sealed(HISTORY));
    restore.start.clone_from(&result.origin.start);
    let view = ResumedView {
        run: result.run.clone(),
        files: result.files.len(),
        repository: restore.sealed.is_some(),
        history: restore.history.is_some(),
        kept: kept.map(|_| added.count),
        changed_here: changed_here(result)?,
    };
    Ok(Resumed { restore, view })
}

/// Writes the new files; `None` if there are none.
fn files(saved: &Saved, kept: Option<&Kept<'_>>, stage: &Path) -> anyhow::Result<(Option<PathBuf>, Added)> {
    let path = &stage.join("workspace.tar");
    let contents = Contents::new(&saved.dir);
    let writing = || format!("write `{}`", path.display());
    let mut archive = Archive::unbounded(create(path).with_context(writing)?);
    for change in &saved.result.files {
        if let Some(new) = &change.new {
            add(&mut archive, change, new, &contents).with_context(writing)?;
        }
    }
    let added = match kept {
        Some(kept) => kept.add(&saved.result, &mut archive, stage).context("read the bottle that is kept")?,
        None => Added::default(),
    };
    let has_entries = archive.finish().with_context(writing)? > 0;
    Ok((has_entries.then(|| path.to_owned()), added))
}

fn add(archive: &mut Archive, change: &Change, new: &Side, contents: &Contents) -> anyhow::Result<()> {
    let path = change.path.as_path();
    match (new.kind, &new.target, &new.sha256) {
        (EntryKind::Directory, ..) => archive.directory(path)?,
        (EntryKind::Link, Some(target), _) => archive.link(path, target.as_bytes())?,
        (EntryKind::File, _, Some(sha256)) => {
            let content = contents.open(sha256)?.context("its contents are missing")?;
            archive.file(path, new.executable, new.size, content)?;
        }
        _ => bail!("the result has `{}` as something else than a file", path.display()),
    }
    Ok(())
}

/// Writes the paths that are gone; `None` if there are none.
fn removed(result: &SavedResult, ignored: &[PathBuf], path: &Path) -> anyhow::Result<Option<PathBuf>> {
    let mut gone = ignored.to_vec();
    gone.extend(result.files.iter().filter(|file| file.new.is_none()).map(|file| file.path.as_path().into()));
    for top in &result.gone {
        all_below(&result.directory, top.as_path(), &mut gone);
    }
    if gone.is_empty() {
        return Ok(None);
    }
    let write = || -> io::Result<()> {
        let mut file = BufWriter::new(create(path)?);
        for path in gone {
            serde_json::to_writer(&mut file, &EntryPath::new(path))?;
            file.write_all(b"\n")?;
        }
        file.flush()
    };
    write().with_context(|| format!("write `{}`", path.display()))?;
    Ok(Some(path.to_owned()))
}

/// Names a path of the repository that is here with what is below it: it was all gone.
fn all_below(directory: &Path, path: &Path, found: &mut Vec<PathBuf>) {
    found.push(path.to_owned());
    let here = directory.join(path);
    let is_directory = here.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    for entry in fs::read_dir(here).into_iter().filter(|_| is_directory).flatten().flatten() {
        all_below(directory, &path.join(entry.file_name()), found);
    }
}

/// Finds the paths that are neither as they were copied in nor as the agent left them.
fn changed_here(result: &SavedResult) -> anyhow::Result<Vec<EntryPath>> {
    let directory = &result.directory;
    let tree = Tree::open(directory).with_context(|| format!("open `{}`", directory.display()))?;
    let is_among = |path: &Path| result.files.iter().any(|change| change.path.as_path() == path);
    let is_changed = |change: &&Change| {
        let known = [&change.old, &change.new].map(|side| Found::of(side.as_ref()));
        match tree.look(change.path.as_path()) {
            Ok(seen) => !known.contains(&Some(seen.found)),
            // That path says it: the agent made a directory of what is still a file or a link here.
            Err(PlaceError::NotADirectory(at) | PlaceError::Link(at)) => !is_among(&at),
            // What cannot be reached is not as it was.
            Err(_) => true,
        }
    };
    Ok(result.files.iter().filter(is_changed).map(|change| change.path.clone()).collect())
}

/// Notes that a later run went on from a result: it may go by itself from now on, since the later one has all of it.
///
/// # Errors
/// Fails if that cannot be written. A result that is gone is fine.
pub fn note(store: &Store, run: &str) -> anyhow::Result<()> {
    let Some(saved) = store.get(run)? else { return Ok(()) };
    let file = JournalFile::new(&saved, &saved.result.directory);
    let mut journal = file.read().context("read what was done with the result")?;
    // One that is being written is told of by who writes it.
    if journal.phase == Phase::Done {
        journal.state = ResultState::Resumed;
        file.save(&journal).context("write that the result was resumed")?;
    }
    Ok(())
}

fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}
