//! `--har`: what a run's guard saw, as an HTTP archive.

use std::process::ExitCode;

use anyhow::Context;

use super::tail::Tail;
use super::tell_dropped;
use crate::cli::App;
use crate::egress::decision;
use crate::egress::har::Archive;
use crate::error::CliResult;
use crate::run::records::Record;

/// Prints the archive of a run.
pub(super) fn show(app: &App, record: &Record) -> CliResult<ExitCode> {
    let directory = app.runs().dir(&record.id);
    tell_dropped(app, &directory)?;
    let lines = Tail::new(&directory)
        .read_new()
        .with_context(|| format!("cannot read the decisions in `{}`", directory.display()))?;
    let mut archive = Archive::default();
    lines.iter().filter_map(|line| decision::read(line.as_bytes(), &record.id)).for_each(|decision| {
        archive.add(&decision.record);
    });
    if !archive.is_captured() {
        app.ui.hint("headers are not in this log; `egress: { capture: true }` in the bottle keeps them for later runs");
    }
    app.ui.json(&archive.document())?;
    Ok(ExitCode::SUCCESS)
}
