//! close: a bottle's processes, control groups and directory go, in this order.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use claude_bottle_plugin_api::{Bottle, ErrorExt, Failure, FailureKind, Result};

use crate::error::PathExt;
use crate::guard;
use crate::record::Record;
use crate::rundir::{Bottles, RunDir};

/// How long a process that was killed may keep its control group.
const PATIENCE: Duration = Duration::from_secs(2);

/// Removes the bottle; one that is gone is fine.
pub(crate) fn close(bottles: &Bottles, bottle: &Bottle) -> Result<()> {
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
    all_of(tear_down(&dir, &record))
}

/// Makes one failure of many.
pub(crate) fn all_of(failures: Vec<Failure>) -> Result<()> {
    let mut failures = failures.into_iter();
    match failures.next() {
        None => Ok(()),
        Some(first) => Err(first.with_undo(failures.collect())),
    }
}

/// Removes what the record names, goes on after a failure, and returns all of them.
pub(crate) fn tear_down(dir: &RunDir, record: &Record) -> Vec<Failure> {
    let mut failures = Vec::new();
    // The agent first, what it used after it.
    for process in record.processes.iter().rev() {
        if process.part == guard::PART {
            process.ask_to_end();
        }
        let killed = process.kill();
        failures.extend(killed.failure(FailureKind::Internal, || format!("end the {}", process.part)).err());
    }
    failures.extend(record.groups.iter().filter_map(|group| remove_group(group).err()));
    // While something lives in it the directory is kept, and with it the record to try again by.
    if failures.is_empty() {
        failures.extend(dir.remove().err());
    }
    failures
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
