//! `start --apply`: a result is taken at once, where nothing of it needs a word and nothing changed here since.

use super::super::App;
use super::super::work::show_changes;
use super::said::{explain, named, recover, report};
use crate::error::CliResult;
use crate::results::apply::Session;
use crate::results::model::Change;
use crate::results::store::Saved;

/// Takes a result; returns why it is left for the user to take, if it is, and then nothing was written.
pub(in crate::cli) fn at_once(app: &App, saved: &Saved) -> CliResult<Option<String>> {
    let files = &saved.result.files;
    let with = |wanted: fn(&&Change) -> bool| files.iter().filter(wanted).collect::<Vec<_>>();
    let marked = with(|file| !file.marks.is_empty());
    if !marked.is_empty() {
        return Ok(Some(format!("a word of your own is needed for {}", named(&marked))));
    }
    let taken = with(|file| !file.withheld);
    let mut session = Session::open(saved, &saved.result.directory).map_err(|error| explain(error, saved))?;
    recover(app, &mut session, saved)?;
    let plan = session.plan(&taken);
    if !plan.conflicts.is_empty() {
        let noun = if plan.conflicts.len() == 1 { "path" } else { "paths" };
        return Ok(Some(format!("{} {noun} changed here since", plan.conflicts.len())));
    }
    let outcome = session.apply(&plan).map_err(|error| explain(error, saved))?;
    show_changes(&app.ui, &saved.result);
    report(app, saved, &session, &outcome, &None);
    Ok(None)
}
