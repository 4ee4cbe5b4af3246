//! halt: a bottle's processes and control groups go, in this order. close: its directory too.

use claude_bottle_directory::close::{end, existing, find};
use claude_bottle_directory::{Record, RunDir, Store};
use claude_bottle_kit::cleanup::joined;
use claude_bottle_plugin_api::{Bottle, Failure, Result};

/// Removes the bottle; one that is gone is fine.
pub(crate) fn close(bottles: &Store, bottle: &Bottle) -> Result<()> {
    let (dir, record) = find(bottles, bottle)?;
    joined(tear_down(&dir, &record))
}

/// Ends every process of the bottle and keeps its directory.
pub(crate) fn halt(bottles: &Store, bottle: &Bottle) -> Result<()> {
    let (dir, record) = existing(bottles, bottle)?;
    joined(end(&dir, &record))
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
