//! `stop`: close a bottle that is running.

use super::App;
use super::exec::find;
use super::open::Calls;
use crate::backend::Verb;
use crate::error::CliResult;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle stop dev                        the only bottle of the agent `dev`
  claude-bottle stop claude-bottle-dev-2        one of several, by name

The bottle is removed with all that is in it. What its proxy decided is kept: claude-bottle logs")]
pub(super) struct Args {
    /// The bottle: its name, its run's id, or its agent when only one runs
    bottle: String,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let row = find(app, &args.bottle)?;
    let calls = Calls::new(app)?;
    let backend = app.open(&row.backend, &calls)?;
    let record = row.bottle.record;
    backend.call_through(Verb::CLOSE, move |opened, call| opened.close(call, &record))?;
    calls.progress.clear();
    app.ui.status(&format!("closed {}", row.bottle.name));
    Ok(())
}
