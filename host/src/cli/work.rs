//! What is said of an agent's work when its bottle ends: what changed, what was left behind, how to see it and take it.

use super::App;
use super::size::size;
use crate::error::{CliError, CliResult, Exit};
use crate::results::collect::OverBound;
use crate::results::escape;
use crate::results::model::SavedResult;
use crate::results::render::{self, grouped};
use crate::run::ending::Outcome;
use crate::ui::Ui;

/// What is said of a bottle that is kept.
const UNSAVED: &str = "the agent's work is not saved, and its bottle is kept";

/// Says what became of the work of a run.
pub(super) fn show_work(app: &App, run: &str, work: &Outcome) {
    let ui = &app.ui;
    match work {
        Outcome::NothingToSave => {}
        Outcome::Unchanged => ui.status("no file changed"),
        Outcome::Saved(saved) => {
            show_saved(ui, &saved.result);
            show_kept(app, &saved.result);
        }
        Outcome::Unsaved(error) => show_unsaved(ui, run, error),
        Outcome::Lost(failure) => {
            let error = &CliError::from(failure.clone()).error;
            ui.warning(&format!("the bottle was removed before its work was saved: {error:#}"));
        }
    }
}

fn show_saved(ui: &Ui, result: &SavedResult) {
    if ui.is_quiet() {
        return;
    }
    if result.files.is_empty() {
        let has = |name: &str| result.sealed.iter().any(|sealed| sealed.name == name);
        ui.status(match (has("git.tar"), has("history.tar")) {
            (true, _) => "no file changed; what the agent did in its repository is kept",
            (false, true) => "no file changed; what the agent remembers is kept",
            (false, false) => "no file changed",
        });
        left_behind(result).iter().for_each(|line| ui.status(line));
        ui.hint(&format!("go on: claude-bottle resume {}", result.run));
        return;
    }
    show_changes(ui, result);
    ui.hint(&format!("look: claude-bottle diff {}", result.run));
    ui.hint(&format!("take them: claude-bottle apply {}", result.run));
}

/// Says how much changed, and what is not part of it.
pub(super) fn show_changes(ui: &Ui, result: &SavedResult) {
    ui.status(&summary(result));
    left_behind(result).iter().for_each(|line| ui.status(line));
}

/// Says of a bottle whose files are kept how large they are, and how one goes on with them or removes them.
pub(super) fn show_kept(app: &App, result: &SavedResult) {
    let run = &result.run;
    if app.ui.is_quiet() || app.runs().kept(run).is_none() {
        return;
    }
    let bytes = result.kept.map_or_else(String::new, |bytes| format!(" ({})", size(bytes)));
    app.ui.status(&format!("the bottle's files are kept{bytes}"));
    if !result.files.is_empty() {
        app.ui.hint(&format!("go on with them: claude-bottle resume {run}"));
    }
    app.ui.hint(&format!("remove them, and what is saved: claude-bottle discard {run}"));
}

/// Says that a bottle is kept. This is said also when all else is quiet: nothing but it has the work.
fn show_unsaved(ui: &Ui, run: &str, error: &anyhow::Error) {
    ui.warning(&format!("{UNSAVED}: {error:#}"));
    ways_on(run, error).iter().for_each(|hint| ui.hint(hint));
}

/// Fails if the work of a run could not be saved, and its bottle is kept.
pub(super) fn check_saved(run: &str, outcome: &Outcome) -> CliResult {
    let Outcome::Unsaved(error) = outcome else { return Ok(()) };
    let failed = CliError::new(Exit::Failed, format!("{UNSAVED}: {error:#}"));
    Err(ways_on(run, error).into_iter().fold(failed, CliError::hint))
}

fn ways_on(run: &str, error: &anyhow::Error) -> [String; 2] {
    let save = match error.downcast_ref::<OverBound>() {
        Some(_) => format!("save it, however large: claude-bottle save {run} --max SIZE"),
        None => format!("save it when that is fixed: claude-bottle save {run}"),
    };
    [save, format!("give it up: claude-bottle discard {run}")]
}

/// Says how much changed, in one line.
pub(super) fn summary(result: &SavedResult) -> String {
    render::summary(&result.files.iter().collect::<Vec<_>>())
}

/// Says what is not part of the changes.
fn left_behind(result: &SavedResult) -> Vec<String> {
    let left = &result.left_out;
    let mut lines = Vec::new();
    if left.ignored.files > 0 {
        let (files, bytes) = (grouped(left.ignored.files), size(left.ignored.bytes));
        let noun = if left.ignored.files == 1 { "file" } else { "files" };
        lines.push(format!("left behind: {files} {noun} that git ignores ({bytes})"));
    }
    let mut named = |words: &str, paths: &[claude_bottle_plugin_api::EntryPath]| {
        if let Some(first) = paths.first() {
            let more = if paths.len() > 1 { ", …" } else { "" };
            let first = escape::name(first.as_bytes());
            lines.push(format!("left behind: {} {words} ({first}{more})", paths.len()));
        }
    };
    named("names that a result does not carry", &left.refused);
    named("work trees of the agent's own, kept for resume alone", &left.worktrees);
    if left.special > 0 {
        lines.push(format!("left behind: {} sockets, FIFOs and devices", grouped(left.special)));
    }
    if left.sealed {
        lines.push("left behind: what of the agent's repository and history is more than 512 MiB".to_owned());
    }
    lines.extend(left.skipped.iter().map(|skipped| format!("left behind: {skipped}")));
    lines
}
