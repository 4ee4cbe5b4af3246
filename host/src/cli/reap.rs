//! `reap`: waits for the run's process to say goodbye or to die, and closes the bottle in the second case.

use std::io;

use anyhow::Context;

use super::App;
use super::open::Calls;
use crate::error::CliResult;
use crate::reaper::{reap, wait_for_death};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    id: String,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    if !wait_for_death(io::stdin().lock()).context("wait for the run's process")? {
        return Ok(());
    }
    let record = app.runs().get(&args.id).with_context(|| format!("read the record of run `{}`", args.id))?;
    let calls = Calls::silent(Some(record.owner.clone()))?;
    let backend = app.open(&record.backend, &calls)?;
    Ok(reap(&backend, &app.runs(), record)?)
}
