//! `cleanup`: remove what dead runs left behind, across all backends. Shown first, then asked.

use claude_bottle_plugin_api::{CleanupItem, CleanupPlan, CleanupScope};
use serde::Serialize;

use super::open::Calls;
use super::{App, Format};
use crate::backend::{Backend, Verb};
use crate::error::{CliError, CliResult, Exit};
use crate::reaper::bury;
use crate::runs::Record;
use crate::ui::columns;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle cleanup              show what dead runs left, ask, remove it
  claude-bottle cleanup --dry-run    only show it
  claude-bottle cleanup --all --yes  also what runs, without asking

What belongs to a run is told by its labels, never by its name. Something that only has such a name
is shown and kept.")]
pub(super) struct Args {
    /// Also remove bottles that are running
    #[arg(long)]
    all: bool,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove without asking
    #[arg(short, long)]
    yes: bool,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What would be removed at one backend.
#[derive(Serialize)]
struct Part {
    backend: String,
    /// Of the backend, and the files of [`Self::dead`].
    #[serde(flatten)]
    plan: CleanupPlan,
    /// Dead runs, whose files are the host's.
    #[serde(skip)]
    dead: Vec<Record>,
}

/// The word for the scratch files of a dead run, and for what was being written of its record when it died.
const FILES: &str = "files";

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let calls = Calls::new(app)?;
    let (backends, unreachable) = open_all(app, &calls)?;
    let mut parts = Vec::new();
    for backend in &backends {
        let scope = CleanupScope::new(args.all);
        let mut plan: CleanupPlan =
            backend.call(Verb::PREPARE_CLEANUP, move |opened, call| opened.prepare_cleanup(call, &scope))?;
        let mut dead = app.runs().dead()?;
        dead.retain(|record| record.backend == backend.name());
        plan.remove.extend(dead.iter().map(files));
        parts.push(Part { backend: backend.name().to_owned(), plan, dead });
    }
    calls.progress.clear();
    let nothing = parts.iter().all(|part| part.plan.remove.is_empty());
    show(app, args, &parts)?;
    if !nothing && !args.dry_run && agreed(app, args, &calls)? {
        backends.iter().zip(parts).try_for_each(|(backend, part)| remove(app, backend, part))?;
    }
    unreachable.map_or(Ok(()), Err)
}

/// Opens every backend that can be used; the others are one error at the end, after the rest was done.
fn open_all(app: &App, calls: &Calls) -> CliResult<(Vec<Backend>, Option<CliError>)> {
    let (mut backends, mut unreachable) = (Vec::new(), None);
    for name in app.loadable()? {
        let probed = app.open(&name, calls).and_then(|backend| {
            let probe = backend.call(Verb::PROBE, |opened, call| opened.probe(call))?;
            match probe.reason {
                None => Ok(backend),
                Some(reason) => {
                    Err(CliError::new(Exit::Failed, reason).hint(probe.remedy.unwrap_or_default()))
                }
            }
        });
        match probed {
            Ok(backend) => backends.push(backend),
            Err(error) if app.backend_name(None) == name => unreachable = Some(error),
            Err(error) => app.ui.warning(&format!("backend `{name}` is not looked at: {:#}", error.error)),
        }
    }
    Ok((backends, unreachable))
}

fn show(app: &App, args: &Args, parts: &[Part]) -> CliResult {
    if args.format == Format::Json {
        return Ok(app.ui.json(&parts)?);
    }
    let items = parts.iter().flat_map(|part| {
        let with = |what: &'static str| move |item: &CleanupItem| row(what, &part.backend, item);
        part.plan.remove.iter().map(with("remove")).chain(part.plan.keep.iter().map(with("keep")))
    });
    let rows: Vec<_> = items.collect();
    let table = columns(["ACTION", "BACKEND", "KIND", "NAME", "WHY"], &rows);
    match (rows.is_empty(), args.dry_run, args.yes) {
        (true, ..) => app.ui.status("nothing is left over"),
        (_, true, _) => app.ui.data(&table),
        (.., true) => app.ui.say(&table),
        _ => app.ui.text(&table),
    }
    Ok(())
}

fn row(what: &str, backend: &str, item: &CleanupItem) -> [String; 5] {
    [what.to_owned(), backend.to_owned(), item.kind.clone(), item.name.clone(), item.reason.clone()]
}

fn agreed(app: &App, args: &Args, calls: &Calls) -> CliResult<bool> {
    if args.yes {
        return Ok(true);
    }
    let hint = "add --yes to remove without asking, or --dry-run to remove nothing";
    let agreed = app.confirm("remove what is marked so above?", hint, &calls.interrupt)?;
    if !agreed {
        app.ui.status("aborted by user");
    }
    Ok(agreed)
}

fn files(record: &Record) -> CleanupItem {
    let mut item = CleanupItem::new(FILES, &record.id, &record.id, "its run is gone");
    item.owner = Some(record.owner.clone());
    item
}

fn remove(app: &App, backend: &Backend, part: Part) -> CliResult {
    let mut plan = part.plan;
    plan.remove.retain(|item| item.kind != FILES);
    if !plan.remove.is_empty() {
        let report = backend.call(Verb::CLEANUP, move |opened, call| opened.cleanup(call, &plan))?;
        backend.progress().clear();
        for item in &report.removed {
            app.ui.status(&format!("removed {} {}", item.kind, item.name));
        }
        let mut failures = report.failures.into_iter().map(CliError::from);
        if let Some(first) = failures.next() {
            return Err(failures.fold(first, CliError::also));
        }
    }
    // Last: while anything is left of a run, its record says so.
    for record in part.dead {
        let id = record.id.clone();
        bury(&app.runs(), record)?;
        app.ui.status(&format!("removed {FILES} {id}"));
    }
    Ok(())
}
