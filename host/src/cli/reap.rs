//! `reap`: waits for the run's process to say goodbye or to die, and closes the bottle in the second case.

use std::io;

use anyhow::Context;

use super::App;
use super::app::Calls;
use crate::error::CliResult;
use crate::run::ending::Place;
use crate::run::reaper::{Death, drop_empty_log, reap, wait_for_death};
use crate::ui::watched::Watched;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    id: String,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let terminal = Watched::of_parent();
    let death = wait_for_death(io::stdin().lock()).context("cannot wait for the run's process")?;
    // Its user waits for this one.
    if let (Death::Sudden { with_terminal: true }, Some(terminal)) = (death, terminal) {
        terminal.restore();
    }
    let done = if death == Death::None { Ok(()) } else { close(app, args) };
    if done.is_ok() {
        drop_empty_log(&app.runs(), &args.id);
    }
    done
}

fn close(app: &App, args: &Args) -> CliResult {
    let record =
        app.runs().get(&args.id).with_context(|| format!("cannot read the record of run `{}`", args.id))?;
    let calls = Calls::silent(Some(record.owner.clone()))?;
    let backend = app.open(&record.backend, &calls)?;
    let (runs, store) = (app.runs(), app.results());
    Ok(reap(&Place { backend: &backend, runs: &runs, store: &store }, record)?)
}
