//! What `apply` says: conflicts and the way on, what was written, what stays.

use std::path::PathBuf;

use super::super::App;
use super::agree::count;
use crate::error::{CliError, CliResult, Exit};
use crate::results::apply::journal::Step;
use crate::results::apply::plan::Plan;
use crate::results::apply::{ApplyError, Outcome, Session};
use crate::results::escape;
use crate::results::model::Change;
use crate::results::store::Saved;

pub(super) fn named(files: &[&Change]) -> String {
    files.iter().map(|file| escape::name(file.path.as_bytes())).collect::<Vec<_>>().join(", ")
}

pub(super) fn conflicts(plan: &Plan, saved: &Saved, is_three_way: bool) -> CliError {
    let run = &saved.result.run;
    let lines: Vec<_> = plan
        .conflicts
        .iter()
        .map(|conflict| {
            let name = escape::name(conflict.path.as_os_str().as_encoded_bytes());
            format!("  {name}: {}", escape::line(conflict.why.as_bytes(), false))
        })
        .collect();
    let noun = if lines.len() == 1 { "path is" } else { "paths are" };
    let mut error = CliError::new(
        Exit::Failed,
        format!("{} {noun} not as they were copied in; nothing was written", lines.len()),
    );
    error.details = Some(lines.join("\n"));
    let mut error = error.hint(format!("see both sides: claude-bottle diff {run} --into DIR"));
    if !is_three_way && plan.conflicts.iter().any(|conflict| conflict.contents) {
        error = error.hint(format!("merge what changed on both sides: claude-bottle apply {run} --3way"));
    }
    match alone(plan) {
        Some(paths) => error.hint(format!("take what is not in conflict: claude-bottle apply {run} {paths}")),
        None => error,
    }
}

/// Returns the paths that could be written alone, as words for a shell, if they are few and plain.
pub(super) fn alone(plan: &Plan) -> Option<String> {
    let is_in_conflict = |step: &&Step| {
        !plan.conflicts.iter().any(|conflict| {
            conflict.path.starts_with(step.path.as_path()) || step.path.as_path().starts_with(&conflict.path)
        })
    };
    let paths: Vec<String> = plan
        .steps
        .iter()
        .filter(is_in_conflict)
        .map(|step| step.path.as_path().to_str().map(str::to_owned))
        .collect::<Option<_>>()?;
    let is_plain = |path: &String| {
        !path.starts_with('-') && path.chars().all(|c| c.is_ascii_alphanumeric() || "._-/+@".contains(c))
    };
    (!paths.is_empty() && paths.len() <= 8 && paths.iter().all(is_plain)).then(|| paths.join(" "))
}

pub(super) fn report(
    app: &App,
    saved: &Saved,
    session: &Session<'_>,
    outcome: &Outcome,
    to: &Option<PathBuf>,
) {
    let place = escape::name(session.directory().as_os_str().as_encoded_bytes());
    app.ui.say(&format!("wrote {} to {place}", count(outcome.written)));
    tell(app, session, outcome);
    let run = &saved.result.run;
    if !app.ui.is_quiet() {
        let to = if to.is_some() { format!(" --to {place}") } else { String::new() };
        app.ui.hint(&format!("go back: claude-bottle apply {run} --undo{to}"));
    }
}

/// Says what was not taken with the rest.
pub(super) fn tell(app: &App, session: &Session<'_>, outcome: &Outcome) {
    for path in &outcome.kept {
        let name = escape::name(path.as_os_str().as_encoded_bytes());
        app.ui.say(&format!("{name} stays: something else is in it"));
    }
    for path in &outcome.rescued {
        let path = session.directory().join(path);
        app.ui.warning(&format!(
            "a file changed while it was replaced; that version is kept as {}",
            escape::name(path.as_os_str().as_encoded_bytes())
        ));
    }
}

/// Takes back what an earlier process was ended in the middle of.
pub(super) fn recover(app: &App, session: &mut Session<'_>, saved: &Saved) -> CliResult {
    let was_cut_off = session.is_cut_off();
    let left = session.recover().map_err(|error| explain(error, saved))?;
    if was_cut_off {
        app.ui.status("an earlier `apply` was cut off; what it had written is taken back");
    }
    for path in &left.paths {
        let name = escape::name(path.as_os_str().as_encoded_bytes());
        app.ui.warning(&format!("{name} is not as it was before: it changed since"));
    }
    if let Some(stage) = left.stage {
        app.ui.hint(&format!("what was there before is kept in {}", stage.display()));
    }
    Ok(())
}

/// Adds advice to an error.
pub(super) fn explain(error: ApplyError, saved: &Saved) -> CliError {
    let run = &saved.result.run;
    let hint = match &error {
        ApplyError::Busy(_) => "run it again when that one has ended".to_owned(),
        ApplyError::Changed(_) => format!("nothing was written; run it again: claude-bottle apply {run}"),
        ApplyError::Damaged(_) => {
            format!("nothing was written; see what is damaged: claude-bottle results verify {run}")
        }
        ApplyError::Left { .. } => format!("try again to take them back: claude-bottle apply {run} --undo"),
        ApplyError::Write { .. } => "everything is as it was before".to_owned(),
        _ => String::new(),
    };
    CliError::from(anyhow::Error::new(error)).hint(hint)
}
