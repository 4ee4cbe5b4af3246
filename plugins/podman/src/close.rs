//! halt: a bottle's container and helpers go. close: its directory too.

use claude_bottle_directory::{Record, RunDir, Store, close};
use claude_bottle_kit::cleanup::joined;
use claude_bottle_kit::key;
use claude_bottle_plugin_api::{Bottle, Failure, Result};

use crate::engine::Podman;

/// Removes the bottle; one that is gone is fine.
pub(crate) fn close(podman: &Podman, bottles: &Store, bottle: &Bottle) -> Result<()> {
    let (dir, record) = close::find(bottles, bottle)?;
    joined(tear_down(podman, &dir, &record))
}

/// Ends every process of the bottle and keeps its directory, in which all its files are.
pub(crate) fn halt(podman: &Podman, bottles: &Store, bottle: &Bottle) -> Result<()> {
    let (dir, record) = close::existing(bottles, bottle)?;
    joined(end(podman, &dir, &record))
}

/// Removes all there is of a bottle, goes on after a failure, and returns all of them.
pub(crate) fn tear_down(podman: &Podman, dir: &RunDir, record: &Record) -> Vec<Failure> {
    let mut failures = end(podman, dir, record);
    // While something lives in it the directory is kept, and with it the record to try again by.
    if failures.is_empty() {
        failures.extend(dir.remove().err());
    }
    failures
}

/// Ends the agent first, and what it used after it.
fn end(podman: &Podman, dir: &RunDir, record: &Record) -> Vec<Failure> {
    let mut failures = Vec::new();
    if record.has_container {
        failures.extend(remove_containers(podman, &record.id).err());
    }
    failures.extend(close::end(dir, record));
    failures
}

/// Removes what carries the run's label: another container of the bottle's name is not touched.
fn remove_containers(podman: &Podman, run: &str) -> Result<()> {
    let found = podman.labelled(&format!("{}={run}", key::ID))?;
    let removed = found.iter().map(|container| podman.remove(&container.id));
    joined(removed.filter_map(|removed| removed.err().map(Failure::from)))
}
