//! Where fake bottles live: one JSON file each, so that any process can find them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{EnvValue, EnvVar, ErrorExt, FailureKind, Owner, Result, Spec, Workspace};
use serde::{Deserialize, Serialize};

use crate::files;

/// A fake bottle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) agent: String,
    pub(crate) bottle: String,
    pub(crate) owner: Owner,
    /// The variables whose values may be seen.
    pub(crate) env: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) workspace: Option<Workspace>,
}

impl Record {
    /// Takes of a run what is needed later than its plan.
    pub(crate) fn of(name: String, spec: &Spec) -> Self {
        let literal = |variable: &EnvVar| match &variable.value {
            EnvValue::Literal { value } => Some((variable.name.clone(), value.clone())),
            _ => None,
        };
        Self {
            id: spec.id.clone(),
            name,
            agent: spec.agent.name.clone(),
            bottle: spec.bottle.name.clone(),
            owner: spec.owner.clone(),
            env: spec.bottle.env.iter().filter_map(literal).collect(),
            workspace: spec.workspace.clone(),
        }
    }
}

/// The directory of records.
pub(crate) struct Store {
    dir: PathBuf,
    prompts: PathBuf,
    homes: PathBuf,
    halted: PathBuf,
    policies: PathBuf,
}

impl Store {
    pub(crate) fn new(data_dir: &Path) -> Self {
        let [dir, prompts, homes, halted, policies] =
            ["bottles", "prompts", "homes", "halted", "policies"].map(|name| data_dir.join(name));
        Self { dir, prompts, homes, halted, policies }
    }

    /// Returns where a bottle's home is.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.homes.join(name)
    }

    /// Returns `true` if there is a bottle of this name.
    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Notes that a bottle runs nothing any more.
    pub(crate) fn set_halted(&self, name: &str) -> Result<()> {
        let make = || fs::create_dir_all(&self.halted).and_then(|()| fs::write(self.halted.join(name), ""));
        make().failure(FailureKind::Internal, || format!("cannot halt bottle `{name}`"))
    }

    /// Returns `true` if a bottle runs nothing any more.
    pub(crate) fn is_halted(&self, name: &str) -> bool {
        self.halted.join(name).exists()
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
        make()
            .failure(FailureKind::Conflict, || format!("cannot write the record of bottle `{}`", record.name))
    }

    /// Writes a bottle's prompt, and returns where it is unless it is empty.
    pub(crate) fn write_prompt(&self, name: &str, prompt: &str) -> Result<Option<String>> {
        let path = self.prompts.join(name);
        let make = || fs::create_dir_all(&self.prompts).and_then(|()| fs::write(&path, prompt));
        make().failure(FailureKind::Internal, || format!("cannot write the prompt of bottle `{name}`"))?;
        Ok((!prompt.is_empty()).then(|| path.display().to_string()))
    }

    /// Keeps the last policy that a bottle was given: there is no proxy that would obey it.
    pub(crate) fn write_policy(&self, name: &str, policy: &serde_json::Value) -> Result<()> {
        let write = || {
            fs::create_dir_all(&self.policies)?;
            fs::write(self.policies.join(name), policy.to_string())
        };
        write().failure(FailureKind::Internal, || format!("cannot write the policy of bottle `{name}`"))
    }

    /// Removes a record and what belongs to it; what is gone already counts as removed.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        files::remove(&self.home(name))
            .failure(FailureKind::Internal, || format!("cannot remove the home of bottle `{name}`"))?;
        let files = [&self.prompts, &self.halted, &self.policies].map(|dir| dir.join(name));
        for path in files.into_iter().chain([self.path(name)]) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).failure(FailureKind::Internal, || {
                        format!("cannot remove what bottle `{name}` left")
                    });
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
            other => other.failure(FailureKind::Internal, || "cannot read the fake backend's records")?,
        };
        let mut records = Vec::new();
        for entry in entries.flatten() {
            let text = fs::read(entry.path()).failure(FailureKind::Internal, || "cannot read a record")?;
            records.push(
                serde_json::from_slice::<Record>(&text)
                    .failure(FailureKind::Internal, || "cannot read a record")?,
            );
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }
}
