//! Ends of a bottle: its container, where it has one, its processes and its control groups go, in this order; its directory last.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use claude_bottle_kit::bwrap::{self, Killed};
use claude_bottle_kit::cleanup::joined;
use claude_bottle_kit::host_guard;
use claude_bottle_kit::paths::PathExt;
use claude_bottle_plugin_api::{Bottle, ErrorExt, Failure, FailureKind, Result};

use crate::{Record, RunDir, Store};

/// How long a process that was killed may keep its control group.
const PATIENCE: Duration = Duration::from_secs(2);

/// Returns the directory and the record of a bottle that exists.
///
/// # Errors
/// Fails when it is gone.
pub fn existing(bottles: &Store, bottle: &Bottle) -> Result<(RunDir, Record)> {
    let (dir, record) = find(bottles, bottle)?;
    if !dir.path.is_dir() {
        return Err(Failure::new(FailureKind::NotFound, format!("the bottle `{}` is gone", record.name)));
    }
    Ok((dir, record))
}

/// Returns where a bottle is, or was, and what is known of it.
///
/// # Errors
/// Fails when the document names another directory than one of this backend's.
pub fn find(bottles: &Store, bottle: &Bottle) -> Result<(RunDir, Record)> {
    let known: Record = bottle.state()?;
    let dir = bottles.named(&known.name)?;
    if dir.path != known.dir {
        return Err(Failure::new(
            FailureKind::Invalid,
            format!("the bottle `{}` is not one of this backend's", known.name),
        ));
    }
    // The record may know of processes that were started since.
    let record = dir.record().unwrap_or(known);
    Ok((dir, record))
}

/// How bottles of a backend end.
pub struct Ends<'a, A> {
    /// All of them.
    pub bottles: &'a Store,
    /// Ends the agent where that is not a process of the record's.
    pub agent: A,
}

impl<A: Fn(&Record) -> Result<()>> Ends<'_, A> {
    /// Removes a bottle; one that is gone is fine.
    ///
    /// # Errors
    /// Fails with all that stays.
    pub fn close(&self, bottle: &Bottle) -> Result<()> {
        let (dir, record) = find(self.bottles, bottle)?;
        joined(self.tear_down(&dir, &record))
    }

    /// Ends every process of a bottle and keeps its directory, in which all its files are.
    ///
    /// # Errors
    /// Fails when the bottle is gone, and when a process stays.
    pub fn halt(&self, bottle: &Bottle) -> Result<()> {
        let (dir, record) = existing(self.bottles, bottle)?;
        joined(self.end(&dir, &record))
    }

    /// Removes the bottle, or what is left of one, that has a directory of this name.
    ///
    /// # Errors
    /// Fails with all that stays.
    pub fn remove(&self, name: &str) -> Result<()> {
        let dir = self.bottles.named(name)?;
        match dir.record() {
            Ok(record) if record.dir == dir.path => joined(self.tear_down(&dir, &record)),
            _ => sweep(&dir).and_then(|()| dir.remove()),
        }
    }

    /// Removes all there is of a bottle, goes on after a failure, and returns all of them.
    pub fn tear_down(&self, dir: &RunDir, record: &Record) -> Vec<Failure> {
        let mut failures = self.end(dir, record);
        // While something lives in it the directory is kept, and with it the record to try again by.
        if failures.is_empty() {
            failures.extend(dir.remove().err());
        }
        failures
    }

    /// Ends the agent first, and what it used after it.
    fn end(&self, dir: &RunDir, record: &Record) -> Vec<Failure> {
        let mut failures: Vec<Failure> = (self.agent)(record).err().into_iter().collect();
        failures.extend(end(dir, record));
        failures
    }
}

/// Ends what the record names, goes on after a failure, and returns all of them.
fn end(dir: &RunDir, record: &Record) -> Vec<Failure> {
    let mut failures = Vec::new();
    // A bottle that was made completely has nothing that its record does not name.
    let mut is_whole = record.is_ready;
    for process in record.processes.iter().rev() {
        if process.part == host_guard::PART {
            process.terminate();
        }
        let killed =
            process.kill().failure(FailureKind::Internal, || format!("cannot end the {}", process.part));
        is_whole &= matches!(killed, Ok(Killed::WithAll));
        failures.extend(killed.err());
    }
    if !is_whole {
        failures.extend(sweep(dir).err());
    }
    failures.extend(record.groups.iter().filter_map(|group| remove_group(group).err()));
    failures
}

/// Ends what is left of a bottle's processes and no record leads to.
fn sweep(dir: &RunDir) -> Result<()> {
    bwrap::sweep(&dir.path).failure(FailureKind::Internal, || "cannot end what is left of a bottle")
}

/// Removes a control group. One that is busy still holds a process that is being taken down, of a host that was
/// killed a moment ago; control groups v1 have no event for its end.
fn remove_group(group: &Path) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match fs::remove_dir(group) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error).at("remove", group),
        }
    }
}
