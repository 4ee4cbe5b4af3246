//! `discard`: remove saved results, and bottles that are kept with them or since their work could not be saved. Shown first, then
//! asked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::App;
use super::app::Calls;
use super::size::{size, size_of};
use super::table::age;
use super::usage;
use super::work::summary;
use crate::error::{CliError, CliResult, Exit};
use crate::results::select::select;
use crate::results::store::Saved;
use crate::run::ending::Place;
use crate::run::records::{Record, Runs};
use crate::ui::columns;

/// Seconds of a day.
const DAY: u64 = 86_400;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle discard dev-1a2b3c4d          one result, or a bottle whose work is not saved
  claude-bottle discard --all --older-than 30 every result that is older than a month

What is discarded is gone for good.")]
pub(super) struct Args {
    /// The results: their run, their bottle's name, or their agent for the newest
    #[arg(value_name = "RUN", required_unless_present = "all", conflicts_with = "all")]
    runs: Vec<String>,
    /// Discard every result, and every bottle whose work is not saved
    #[arg(long)]
    all: bool,
    /// Discard only what is older than so many days
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u64>,
    /// Discard without asking
    #[arg(short, long)]
    yes: bool,
}

/// What is discarded.
enum Item {
    Result(Box<Saved>),
    /// A result, and its bottle, whose files are kept.
    Kept(Box<Saved>, Box<Record>),
    /// A bottle that is kept since its work is not saved.
    Bottle(Box<Record>),
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let mut items = if args.all { all(app)? } else { named(app, &args.runs)? };
    if let Some(days) = args.older_than {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let before = now.saturating_sub(Duration::from_secs(days.saturating_mul(DAY))).as_secs();
        items.retain(|item| item.since_unix() < before);
    }
    if items.is_empty() {
        app.ui.status("there is nothing to discard");
        return Ok(());
    }
    let cells: Vec<_> = items.iter().map(Item::cells).collect();
    let table = columns(["RUN", "DIRECTORY", "AGE", "STATE", "WHAT IS LOST", "SIZE"], &cells);
    let calls = Calls::new(app)?;
    if args.yes {
        app.ui.say(&table);
    } else {
        app.ui.text(&table);
        let hint = "add --yes to discard without asking";
        if !app.confirm("discard this for good?", hint, &calls.interrupt)? {
            app.ui.status("aborted by user");
            return Ok(());
        }
    }
    items.into_iter().try_for_each(|item| discard(app, &calls, item))
}

fn all(app: &App) -> CliResult<Vec<Item>> {
    let runs = app.runs();
    let saved = app.results().all()?.into_iter().map(|saved| Item::of(&runs, saved));
    let bottles = app.runs().unsaved()?.into_iter().map(|record| Item::Bottle(Box::new(record)));
    Ok(saved.chain(bottles).collect())
}

fn named(app: &App, runs: &[String]) -> CliResult<Vec<Item>> {
    let unsaved = app.runs().unsaved()?;
    let store = app.results();
    let mut items: Vec<Item> = Vec::new();
    for wanted in runs {
        let bottle = unsaved.iter().find(|record| record.id == *wanted || record.name == *wanted);
        let item = match bottle {
            Some(record) => Item::Bottle(Box::new(record.clone())),
            None => Item::of(&app.runs(), select(&store, Some(wanted), &app.invocation.cwd)?),
        };
        if items.iter().any(|other| other.run() == item.run()) {
            return Err(usage(format!("`{}` is named twice", item.run())));
        }
        items.push(item);
    }
    Ok(items)
}

impl Item {
    fn of(runs: &Runs, saved: Saved) -> Self {
        let saved = Box::new(saved);
        match runs.kept(&saved.result.run) {
            Some(record) => Self::Kept(saved, Box::new(record)),
            None => Self::Result(saved),
        }
    }

    fn run(&self) -> &str {
        match self {
            Self::Result(saved) | Self::Kept(saved, _) => &saved.result.run,
            Self::Bottle(record) => &record.id,
        }
    }

    fn since_unix(&self) -> u64 {
        match self {
            Self::Result(saved) | Self::Kept(saved, _) => saved.result.saved_unix,
            Self::Bottle(record) => record.created_unix,
        }
    }

    fn cells(&self) -> [String; 6] {
        let (directory, state, lost, size) = match self {
            Self::Result(saved) => {
                let state = format!("{:?}", saved.state).to_lowercase();
                (saved.result.directory.clone(), state, summary(&saved.result), size_of(saved))
            }
            Self::Kept(saved, _) => {
                let state = format!("{:?}", saved.state).to_lowercase();
                let lost = format!("{}, and the bottle's files", summary(&saved.result));
                let bytes = saved.bytes() + saved.result.kept.unwrap_or_default();
                (saved.result.directory.clone(), format!("{state}, kept"), lost, size(bytes))
            }
            Self::Bottle(record) => {
                let directory = record.saves.as_ref().map(|wanted| wanted.directory.clone());
                let lost = "all that the agent changed".to_owned();
                (directory.unwrap_or_default(), "unsaved".to_owned(), lost, "-".to_owned())
            }
        };
        let directory = directory.display().to_string();
        [self.run().to_owned(), directory, age(self.since_unix()), state, lost, size]
    }
}

fn discard(app: &App, calls: &Calls, item: Item) -> CliResult {
    let run = item.run().to_owned();
    match item {
        Item::Result(_) => app.results().remove(&run)?,
        Item::Kept(_, record) => {
            give_up(app, calls, *record)?;
            app.results().remove(&run)?;
        }
        Item::Bottle(record) => give_up(app, calls, *record)?,
    }
    app.ui.status(&format!("discarded {run}"));
    Ok(())
}

/// Closes a bottle that is kept.
fn give_up(app: &App, calls: &Calls, mut record: Record) -> CliResult {
    let backend = app.open(&record.backend, calls)?;
    let (runs, store) = (app.runs(), app.results());
    let no_bottle = || CliError::new(Exit::Failed, format!("`{}` has no bottle", record.id));
    let bottle = record.instance.clone().ok_or_else(no_bottle)?;
    Place { backend: &backend, runs: &runs, store: &store }.give_up(&mut record, &bottle)??;
    calls.progress.clear();
    Ok(())
}
