//! Where fake bottles live: one JSON file each, so that any process can find them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{ErrorExt, FailureKind, Owner, Result};
use serde::{Deserialize, Serialize};

/// A fake bottle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) agent: String,
    pub(crate) bottle: String,
    pub(crate) owner: Owner,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) secrets: Vec<String>,
    pub(crate) prompt: String,
}

/// The directory of records.
pub(crate) struct Store {
    dir: PathBuf,
    prompts: PathBuf,
}

impl Store {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { dir: data_dir.join("bottles"), prompts: data_dir.join("prompts") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }

    /// Writes a record; fails when the name is taken.
    pub(crate) fn insert(&self, record: &Record) -> Result<()> {
        let make = || -> io::Result<()> {
            fs::create_dir_all(&self.dir)?;
            let file = fs::File::create_new(self.path(&record.name))?;
            serde_json::to_writer(file, record).map_err(io::Error::from)
        };
        make().failure(FailureKind::Conflict, || format!("write the record of bottle `{}`", record.name))
    }

    /// Writes a bottle's prompt, and returns where it is unless it is empty.
    pub(crate) fn write_prompt(&self, name: &str, prompt: &str) -> Result<Option<String>> {
        let path = self.prompts.join(name);
        let make = || fs::create_dir_all(&self.prompts).and_then(|()| fs::write(&path, prompt));
        make().failure(FailureKind::Internal, || format!("write the prompt of bottle `{name}`"))?;
        Ok((!prompt.is_empty()).then(|| path.display().to_string()))
    }

    /// Removes a record and what belongs to it; what is gone already counts as removed.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        for path in [self.prompts.join(name), self.path(name)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error)
                        .failure(FailureKind::Internal, || format!("remove what bottle `{name}` left"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads every record, by name.
    pub(crate) fn all(&self) -> Result<Vec<Record>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.failure(FailureKind::Internal, || "read the fake backend's records")?,
        };
        let mut records = Vec::new();
        for entry in entries.flatten() {
            let text = fs::read(entry.path()).failure(FailureKind::Internal, || "read a record")?;
            records.push(
                serde_json::from_slice::<Record>(&text).failure(FailureKind::Internal, || "read a record")?,
            );
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }
}
