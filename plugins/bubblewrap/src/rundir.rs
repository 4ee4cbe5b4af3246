//! The directories of bottles: where they are, how one is claimed, read and removed.
//!
//! A directory appears under its name together with its record, by one rename: there is none without a record but
//! what a crash in the middle of that left, and such a one is recognised by its name.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result};

use crate::error::PathExt;
use crate::process::Process;
use crate::record::Record;
use crate::tree;

const RECORD: &str = "record.json";

/// What a directory is called before it has its record.
const NEW: &str = ".new-";

/// All bottles of one user.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    dir: PathBuf,
}

/// One bottle's directory.
#[derive(Debug, Clone)]
pub(crate) struct RunDir {
    pub(crate) path: PathBuf,
}

/// What is in the directory of bottles.
pub(crate) enum Found {
    /// A bottle.
    Bottle(Box<Record>),
    /// Something without a readable record, with the reason.
    Stray(PathBuf, String),
}

impl Store {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { dir: data_dir.join("bottles") }
    }

    /// Returns the path of something of this backend's that is no bottle.
    pub(crate) fn sibling(&self, name: &str) -> PathBuf {
        self.dir.with_file_name(name)
    }

    /// Makes the directory of a bottle with its record in it.
    pub(crate) fn claim(&self, make: impl FnOnce(PathBuf) -> Record, name: &str) -> Result<(RunDir, Record)> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).at("create", &self.dir)?;
        let maker = Process::this("maker");
        let new = RunDir { path: self.dir.join(format!("{NEW}{}.{}-{name}", maker.pid, maker.started)) };
        DirBuilder::new().mode(0o700).create(&new.path).at("create", &new.path)?;
        let dir = RunDir { path: self.dir.join(name) };
        let record = make(dir.path.clone());
        let named = new.save(&record).and_then(|()| {
            sync(&new.path.join(RECORD))?;
            fs::rename(&new.path, &dir.path).map_err(|error| taken(name, &error))?;
            // What is made from now on is on the disk after its record is. A later record that a power cut takes only
            // names processes, and control groups that the first one names too.
            sync(&self.dir)
        });
        match named {
            Ok(()) => Ok((dir, record)),
            Err(failure) => {
                let undone = new.remove().err().into_iter().collect();
                Err(failure.with_undo(undone))
            }
        }
    }

    /// Reads every bottle, by name.
    pub(crate) fn all(&self) -> Result<Vec<Found>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.at("read", &self.dir)?,
        };
        let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        paths.sort();
        Ok(paths.into_iter().filter_map(|path| self.find(path)).collect())
    }

    fn find(&self, path: PathBuf) -> Option<Found> {
        let name = path.file_name()?.to_str()?;
        if let Some(rest) = name.strip_prefix(NEW) {
            // Its maker may be at it this very moment.
            let is_busy = maker(rest).is_some_and(|maker| maker.is_alive());
            return (!is_busy).then(|| Found::Stray(path.clone(), "its making was interrupted".to_owned()));
        }
        match (RunDir { path: path.clone() }).record() {
            Ok(record) if record.dir == path => Some(Found::Bottle(Box::new(record))),
            Ok(_) => Some(Found::Stray(path, "its record is about another directory".to_owned())),
            // It was removed just now.
            Err(_) if !path.exists() => None,
            Err(failure) => Some(Found::Stray(path, failure.to_string())),
        }
    }

    /// Returns the directory of a thing in a clean-up plan; nothing outside can be named.
    pub(crate) fn named(&self, name: &str) -> Result<RunDir> {
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(Failure::new(
                FailureKind::Invalid,
                format!("`{}` names no bottle", name.escape_default()),
            ));
        }
        Ok(RunDir { path: self.dir.join(name) })
    }
}

impl RunDir {
    /// Writes the record so that a reader finds the old one or the new one.
    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        let (path, new) = (self.path.join(RECORD), self.path.join(".record.json"));
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec(record)?)?;
            fs::rename(&new, &path)
        };
        write().at("write", &path)
    }

    pub(crate) fn record(&self) -> Result<Record> {
        let path = self.path.join(RECORD);
        let text = fs::read(&path).at("read", &path)?;
        serde_json::from_slice(&text).failure(FailureKind::Invalid, || "cannot read the record of a bottle")
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a directory for the bottle's user.
    pub(crate) fn make_dir(&self, name: &str, mode: u32, owner: Option<u32>) -> Result<PathBuf> {
        let path = self.join(name);
        DirBuilder::new().mode(mode).create(&path).at("create", &path)?;
        // The user's mask may have taken something away.
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).at("set the mode of", &path)?;
        give(&path, owner)?;
        Ok(path)
    }

    /// Writes a file that the bottle's user may read.
    pub(crate) fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<PathBuf> {
        let path = self.join(name);
        write_new(&path, content, mode)?;
        Ok(path)
    }

    /// Removes the directory; one that is gone is fine.
    pub(crate) fn remove(&self) -> Result<()> {
        tree::remove(&self.path).at("remove", &self.path)
    }
}

/// Makes the failure to give a directory its name, which is that of another bottle if it is not an error of the disk.
fn taken(name: &str, error: &io::Error) -> Failure {
    let message = format!("claim the name `{name}`");
    match error.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
            Failure::new(FailureKind::Conflict, message)
                .caused_by(error)
                .hint(format!("claude-bottle stop {name}"))
        }
        _ => Failure::new(FailureKind::Internal, message).caused_by(error),
    }
}

/// Reads the process that makes a directory from what follows [`NEW`] in its name.
fn maker(name: &str) -> Option<Process> {
    let (maker, _) = name.split_once('-')?;
    let (pid, started) = maker.split_once('.')?;
    Some(Process { part: String::new(), pid: pid.parse().ok()?, started: started.parse().ok()? })
}

/// Waits until a file or a directory is on the disk.
fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).at("write", path)
}

/// Writes a file that does not exist yet.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(content)
    };
    write().at("write", path)
}

/// Opens a file for what a process says; root opens it, so that the process can whatever it becomes.
pub(crate) fn log_file(path: &Path) -> Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).at("open", path)
}

/// Makes the bottle's user the owner, when that is another.
pub(crate) fn give(path: &Path, owner: Option<u32>) -> Result<()> {
    match owner {
        Some(id) => std::os::unix::fs::lchown(path, Some(id), Some(id)).at("give away", path),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_made_directory_is_busy_while_that_very_process_lives() {
        let dir = tempfile::tempdir().unwrap();
        let bottles = Store::new(dir.path());
        let this = Process::this("test");
        let check = |name: String, is_found: bool| {
            let path = bottles.dir.join(name);
            fs::create_dir_all(&path).unwrap();
            let found = bottles.all().unwrap();
            assert_eq!(found.len(), usize::from(is_found), "{}", path.display());
            fs::remove_dir(path).unwrap();
        };
        check(format!("{NEW}{}.{}-x", this.pid, this.started), false);
        // Another process has got the number since.
        check(format!("{NEW}{}.{}-x", this.pid, this.started - 1), true);
        check(format!("{NEW}{}-x", this.pid), true);
    }
}
