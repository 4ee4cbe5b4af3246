//! `stop`: end a bottle that is running, save what its agent changed, and remove it.

use super::App;
use super::active;
use super::app::Calls;
use super::selection::Called;
use super::work::{check_saved, show_work};
use crate::error::{CliError, CliResult};
use crate::results::save::Most;
use crate::results::store::Saved;
use crate::run::closing::{self, Reason};
use crate::run::ending::Place;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle stop dev                        the only bottle of the agent `dev`
  claude-bottle stop claude-bottle-dev-2        one of several, by name
  claude-bottle stop dev --no-save              and lose what it changed

What the agent changed in a copy of a directory is saved first: claude-bottle results. The bottle is
then removed with all that is in it. What its proxy decided is kept: claude-bottle logs")]
pub(super) struct Args {
    /// The bottle: its name, its run's id, or its agent when only one runs
    bottle: String,
    /// Save nothing of what the agent changed
    #[arg(long)]
    no_save: bool,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let row = active::find(app, &args.bottle).map_err(|error| saved_already(app, &args.bottle, error))?;
    let name = row.name().to_owned();
    let calls = Calls::new(app)?;
    let backend = app.open(&row.backend, &calls)?;
    let (runs, store) = (app.runs(), app.results());
    let place = Place { backend: &backend, runs: &runs, store: &store };
    let (id, bottle) = (row.bottle.id, row.bottle.record);
    match runs.get(&id) {
        None => closing::without_saving(&backend, bottle, Reason::NothingToSave)?,
        Some(mut record) if args.no_save => place.give_up(&mut record, &bottle)??,
        Some(mut record) => {
            let ended = place.end(&mut record, &bottle, Most::default())?;
            calls.progress.clear();
            check_saved(&id, &ended.outcome)?;
            show_work(app, &id, &ended.outcome);
            ended.closed.unwrap_or(Ok(()))?;
        }
    }
    calls.progress.clear();
    app.ui.status(&format!("closed {name}"));
    Ok(())
}

/// Says of what has ended and is saved how that is deleted, which is another command.
fn saved_already(app: &App, wanted: &str, error: CliError) -> CliError {
    let is_saved = |saved: &Saved| saved.result.run == wanted || saved.result.name == wanted;
    match app.results().all() {
        Ok(all) if all.iter().any(is_saved) => {
            error.hint(format!("what it changed is saved; to delete that: claude-bottle discard {wanted}"))
        }
        _ => error,
    }
}
