//! halt: a bottle's processes and control groups go, in this order. close: its directory too.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use claude_bottle_kit::bwrap::{self, Killed};
use claude_bottle_kit::cleanup::joined;
use claude_bottle_kit::host_guard;
use claude_bottle_kit::paths::PathExt;
use claude_bottle_plugin_api::{Bottle, ErrorExt, Failure, FailureKind, Result};

use crate::record::Record;
use crate::rundir::{RunDir, Store};

/// How long a process that was killed may keep its control group.
const PATIENCE: Duration = Duration::from_secs(2);

/// Removes the bottle; one that is gone is fine.
pub(crate) fn close(bottles: &Store, bottle: &Bottle) -> Result<()> {
    let (dir, known) = find(bottles, bottle)?;
    // The record may know of processes that were started since.
    let record = dir.record().unwrap_or(known);
    joined(tear_down(&dir, &record))
}

/// Ends every process of the bottle and keeps its directory.
pub(crate) fn halt(bottles: &Store, bottle: &Bottle) -> Result<()> {
    let (dir, record) = existing(bottles, bottle)?;
    joined(end(&dir, &record))
}

/// Returns the directory and the record of a bottle that exists.
pub(crate) fn existing(bottles: &Store, bottle: &Bottle) -> Result<(RunDir, Record)> {
    let (dir, known) = find(bottles, bottle)?;
    if !dir.path.is_dir() {
        return Err(Failure::new(FailureKind::NotFound, format!("the bottle `{}` is gone", known.name)));
    }
    let record = dir.record().unwrap_or(known);
    Ok((dir, record))
}

/// Returns where a bottle is, and what its document says of it.
fn find(bottles: &Store, bottle: &Bottle) -> Result<(RunDir, Record)> {
    let known: Record = bottle.state()?;
    let dir = bottles.named(&known.name)?;
    if dir.path != known.dir {
        return Err(Failure::new(
            FailureKind::Invalid,
            format!("the bottle `{}` is not one of this backend's", known.name),
        ));
    }
    Ok((dir, known))
}

/// Removes what the record names, goes on after a failure, and returns all of them.
pub(crate) fn tear_down(dir: &RunDir, record: &Record) -> Vec<Failure> {
    let mut failures = end(dir, record);
    // While something lives in it the directory is kept, and with it the record to try again by.
    if failures.is_empty() {
        failures.extend(dir.remove().err());
    }
    failures
}

/// Ends what the record names, goes on after a failure, and returns all of them.
fn end(dir: &RunDir, record: &Record) -> Vec<Failure> {
    let mut failures = Vec::new();
    // One that was made and is whole has nothing else than what its record names.
    let mut is_whole = record.is_ready;
    // The agent first, what it used after it.
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
pub(crate) fn sweep(dir: &RunDir) -> Result<()> {
    bwrap::sweep(&dir.path).failure(FailureKind::Internal, || "cannot end what is left of a bottle")
}

/// Removes a control group. One that is busy still holds a process that is being taken down, of a host that was
/// killed a moment ago; there is no event for its end in the older kind of group.
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
