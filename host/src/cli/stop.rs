//! `stop`: end a bottle that is running, save what its agent changed, and remove it.

use super::App;
use super::active;
use super::app::Calls;
use super::selection::Called;
use super::start::check_keeps;
use super::work::{check_saved, show_work};
use crate::error::{CliError, CliResult, Exit};
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
  claude-bottle stop dev --keep                 and keep its files, to go on with claude-bottle resume

What the agent changed in a copy of a directory is saved first: claude-bottle results. The bottle is
then removed with all that is in it. What its proxy decided is kept: claude-bottle logs")]
pub(super) struct Args {
    /// The bottle: its name, its run's id, or its agent when only one runs
    bottle: String,
    /// Save nothing of what the agent changed
    #[arg(long)]
    no_save: bool,
    /// Keep the bottle's files, for resume
    #[arg(long, conflicts_with = "no_save")]
    keep: bool,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let row = active::find(app, &args.bottle).map_err(|error| saved_already(app, &args.bottle, error))?;
    let name = row.name().to_owned();
    let calls = Calls::new(app)?;
    let backend = app.open(&row.backend, &calls)?;
    let (runs, store) = (app.runs(), app.results());
    let place = Place { backend: &backend, runs: &runs, store: &store };
    let (id, bottle) = (row.bottle.id, row.bottle.record);
    let known = runs.get(&id);
    if args.keep {
        check_keeps(&backend, "--keep")?;
        if known.as_ref().is_none_or(|record| record.saves.is_none()) {
            let message =
                format!("nothing of `{name}` can be kept: no copy of a directory came along that is saved");
            return Err(
                CliError::new(Exit::Failed, message).hint(format!("end it: claude-bottle stop {name}"))
            );
        }
    }
    // What made it knows more of it than a listing does.
    let bottle = known.as_ref().and_then(|record| record.instance.clone()).unwrap_or(bottle);
    match known {
        None => closing::without_saving(&backend, bottle, Reason::NothingToSave)?,
        Some(mut record) if args.no_save => place.give_up(&mut record, &bottle)??,
        Some(mut record) => {
            record.keeps |= args.keep;
            let ended = place.end(&mut record, &bottle, Most::default())?;
            calls.progress.clear();
            check_saved(&id, &ended.outcome)?;
            show_work(app, &id, &ended.outcome);
            ended.closed.unwrap_or(Ok(()))?;
        }
    }
    calls.progress.clear();
    let what = if runs.kept(&id).is_some() { "halted" } else { "closed" };
    app.ui.status(&format!("{what} {name}"));
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
