//! `cleanup`: remove what dead runs left behind, across all backends. Shown first, then asked.

use std::path::{Path, PathBuf};

use anyhow::Context;
use claude_bottle_plugin_api::{CleanupItem, CleanupPlan, CleanupScope};
use serde::Serialize;

use super::app::Calls;
use super::ask::Missed;
use super::work::{check_saved, show_work};
use super::{App, Format};
use crate::error::{CliError, CliResult, Exit};
use crate::results::copied_in::CopiedIn;
use crate::results::save::Most;
use crate::run::backend::{Backend, Verb};
use crate::run::ending::Place;
use crate::run::reaper::{bury, is_of};
use crate::run::records::{Phase, Record, Runs};
use crate::run::stage::{self, Found};
use crate::run::{elsewhere, owner};
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
#[derive(Default, Serialize)]
struct Part {
    backend: String,
    /// Of the backend, and the files of [`Self::dead`].
    #[serde(flatten)]
    plan: CleanupPlan,
    /// Runs whose work is saved before their bottles are removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    save: Vec<CleanupItem>,
    /// Dead runs, whose files are the host's.
    #[serde(skip)]
    dead: Vec<Record>,
    /// The runs of [`Self::save`].
    #[serde(skip)]
    with_work: Vec<Record>,
    /// Runs whose work could not be saved. Their bottles stay, unless the user gives the work up.
    #[serde(skip)]
    unsaved: Vec<Record>,
    /// Runs whose bottles are kept with what is saved of them; with `--all` they go.
    #[serde(skip)]
    kept: Vec<Record>,
}

/// The word for the scratch files of a dead run, and for what was being written of its record when it died.
const FILES: &str = "files";
/// The word for what an agent changed.
const WORK: &str = "work";
/// The word for what belongs to no backend.
const NO_BACKEND: &str = "-";

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let calls = Calls::new(app)?;
    let (mut parts, mut backends, mut missed) = (Vec::new(), Vec::new(), Missed::default());
    for candidate in app.candidates()? {
        let Some((backend, ())) = candidate.ask(app, &calls, &mut missed, check_usable) else { continue };
        match look(app, args, &backend) {
            Ok(part) => {
                backends.push(backend);
                parts.push(part);
            }
            Err(error) => missed.add(error),
        }
    }
    let stages = stages_of_the_dead(&mut parts)?;
    calls.progress.clear();
    let nothing = parts.iter().all(|part| part.plan.remove.is_empty());
    show(app, args, &parts, &missed)?;
    if !nothing && !args.dry_run && agreed(app, args, &calls)? {
        backends
            .iter()
            .zip(parts)
            .try_for_each(|(backend, part)| remove(app, args, &calls, backend, part))?;
        stages.iter().try_for_each(|stage| remove_stage(app, stage))?;
    }
    missed.into_result()
}

/// Finds the scratch files of processes that were killed before they had a record, and adds what is to be said of them.
fn stages_of_the_dead(parts: &mut Vec<Part>) -> CliResult<Vec<PathBuf>> {
    let recorded: Vec<_> =
        parts.iter().flat_map(|part| &part.dead).filter_map(|run| run.stage.clone()).collect();
    let (mut plan, mut dead) = (CleanupPlan::default(), Vec::new());
    for stage in stage::all()?.into_iter().filter(|stage| !recorded.contains(&stage.path)) {
        match owner::is_alive(&stage.owner) {
            Ok(true) => {}
            Ok(false) => {
                plan.remove.push(stage_item(&stage, "its process is gone"));
                dead.push(stage.path);
            }
            Err(reason) => plan.keep.push(stage_item(&stage, &reason)),
        }
    }
    if !(plan.remove.is_empty() && plan.keep.is_empty()) {
        parts.push(Part { backend: NO_BACKEND.to_owned(), plan, ..Part::default() });
    }
    Ok(dead)
}

fn stage_item(stage: &Found, reason: &str) -> CleanupItem {
    let path = stage.path.display().to_string();
    let mut item = CleanupItem::new(FILES, &path, &path, reason);
    item.owner = Some(stage.owner.clone());
    item
}

fn remove_stage(app: &App, path: &Path) -> CliResult {
    stage::remove(path).with_context(|| format!("cannot remove `{}`", path.display()))?;
    app.ui.status(&format!("removed {FILES} {}", path.display()));
    Ok(())
}

/// Fails when a backend cannot be used here and now.
fn check_usable(backend: &Backend) -> CliResult {
    let probe = backend.call(Verb::PROBE, |opened, call| opened.probe(call))?;
    match probe.reason {
        None => Ok(()),
        Some(reason) => Err(CliError::new(Exit::Failed, reason).hint(probe.remedy.unwrap_or_default())),
    }
}

/// Finds what is left over at one backend.
fn look(app: &App, args: &Args, backend: &Backend) -> CliResult<Part> {
    let scope = CleanupScope::new(args.all);
    let mut plan =
        backend.call(Verb::PREPARE_CLEANUP, move |opened, call| opened.prepare_cleanup(call, &scope))?;
    let mut records = app.runs().all()?;
    records.retain(|record| record.backend == backend.name());
    let of = |phase: Phase| {
        records.iter().filter(move |record| record.phase == phase).cloned().collect::<Vec<_>>()
    };
    let (unsaved, kept) = (of(Phase::Unsaved), of(Phase::Kept));
    if !args.all {
        keep(&mut plan, &unsaved, "its work is not saved: claude-bottle save");
        keep(&mut plan, &kept, "its files are kept: claude-bottle discard");
        keep_those_of_other_homes(&mut plan, &app.runs());
    }
    let with_work: Vec<_> =
        records.into_iter().filter(|record| has_work(app, record) && is_removed(&plan, record)).collect();
    let save = with_work.iter().map(work).collect();
    let mut dead = app.runs().dead()?;
    dead.retain(|record| record.backend == backend.name());
    plan.remove.extend(dead.iter().map(files));
    Ok(Part { backend: backend.name().to_owned(), plan, save, dead, with_work, unsaved, kept })
}

/// Keeps what belongs to these bottles, and says why, which ends with a command for the run.
fn keep(plan: &mut CleanupPlan, records: &[Record], why: &str) {
    let run_of = |item: &CleanupItem| records.iter().find(|record| is_of(item, record));
    let (kept, removed) =
        std::mem::take(&mut plan.remove).into_iter().partition(|item| run_of(item).is_some());
    plan.remove = removed;
    plan.keep.extend(Vec::into_iter(kept).map(|mut item: CleanupItem| {
        let run = run_of(&item).map(|record| record.id.clone()).unwrap_or_default();
        item.reason = format!("{why} {run}");
        item
    }));
}

/// Keeps what would lose something, and whose run is in the records of another home: only that home can save it.
fn keep_those_of_other_homes(plan: &mut CleanupPlan, runs: &Runs) {
    for mut item in std::mem::take(&mut plan.remove) {
        match elsewhere::why_kept(&item, runs) {
            None => plan.remove.push(item),
            Some(why) => {
                item.reason = why;
                plan.keep.push(item);
            }
        }
    }
}

/// Returns `true` if the agent of a run was started and what it changed is to be saved.
fn has_work(app: &App, record: &Record) -> bool {
    let was_started = || matches!(CopiedIn::read(&app.runs().dir(&record.id)), Ok(Some(_)) | Err(_));
    matches!(record.phase, Phase::Creating | Phase::Running)
        && record.saves.is_some()
        && record.instance.is_some()
        && was_started()
}

/// Returns `true` if something of a run would be removed, or if its process is gone.
fn is_removed(plan: &CleanupPlan, record: &Record) -> bool {
    plan.remove.iter().any(|item| is_of(item, record)) || owner::is_alive(&record.owner) == Ok(false)
}

fn work(record: &Record) -> CleanupItem {
    let mut item = CleanupItem::new(WORK, &record.id, &record.name, "before it is removed");
    item.owner = Some(record.owner.clone());
    item
}

fn show(app: &App, args: &Args, parts: &[Part], missed: &Missed) -> CliResult {
    if args.format == Format::Json {
        return Ok(app.ui.json(&parts)?);
    }
    let items = parts.iter().flat_map(|part| {
        let with = |what: &'static str| move |item: &CleanupItem| row(what, &part.backend, item);
        let first = part.save.iter().map(with("save"));
        let others =
            part.plan.remove.iter().map(with("remove")).chain(part.plan.keep.iter().map(with("keep")));
        first.chain(others)
    });
    let rows: Vec<_> = items.collect();
    let table = columns(["ACTION", "BACKEND", "KIND", "NAME", "WHY"], &rows);
    match (rows.is_empty(), args.dry_run, args.yes) {
        // What could not be asked is said instead.
        (true, ..) if missed.is_any() => {}
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
    let agreed = app.confirm("remove the items marked `remove` above?", hint, &calls.interrupt)?;
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

fn remove(app: &App, args: &Args, calls: &Calls, backend: &Backend, part: Part) -> CliResult {
    let mut plan = part.plan;
    let mut kept = save(app, backend, part.with_work)?;
    kept.extend(give_up(app, args, calls, backend, part.unsaved)?);
    if args.all {
        part.kept.into_iter().try_for_each(|record| close_kept(app, backend, record))?;
    }
    plan.remove.retain(|item| item.kind != FILES && !kept.iter().any(|(record, _)| is_of(item, record)));
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
    for record in part.dead.into_iter().filter(|dead| !kept.iter().any(|(record, _)| record.id == dead.id)) {
        let id = record.id.clone();
        bury(&app.runs(), record)?;
        app.ui.status(&format!("removed {FILES} {id}"));
    }
    let mut errors = kept.into_iter().filter_map(|(_, error)| error);
    match errors.next() {
        Some(first) => Err(errors.fold(first, CliError::also)),
        None => Ok(()),
    }
}

/// A run whose bottle stays, and why that is a failure.
type Kept = (Record, Option<CliError>);

/// Saves the work of runs and closes their bottles; returns those that stay.
fn save(app: &App, backend: &Backend, with_work: Vec<Record>) -> CliResult<Vec<Kept>> {
    let (runs, store) = (app.runs(), app.results());
    let place = Place { backend, runs: &runs, store: &store };
    let mut kept = Vec::new();
    for mut record in with_work {
        let Some(bottle) = record.instance.clone() else { continue };
        let ended = place.end(&mut record, &bottle, Most::default())?;
        backend.progress().clear();
        show_work(app, &record.id, &ended.outcome);
        if let Err(error) = check_saved(&record.id, &ended.outcome) {
            kept.push((record, Some(error)));
        }
    }
    Ok(kept)
}

/// With `--all` asks once more about bottles whose work is not saved; returns those that stay.
fn give_up(
    app: &App,
    args: &Args,
    calls: &Calls,
    backend: &Backend,
    unsaved: Vec<Record>,
) -> CliResult<Vec<Kept>> {
    let mut kept = Vec::new();
    for mut record in unsaved {
        let is_asked = args.all && app.ui.interactive;
        let question = format!("the work of {} is not saved: lose it?", record.name);
        if !(is_asked && app.confirm(&question, "", &calls.interrupt)?) {
            kept.push((record, None));
            continue;
        }
        if let Some(bottle) = record.instance.clone() {
            let (runs, store) = (app.runs(), app.results());
            Place { backend, runs: &runs, store: &store }.give_up(&mut record, &bottle)??;
        }
    }
    if args.all && !kept.is_empty() {
        let runs: Vec<_> = kept.iter().map(|(record, _)| record.id.as_str()).collect();
        app.ui.hint(&format!("lose what is not saved: claude-bottle discard {}", runs.join(" ")));
    }
    Ok(kept)
}

/// Closes a bottle whose work is saved, and whose files were kept.
fn close_kept(app: &App, backend: &Backend, mut record: Record) -> CliResult {
    let Some(bottle) = record.instance.clone() else { return Ok(()) };
    let (runs, store) = (app.runs(), app.results());
    Place { backend, runs: &runs, store: &store }.give_up(&mut record, &bottle)??;
    Ok(())
}
