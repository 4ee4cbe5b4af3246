//! The journal of a result: what `apply` is going to do, and what it did, so that it can be undone and survives a kill.
//!
//! `applied.json` is on the disk before the first file of the user's is touched. A journal that was left in the middle is gone
//! back from by the next `apply` or `apply --undo`, whose staging directory it names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::EntryPath;
use serde::{Deserialize, Serialize};

use super::found::Found;
use crate::document;
use crate::results::hash;
use crate::results::model::ResultState;
use crate::results::store::{JOURNAL, Saved};

/// One path that is written, from what is there to what is there afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The path.
    #[serde(flatten)]
    pub path: EntryPath,
    /// What has to be there.
    pub from: Found,
    /// What is there afterwards.
    pub to: Found,
    /// The permission bits of the file that was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_mode: Option<u32>,
    /// The permission bits of the file afterwards; absent for a new file, which gets the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_mode: Option<u32>,
}

impl Step {
    /// Returns the step that goes back.
    pub(in crate::results) fn reversed(&self) -> Self {
        Self {
            path: self.path.clone(),
            from: self.to.clone(),
            to: self.from.clone(),
            from_mode: self.to_mode,
            to_mode: self.from_mode,
        }
    }
}

/// What is being done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing.
    #[default]
    Done,
    /// The steps are being written; found so, they are taken back.
    Writing,
}

/// The journal of one result and one directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Journal {
    /// What was done with the result.
    pub state: ResultState,
    /// What is being done.
    #[serde(default)]
    pub phase: Phase,
    /// The directory that is written.
    pub directory: PathBuf,
    /// The name of the staging directory below it.
    #[serde(default)]
    pub stage: String,
    /// What is being written, in this order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What was written, and is not undone.
    #[serde(default)]
    pub applied: Vec<Step>,
}

/// Where the journal of a result and a directory is.
#[derive(Debug, Clone)]
pub(in crate::results) struct JournalFile {
    dir: PathBuf,
    name: String,
    directory: PathBuf,
}

impl JournalFile {
    /// Names the journal. That of another directory than the result's own has its own name.
    pub(in crate::results) fn new(saved: &Saved, directory: &Path) -> Self {
        let name = if directory == saved.result.directory {
            JOURNAL.to_owned()
        } else {
            let hash = hash::of_bytes(directory.as_os_str().as_encoded_bytes());
            format!("applied-{}.json", hash::hex(&hash[..8]))
        };
        Self { dir: saved.dir.clone(), name, directory: directory.to_owned() }
    }

    /// Reads the journal; a new one if there is none.
    pub(in crate::results) fn read(&self) -> io::Result<Journal> {
        match fs::read(self.dir.join(&self.name)) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Journal {
                state: ResultState::New,
                phase: Phase::Done,
                directory: self.directory.clone(),
                stage: String::new(),
                steps: Vec::new(),
                applied: Vec::new(),
            }),
            Err(error) => Err(error),
        }
    }

    /// Writes the journal, whole or not at all, and on the disk when this returns.
    pub(in crate::results) fn save(&self, journal: &Journal) -> io::Result<()> {
        document::replace(&self.dir.join(&self.name), &serde_json::to_vec(journal)?)
    }
}
