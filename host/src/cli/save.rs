//! `save`: save what an agent changed now, of a bottle that runs or that is kept since it could not be saved.

use super::App;
use super::app::Calls;
use super::work::{check_saved, show_work};
use super::{size, usage};
use crate::error::{CliError, CliResult, Exit};
use crate::results::save::{Most, Work};
use crate::results::store::Store;
use crate::run::backend::Backend;
use crate::run::ending::{Outcome, Place};
use crate::run::owner;
use crate::run::records::{Phase, Record};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle save dev                      what the agent has changed until now; the bottle goes on
  claude-bottle save dev-1a2b3c4d --max 8GiB  a bottle that is kept since it changed too much

What is saved of a bottle that runs is a result of its own: a moment's view, in which a file may be
half written. A bottle that is kept is removed once its work is saved.")]
pub(super) struct Args {
    /// The bottle: its run's id, its name, or its agent when only one has work
    bottle: String,
    /// How much a result may have, as 8GiB [default: 2GiB]
    #[arg(long, value_name = "SIZE")]
    max: Option<String>,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let most = match &args.max {
        Some(text) => Most::of_bytes(size::parse(text)?),
        None => Most::default(),
    };
    let record = find(app, &args.bottle)?;
    let calls = Calls::new(app)?;
    let backend = app.open(&record.backend, &calls)?;
    let outcome = if record.phase == Phase::Running && owner::is_alive(&record.owner) != Ok(false) {
        let store = app.results();
        let taken = store.names()?;
        let name = (1..).map(|n| format!("{}.{n}", record.id)).find(|name| !taken.contains(name));
        moment(app, &backend, &record, (&store, &name.unwrap_or_default()), most)?
    } else {
        end(app, &backend, record.clone(), most)?
    };
    calls.progress.clear();
    check_saved(&record.id, &outcome)?;
    show_work(app, &record.id, &outcome);
    Ok(())
}

/// Saves a bottle that is kept, or whose run is dead, and closes it.
fn end(app: &App, backend: &Backend, mut record: Record, most: Most) -> CliResult<Outcome> {
    let (runs, store) = (app.runs(), app.results());
    let Some(bottle) = record.instance.clone() else {
        return Err(usage(format!("the run `{}` has no bottle yet", record.id)));
    };
    let ended = Place { backend, runs: &runs, store: &store }.end(&mut record, &bottle, most)?;
    ended.closed.unwrap_or(Ok(()))?;
    Ok(ended.outcome)
}

/// Saves a moment of a bottle that goes on.
pub(super) fn moment(
    app: &App,
    backend: &Backend,
    record: &Record,
    (store, name): (&Store, &str),
    most: Most,
) -> CliResult<Outcome> {
    let runs = &app.runs();
    let Some(bottle) = &record.instance else {
        return Err(usage(format!("the run `{}` has no bottle yet", record.id)));
    };
    let work = Work { backend, runs, store, record, bottle };
    let saved = work.save(name, most)?;
    Ok(saved.map_or(Outcome::Unchanged, |saved| Outcome::Saved(Box::new(saved))))
}

/// Finds the run of a bottle that has work: by its id, its name, or its agent if there is only one.
pub(super) fn find(app: &App, wanted: &str) -> CliResult<Record> {
    let mut open = app.runs().all()?;
    open.retain(|record| !matches!(record.phase, Phase::Kept | Phase::Ended));
    let exact = |record: &Record| record.id == wanted || record.name == wanted;
    let found = match open.iter().rposition(exact) {
        Some(at) => open.swap_remove(at),
        None => {
            open.retain(|record| record.agent == wanted);
            match (open.pop(), open.len()) {
                (Some(record), 0) => record,
                (None, _) => {
                    return Err(CliError::new(Exit::Failed, format!("there is no bottle `{wanted}`"))
                        .hint("see what is saved already: claude-bottle results"));
                }
                (Some(_), more) => {
                    let message = format!("agent `{wanted}` has {} bottles", more + 1);
                    return Err(
                        CliError::new(Exit::Failed, message).hint("name one: claude-bottle list active")
                    );
                }
            }
        }
    };
    if found.saves.is_none() {
        let message = format!("nothing of `{}` is saved", found.name);
        return Err(CliError::new(Exit::Failed, message).hint(
            "what is saved is a copy of a directory, of a backend that can bring changes out: claude-bottle start AGENT --cwd",
        ));
    }
    Ok(found)
}
