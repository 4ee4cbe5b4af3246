//! The guards of bottles that are containers: each has a directory with a record, by which any process finds and ends it.
//!
//! The record is there before anything else of the guard is. A bottle's guard is found by the run's identifier alone, so no document
//! of a bottle can name another directory.

use std::fs;
use std::path::{Path, PathBuf};

use claude_bottle_egress_policy::SocketAccess;
use claude_bottle_plugin_api::{
    Call, CleanupItem, CleanupPlan, ErrorExt, Failure, FailureKind, Owner, ReloadRequest, Reloaded, Result,
    Spec,
};
use serde::{Deserialize, Serialize};

use super::{CONTROL, DIR, HostGuard, Listening, PART, Starting, reload};
use crate::bwrap::{Bwrap, Killed, Process, sweep};
use crate::cleanup::{Judge, joined};
use crate::rundir::{Found, Recorded, RunDir, Store};

/// What `cleanup` calls what is left of one.
pub const KIND: &str = "guard";

/// The guards of one backend's bottles.
#[derive(Clone)]
pub struct HostGuards {
    store: Store<Record>,
}

/// What is known of a guard.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    id: String,
    owner: Owner,
    dir: PathBuf,
    #[serde(default)]
    process: Option<Process>,
    /// Whether it listened.
    #[serde(default)]
    is_ready: bool,
}

impl Record {
    fn is_alive(&self) -> bool {
        self.is_ready && self.process.as_ref().is_some_and(Process::is_alive)
    }
}

impl Recorded for Record {
    fn dir(&self) -> &Path {
        &self.dir
    }
}

/// A guard that was started with its directory.
pub struct Launched {
    /// The directory of its socket, which the bottle gets for reading.
    pub socket_dir: PathBuf,
    dir: RunDir<Record>,
    record: Record,
    starting: Starting,
}

impl Launched {
    /// Returns the bottle's directory, which is closed to other users.
    pub fn dir(&self) -> &Path {
        &self.dir.path
    }

    /// Waits until the guard listens.
    ///
    /// # Errors
    /// Fails when it ends or stays silent, and when the call is cancelled. [`HostGuards::end`] then undoes it.
    pub fn await_ready(self, call: &Call) -> Result<Listening> {
        let Self { dir, mut record, starting, .. } = self;
        let listening = starting.await_ready(call)?;
        record.is_ready = true;
        dir.save(&record)?;
        Ok(listening)
    }
}

impl HostGuards {
    /// Returns those of a backend that keeps its data in this directory.
    pub fn new(data_dir: &Path) -> Self {
        Self { store: Store::new(data_dir) }
    }

    /// Claims a run's directory and starts its guard, to which every user may connect who has the directory of its socket: a container's
    /// users are not the guard's. No other user of the host comes to it, since the directory above is closed.
    ///
    /// # Errors
    /// Fails when the run has a guard, and when it cannot be started. Nothing is left then.
    pub fn launch(&self, call: &Call, spec: &Spec, bwrap: &Bwrap) -> Result<Launched> {
        let record = |dir| Record {
            id: spec.id.clone(),
            owner: spec.owner.clone(),
            dir,
            process: None,
            is_ready: false,
        };
        let (dir, mut record) = self.store.claim(record, &spec.id)?;
        let guard = HostGuard { spec, bwrap, dir: &dir.path, access: Some(SocketAccess::Everyone) };
        let started = guard.start(call).and_then(|starting| {
            record.process = Some(starting.process.clone());
            // It dies with this process, so nothing is lost when that dies before the record says which it is.
            dir.save(&record)?;
            Ok(starting)
        });
        match started {
            Ok(starting) => Ok(Launched { socket_dir: dir.join(DIR), dir, record, starting }),
            Err(failure) => Err(failure.with_undo(tear_down(&dir, Some(&record)))),
        }
    }

    /// Returns the directory of a run's guard, whether it is there or not.
    ///
    /// # Errors
    /// Fails on what cannot be the identifier of a run.
    pub fn dir(&self, id: &str) -> Result<PathBuf> {
        Ok(self.store.named(id)?.path)
    }

    /// Returns `true` if there is anything of a run's guard.
    pub fn has(&self, id: &str) -> bool {
        self.store.named(id).is_ok_and(|dir| dir.path.is_dir())
    }

    /// Returns `true` if a run's guard has ended although nobody has closed its bottle.
    pub fn has_failed(&self, id: &str) -> bool {
        let Ok(dir) = self.store.named(id) else { return false };
        // Whoever closes the bottle takes the socket away before anything ends, so that is looked at behind the process.
        dir.record().is_ok_and(|record| !record.is_alive()) && dir.join(CONTROL).exists()
    }

    /// Gives a run's guard another policy. `name` is the bottle's, for messages.
    ///
    /// # Errors
    /// Fails when the guard is gone or keeps its policy.
    pub fn reload(&self, call: &Call, id: &str, name: &str, request: &ReloadRequest) -> Result<Reloaded> {
        reload(call, &self.store.named(id)?.path, name, request)
    }

    /// Ends a run's guard, whose log is complete then, and keeps its directory: an engine wants all that a container has of the host also to
    /// read one that has ended. A guard that is gone is fine.
    ///
    /// # Errors
    /// Fails when something of it runs on.
    pub fn halt(&self, id: &str) -> Result<()> {
        let dir = self.store.named(id)?;
        joined(end_processes(&dir, ending(&dir).as_ref()))
    }

    /// Ends a run's guard, whose log is complete then, and removes its directory; one that is gone is fine.
    ///
    /// # Errors
    /// Fails when something of it stays.
    pub fn end(&self, id: &str) -> Result<()> {
        let dir = self.store.named(id)?;
        if !dir.path.is_dir() {
            return Ok(());
        }
        joined(tear_down(&dir, ending(&dir).as_ref()))
    }

    /// Places what is left of guards in a plan of `cleanup`, by their owners.
    ///
    /// # Errors
    /// Fails when the directories cannot be read.
    pub fn plan(&self, plan: &mut CleanupPlan, judge: &mut Judge<'_>) -> Result<()> {
        for found in self.store.all()? {
            match found {
                Found::Bottle(record) => {
                    judge.place(plan, CleanupItem::new(KIND, &record.id, &record.id, ""), record.owner);
                }
                Found::Stray(path, reason) => {
                    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                    let id = name.unwrap_or_default();
                    plan.remove.push(CleanupItem::new(KIND, id, path.display().to_string(), reason));
                }
            }
        }
        Ok(())
    }
}

/// Reads the record of a directory, if it is about that one.
fn record_of(dir: &RunDir<Record>) -> Option<Record> {
    dir.record().ok().filter(|record| record.dir == dir.path)
}

/// Returns the record of a directory whose guard is about to end, which takes no other policy from now on.
fn ending(dir: &RunDir<Record>) -> Option<Record> {
    // One that is gone was taken away by another process, and what cannot be removed is only told as a failure of the guard.
    fs::remove_file(dir.join(CONTROL)).ok();
    record_of(dir)
}

/// Ends what the record names, and then removes the directory.
fn tear_down(dir: &RunDir<Record>, record: Option<&Record>) -> Vec<Failure> {
    let mut failures = end_processes(dir, record);
    // While something lives in it the directory is kept, and with it the record to try again by.
    if failures.is_empty() {
        failures.extend(dir.remove().err());
    }
    failures
}

/// Ends the process that the record names and those that no record leads to; goes on after a failure.
fn end_processes(dir: &RunDir<Record>, record: Option<&Record>) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut is_whole = record.is_some_and(|record| record.is_ready);
    if let Some(process) = record.and_then(|record| record.process.as_ref()) {
        process.terminate();
        let killed = process.kill().failure(FailureKind::Internal, || format!("cannot end the {PART}"));
        is_whole &= matches!(killed, Ok(Killed::WithAll));
        failures.extend(killed.err());
    }
    if !is_whole {
        let swept = sweep(&dir.path);
        failures.extend(swept.failure(FailureKind::Internal, || "cannot end what is left of a guard").err());
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_whose_bottle_is_being_closed_has_not_failed() {
        let data = tempfile::tempdir().unwrap();
        let guards = HostGuards::new(data.path());
        assert!(!guards.has_failed("dev-1"), "there is none");
        let record = |dir| Record {
            id: "dev-1".to_owned(),
            owner: Owner::new("h", 1, 1),
            dir,
            process: None,
            is_ready: true,
        };
        let (dir, _) = guards.store.claim(record, "dev-1").unwrap();
        assert!(!guards.has_failed("dev-1"), "it has not listened yet");
        fs::create_dir(dir.join("control")).unwrap();
        fs::write(dir.join(CONTROL), "").unwrap();
        assert!(guards.has_failed("dev-1"), "it listened, and its process is gone");
        guards.halt("dev-1").unwrap();
        assert!(!guards.has_failed("dev-1"));
        guards.end("dev-1").unwrap();
        assert!(!guards.has("dev-1") && !guards.has_failed("dev-1"));
    }
}
