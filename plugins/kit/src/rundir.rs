//! The directories of bottles on the host: where they are, how one is claimed, read and removed.
//!
//! A directory appears under its name together with its record, by one rename: there is none without a record but
//! what a crash in the middle of that left, and such a one is recognised by its name.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::marker::PhantomData;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bwrap::Process;
use crate::host_files::make_dir;
use crate::paths::PathExt;
use crate::tree;

const RECORD: &str = "record.json";

/// What a directory is called before it has its record.
const NEW: &str = ".new-";

/// What a backend keeps of a bottle in its directory.
pub trait Recorded: Serialize + DeserializeOwned {
    /// Returns the bottle's directory.
    fn dir(&self) -> &Path;
}

/// All bottles of one user that have a directory.
#[derive(Debug)]
pub struct Store<R> {
    dir: PathBuf,
    record: PhantomData<fn() -> R>,
}

/// One bottle's directory.
#[derive(Debug)]
pub struct RunDir<R> {
    /// Where it is.
    pub path: PathBuf,
    record: PhantomData<fn() -> R>,
}

/// What is in the directory of bottles.
pub enum Found<R> {
    /// A bottle.
    Bottle(Box<R>),
    /// Something without a readable record, with the reason.
    Stray(PathBuf, String),
}

// Derived, it would ask for records that can be copied.
impl<R> Clone for Store<R> {
    fn clone(&self) -> Self {
        Self { dir: self.dir.clone(), record: PhantomData }
    }
}

impl<R: Recorded> Store<R> {
    /// Returns those of a backend that keeps its data in this directory.
    pub fn new(data_dir: &Path) -> Self {
        Self { dir: data_dir.join("bottles"), record: PhantomData }
    }

    /// Returns the path of something of this backend's that is not a bottle.
    pub fn sibling(&self, name: &str) -> PathBuf {
        self.dir.with_file_name(name)
    }

    /// Makes the directory of a bottle with its record in it.
    ///
    /// # Errors
    /// Fails when there is one of this name, and when the disk does not take it.
    pub fn claim(&self, make: impl FnOnce(PathBuf) -> R, name: &str) -> Result<(RunDir<R>, R)> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).at("create", &self.dir)?;
        let maker = Process::this("maker");
        let new = RunDir::at(self.dir.join(format!("{NEW}{}.{}-{name}", maker.pid, maker.started)));
        DirBuilder::new().mode(0o700).create(&new.path).at("create", &new.path)?;
        let dir = RunDir::at(self.dir.join(name));
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
    ///
    /// # Errors
    /// Fails when the directory cannot be read.
    pub fn all(&self) -> Result<Vec<Found<R>>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.at("read", &self.dir)?,
        };
        let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        paths.sort();
        Ok(paths.into_iter().filter_map(|path| self.find(path)).collect())
    }

    fn find(&self, path: PathBuf) -> Option<Found<R>> {
        let name = path.file_name()?.to_str()?;
        if let Some(rest) = name.strip_prefix(NEW) {
            // Its maker may be at it this very moment.
            let is_busy = maker(rest).is_some_and(|maker| maker.is_alive());
            return (!is_busy).then(|| Found::Stray(path.clone(), "its making was interrupted".to_owned()));
        }
        match RunDir::at(path.clone()).record() {
            Ok(record) if R::dir(&record) == path => Some(Found::Bottle(Box::new(record))),
            Ok(_) => Some(Found::Stray(path, "its record is about another directory".to_owned())),
            // It was removed just now.
            Err(_) if !path.exists() => None,
            Err(failure) => Some(Found::Stray(path, failure.to_string())),
        }
    }

    /// Returns the directory of a thing in a clean-up plan; nothing outside can be named.
    ///
    /// # Errors
    /// Fails for a name that no directory of a bottle has.
    pub fn named(&self, name: &str) -> Result<RunDir<R>> {
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(Failure::new(
                FailureKind::Invalid,
                format!("`{}` names no bottle", name.escape_default()),
            ));
        }
        Ok(RunDir::at(self.dir.join(name)))
    }
}

impl<R: Recorded> RunDir<R> {
    /// Returns the directory at this path, as a record names it.
    pub fn at(path: PathBuf) -> Self {
        Self { path, record: PhantomData }
    }

    /// Writes the record so that a reader finds the old one or the new one.
    ///
    /// # Errors
    /// Fails when the disk does not take it.
    pub fn save(&self, record: &R) -> Result<()> {
        let (path, new) = (self.path.join(RECORD), self.path.join(".record.json"));
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec(record)?)?;
            fs::rename(&new, &path)
        };
        write().at("write", &path)
    }

    /// Reads the record.
    ///
    /// # Errors
    /// Fails when there is none, or another than this backend's.
    pub fn record(&self) -> Result<R> {
        let path = self.path.join(RECORD);
        let text = fs::read(&path).at("read", &path)?;
        serde_json::from_slice(&text).failure(FailureKind::Invalid, || "cannot read the record of a bottle")
    }

    /// Returns the path of something in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a directory for the bottle's user.
    ///
    /// # Errors
    /// Fails when it is there, and when the disk does not take it.
    pub fn make_dir(&self, name: &str, mode: u32, owner: Option<u32>) -> Result<PathBuf> {
        make_dir(self.join(name), mode, owner)
    }

    /// Removes the directory; one that is gone is fine.
    ///
    /// # Errors
    /// Fails when something of it stays.
    pub fn remove(&self) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Nothing {
        dir: PathBuf,
    }

    impl Recorded for Nothing {
        fn dir(&self) -> &Path {
            &self.dir
        }
    }

    #[test]
    fn a_half_made_directory_is_busy_while_that_very_process_lives() {
        let dir = tempfile::tempdir().unwrap();
        let bottles = Store::<Nothing>::new(dir.path());
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
