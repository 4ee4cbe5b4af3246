//! The directory of saved results: what is there, how large it is, and what goes by itself.
//!
//! `$XDG_STATE_HOME/claude-bottle/results/<run>/`, readable by the user alone. A result is made under a temporary name and
//! renamed when it is whole; one that nothing was done with goes only by `discard`.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;

use crate::results::model::{ResultState, SavedResult, VERSION};

/// How many results are kept beyond new ones.
pub const KEPT: usize = 20;
/// How large the store may be, in bytes, before the oldest results go that were taken.
pub const MAX_BYTES: u64 = 5 << 30;
/// How old what is being written may be.
const DRAFT_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The document of a result.
pub const DOCUMENT: &str = "result.json";
/// The journal of `apply`.
pub const JOURNAL: &str = "applied.json";
/// New contents, by their SHA-256.
pub const FILES: &str = "files";
/// Old contents, by their SHA-256.
pub const BASE: &str = "base";
/// Contents that `apply` replaced and that are not those that were copied in, by their SHA-256.
pub const REPLACED: &str = "replaced";
/// Archives that are never opened on the host.
pub const SEALED: &str = "sealed";
/// The beginning of the name of a result that is being written.
pub(super) const DRAFT: &str = ".draft-";

/// The directory of saved results.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

/// A saved result, and where it is.
#[derive(Debug, Clone)]
pub struct Saved {
    /// What is in it.
    pub result: SavedResult,
    /// What was done with it.
    pub state: ResultState,
    /// Its directory.
    pub dir: PathBuf,
}

/// What the store needs to know of the journal of `apply`.
#[derive(Deserialize)]
struct Journal {
    state: ResultState,
}

impl Saved {
    /// Returns the file of new contents.
    pub fn file(&self, sha256: &str) -> PathBuf {
        self.dir.join(FILES).join(sha256)
    }

    /// Returns the file of old contents, which may not be there.
    pub fn base(&self, sha256: &str) -> PathBuf {
        self.dir.join(BASE).join(sha256)
    }

    /// Returns the size of all that is kept of it, in bytes.
    pub fn bytes(&self) -> u64 {
        let places = [".", FILES, BASE, REPLACED, SEALED];
        let sizes = places.iter().flat_map(|place| fs::read_dir(self.dir.join(place)).into_iter().flatten());
        let size = |entry: fs::DirEntry| entry.metadata().ok().filter(fs::Metadata::is_file);
        sizes.flatten().filter_map(size).map(|metadata| metadata.len()).sum()
    }
}

impl Store {
    /// Names the directory; it is made with the first result.
    pub fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("results") }
    }

    /// Returns the directory of one run's result.
    pub fn dir(&self, run: &str) -> PathBuf {
        self.dir.join(run)
    }

    /// Makes the directory of results.
    pub(super) fn make(&self) -> anyhow::Result<&Path> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.with_context(|| format!("make the directory `{}`", self.dir.display()))?;
        Ok(&self.dir)
    }

    /// Reads the result of one run; `None` if there is none.
    pub fn get(&self, run: &str) -> anyhow::Result<Option<Saved>> {
        let dir = self.dir(run);
        let path = dir.join(DOCUMENT);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("read `{}`", path.display()))?,
        };
        let result: SavedResult =
            serde_json::from_slice(&text).with_context(|| format!("understand `{}`", path.display()))?;
        if result.version != VERSION {
            let (path, version) = (path.display(), result.version);
            anyhow::bail!("`{path}` is of version {version}; this program knows version {VERSION}");
        }
        Ok(Some(Saved { state: state(&dir)?, result, dir }))
    }

    /// Reads every result, oldest first; one that cannot be read is passed over with a warning in the log.
    pub fn all(&self) -> anyhow::Result<Vec<Saved>> {
        let read = |run: &String| {
            self.get(run).inspect_err(|error| tracing::warn!(run, "unreadable result: {error:#}")).ok()?
        };
        let mut all: Vec<_> = self.names()?.iter().filter_map(read).collect();
        // Of one second, what was gone on from is the earlier.
        let key = |saved: &Saved| {
            let goes_on = saved.state != ResultState::Resumed;
            (saved.result.saved_unix, goes_on, saved.result.run.clone())
        };
        all.sort_by_cached_key(key);
        Ok(all)
    }

    /// Returns the runs that have a result, also one that cannot be read.
    pub fn names(&self) -> anyhow::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(|| format!("read `{}`", self.dir.display()))?,
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        Ok(names)
    }

    /// Removes the result of a run; one that is gone is fine.
    pub fn remove(&self, run: &str) -> anyhow::Result<()> {
        // Out of sight first: a result that is partly removed is not a result.
        let (from, to) = (self.dir(run), self.dir.join(format!("{DRAFT}{run}.removed")));
        let removed = match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.and_then(|()| fs::remove_dir_all(&to)),
        };
        removed.with_context(|| format!("remove `{}`", from.display()))
    }

    /// Removes the oldest results that were taken, until the store is within its bounds; new ones stay.
    ///
    /// Of those that have nothing but a conversation the newest stay, as many as of the others. One whose bottle is kept goes
    /// with that alone.
    ///
    /// # Errors
    /// Fails if the directory cannot be read, or a result not removed.
    pub fn prune(&self, has_bottle: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        self.remove_old_drafts()?;
        let has_bottle = |saved: &Saved| has_bottle(&saved.result.run);
        let is_talk =
            |saved: &Saved| saved.state == ResultState::New && !saved.result.has_work() && !has_bottle(saved);
        let (talks, others): (Vec<_>, Vec<_>) = self.all()?.into_iter().partition(is_talk);
        for talk in talks.iter().take(talks.len().saturating_sub(KEPT)) {
            self.remove(&talk.result.run)?;
        }
        let kept = talks.into_iter().rev().take(KEPT).chain(others);
        let sized: Vec<_> = kept.map(|saved| (saved.bytes(), saved)).collect();
        let mut bytes: u64 = sized.iter().map(|(bytes, _)| bytes).sum();
        let goes = |saved: &Saved| saved.state != ResultState::New && !has_bottle(saved);
        let taken: Vec<_> = sized.into_iter().filter(|(_, saved)| goes(saved)).collect();
        let mut count = taken.len();
        for (size, saved) in taken {
            if count <= KEPT && bytes <= MAX_BYTES {
                break;
            }
            self.remove(&saved.result.run)?;
            (count, bytes) = (count - 1, bytes - size);
        }
        Ok(())
    }

    /// Removes what was being written when a process was killed. No result takes a day to write.
    fn remove_old_drafts(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let is_draft = entry.file_name().as_encoded_bytes().starts_with(DRAFT.as_bytes());
            let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
            let is_old = age.is_ok_and(|age| age.is_ok_and(|age| age > DRAFT_AGE));
            if is_draft && is_old {
                fs::remove_dir_all(entry.path())
                    .with_context(|| format!("remove `{}`", entry.path().display()))?;
            }
        }
        Ok(())
    }

    /// Returns the size of the store and its largest result, if it is over its bound although all that may go is gone. Bottles
    /// that are kept count with their results.
    ///
    /// # Errors
    /// Fails if the directory cannot be read.
    pub fn over_bound(&self, has_bottle: impl Fn(&str) -> bool) -> anyhow::Result<Option<(u64, Saved)>> {
        let with_bottle = |saved: &Saved| {
            let kept = saved.result.kept.filter(|_| has_bottle(&saved.result.run));
            saved.bytes().saturating_add(kept.unwrap_or_default())
        };
        let sized: Vec<_> = self.all()?.into_iter().map(|saved| (with_bottle(&saved), saved)).collect();
        let bytes = sized.iter().map(|(bytes, _)| *bytes).fold(0, u64::saturating_add);
        let largest = sized.into_iter().max_by_key(|(bytes, _)| *bytes);
        Ok(largest.filter(|_| bytes > MAX_BYTES).map(|(_, saved)| (bytes, saved)))
    }
}

/// Reads what was done with a result.
fn state(dir: &Path) -> anyhow::Result<ResultState> {
    let path = dir.join(JOURNAL);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ResultState::New),
        other => {
            let text = other.with_context(|| format!("read `{}`", path.display()))?;
            let journal: Journal =
                serde_json::from_slice(&text).with_context(|| format!("understand `{}`", path.display()))?;
            Ok(journal.state)
        }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
pub(crate) mod tests;
