//! The record of each run: written before anything is made, so that whatever happens the next process finds it.
//!
//! `<state>/bottles/<id>/record.json`, beside it the logs of the run. A run that ended stays for `logs`; the oldest
//! of those go when there are more than twenty.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use claude_bottle_egress_policy::{End, rotation};
use claude_bottle_plugin_api::{Bottle, Owner};
use serde::{Deserialize, Serialize};

use crate::document;
use crate::egress::summary;
use crate::results::save::Wanted;
use crate::run::hold::socket;
use crate::run::owner;

/// How many ended runs are kept.
const KEPT: usize = 20;
const FILE: &str = "record.json";

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The bottle is being made.
    Creating,
    /// The bottle exists.
    Running,
    /// The bottle is halted, and stays since its work could not be saved.
    Unsaved,
    /// The bottle is halted, its work is saved, and its files stay since the user wants them.
    Kept,
    /// The bottle is closed.
    Ended,
}

impl Phase {
    /// Returns `true` if nothing of the bottle runs any more, as its own process knows.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Unsaved | Self::Kept | Self::Ended)
    }
}

/// One run. Holds no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The run's identifier.
    pub id: String,
    /// The backend's name.
    pub backend: String,
    /// The agent's name.
    pub agent: String,
    /// The bottle's name in the manifest.
    pub bottle: String,
    /// What the bottle is called: by the user who named it, else by its backend.
    pub name: String,
    /// The process the run belongs to.
    pub owner: Owner,
    /// When it began, in seconds since 1970-01-01 UTC.
    pub created_unix: u64,
    /// How far it has come.
    pub phase: Phase,
    /// What reaches the bottle, once it exists.
    #[serde(default)]
    pub instance: Option<Bottle>,
    /// Where the scratch files of the run are, which a killed process cannot remove.
    #[serde(default)]
    pub stage: Option<PathBuf>,
    /// What the bottle may reach, as it was started.
    #[serde(default)]
    pub policy: Option<String>,
    /// The directory of which a copy came along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<PathBuf>,
    /// When the run ended, in seconds since 1970-01-01 UTC; unknown where its process was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_unix: Option<u64>,
    /// The agent's exit code, when it ran to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long each step took, in the order they began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timings: Vec<Timing>,
    /// How its decision log ended, once the run is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_end: Option<End>,
    /// What is saved when the bottle ends; nothing without a copy of a directory, or since the user says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saves: Option<Wanted>,
    /// Whether the bottle's files stay when that is done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps: bool,
    /// Whether that is done, and only the bottle's removal is left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_saved: bool,
}

impl Record {
    /// Returns `true` if the removal of the bottle by another than its run's own home would lose something.
    pub fn has_something_to_lose(&self) -> bool {
        match self.phase {
            Phase::Creating | Phase::Running => self.saves.is_some() && !self.is_saved,
            Phase::Unsaved | Phase::Kept => true,
            Phase::Ended => false,
        }
    }
}

/// How long a step of a run took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Timing {
    /// What its backend calls the step.
    pub step: String,
    /// In milliseconds.
    pub millis: f64,
}

/// The directory of records.
#[derive(Debug, Clone)]
pub struct Runs {
    dir: PathBuf,
}

impl Runs {
    /// Names the directory; it is made with the first record.
    pub fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("bottles") }
    }

    /// Returns the directory of one run.
    pub fn dir(&self, id: &str) -> PathBuf {
        self.dir.join(id)
    }

    /// Returns `true` if a run's directory is one of these.
    pub fn has(&self, dir: &Path) -> bool {
        dir.parent() == Some(&*self.dir)
    }

    /// Writes the first record of a run, in a directory that is not there yet.
    pub fn create(&self, record: &Record) -> anyhow::Result<()> {
        let dir = self.dir(&record.id);
        let make = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
            DirBuilder::new().mode(0o700).create(&dir)?;
            // A directory that is not on the disk takes the record with it when the power goes.
            fs::File::open(&self.dir)?.sync_all()
        };
        make().with_context(|| format!("cannot make the directory `{}` of a new run", dir.display()))?;
        self.save(record)
    }

    /// Writes a record, whole or not at all, readable by the user alone, and on the disk when this returns.
    pub fn save(&self, record: &Record) -> anyhow::Result<()> {
        let dir = self.dir(&record.id);
        let write = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
            let log_end = record.log_end.or_else(|| log_end(record, &dir));
            let content = serde_json::to_vec_pretty(&Record { log_end, ..record.clone() })?;
            document::replace(&dir.join(FILE), &content)
        };
        write()
            .with_context(|| format!("cannot write the record of run `{}` in `{}`", record.id, dir.display()))
    }

    /// Reads every record, oldest first; one that cannot be read is passed over with a log line.
    pub fn all(&self) -> anyhow::Result<Vec<Record>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(|| format!("cannot read `{}`", self.dir.display()))?,
        };
        let mut records: Vec<Record> = entries.flatten().filter_map(|entry| read(&entry.path())).collect();
        records.sort_by(|a, b| (a.created_unix, &a.id).cmp(&(b.created_unix, &b.id)));
        Ok(records)
    }

    /// Reads the record of one run.
    pub fn get(&self, id: &str) -> Option<Record> {
        read(&self.dir(id))
    }

    /// Returns the runs that were to go on, and whose process is dead.
    pub fn dead(&self) -> anyhow::Result<Vec<Record>> {
        let is_dead =
            |record: &Record| !record.phase.is_over() && owner::is_alive(&record.owner) == Ok(false);
        Ok(self.all()?.into_iter().filter(is_dead).collect())
    }

    /// Returns the runs whose bottle is kept since its work could not be saved.
    pub fn unsaved(&self) -> anyhow::Result<Vec<Record>> {
        Ok(self.all()?.into_iter().filter(|record| record.phase == Phase::Unsaved).collect())
    }

    /// Returns the run of a result whose bottle is kept since the user wants its files; `None` if it is not.
    pub fn kept(&self, id: &str) -> Option<Record> {
        self.get(id).filter(|record| record.phase == Phase::Kept)
    }

    /// Waits until nothing else ends this run, and keeps others from it as long as the value lives.
    pub fn lock(&self, id: &str) -> anyhow::Result<fs::File> {
        let dir = self.dir(id);
        let lock = fs::File::open(&dir).and_then(|dir| dir.lock().map(|()| dir));
        lock.with_context(|| format!("lock `{}`", dir.display()))
    }

    /// Waits until nothing else locks all runs, and keeps others from it as long as the value lives.
    pub fn lock_all(&self) -> anyhow::Result<fs::File> {
        let make = DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        let lock = make.and_then(|()| fs::File::open(&self.dir)).and_then(|dir| dir.lock().map(|()| dir));
        lock.with_context(|| format!("cannot lock `{}`", self.dir.display()))
    }

    /// Writes the last record of a dead run, and removes what its process was writing when it died.
    pub fn bury(&self, record: &Record) -> anyhow::Result<()> {
        // Two that do this at once would remove each other's files.
        let _lock = self.lock_all()?;
        self.tidy(&record.id)?;
        self.save(record)?;
        self.prune()
    }

    fn tidy(&self, id: &str) -> anyhow::Result<()> {
        let dir = self.dir(id);
        let is_half_written = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            name.starts_with(b".tmp") || name.ends_with(b".tmp") || name == socket::FILE.as_bytes()
        };
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.with_context(|| format!("cannot read `{}`", dir.display()))?,
        };
        for path in entries.flatten().map(|entry| entry.path()).filter(is_half_written) {
            gone(fs::remove_file(&path)).with_context(|| format!("cannot remove `{}`", path.display()))?;
        }
        Ok(())
    }

    /// Removes the oldest ended runs beyond those that are kept.
    pub fn prune(&self) -> anyhow::Result<()> {
        let ended: Vec<_> = self.all()?.into_iter().filter(|record| record.phase == Phase::Ended).collect();
        for record in ended.iter().take(ended.len().saturating_sub(KEPT)) {
            let dir = self.dir(&record.id);
            // Another run that ends at the same time removes the same ones.
            gone(fs::remove_dir_all(&dir)).with_context(|| format!("cannot remove `{}`", dir.display()))?;
        }
        Ok(())
    }
}

/// Returns how the log of a run ended; `None` while it may grow, and where it cannot be read.
fn log_end(record: &Record, dir: &Path) -> Option<End> {
    matches!(record.phase, Phase::Kept | Phase::Ended).then_some(())?;
    rotation::end(&summary::log(dir))
        .inspect_err(|error| tracing::warn!(dir = %dir.display(), %error, "unreadable decision log"))
        .ok()
}

/// Takes what was removed already for removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Reads the record in a run's directory, which may be that of another home; `None` if there is none.
pub fn of_any_home(dir: &Path) -> io::Result<Option<Record>> {
    match fs::read(dir.join(FILE)) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(dir: &Path) -> Option<Record> {
    let text = fs::read(dir.join(FILE)).ok()?;
    serde_json::from_slice(&text)
        .inspect_err(|error| tracing::warn!(dir = %dir.display(), %error, "unreadable record"))
        .ok()
}

#[cfg(test)]
#[path = "records_tests.rs"]
pub(crate) mod tests;
