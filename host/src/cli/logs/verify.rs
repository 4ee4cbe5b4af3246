//! `logs --verify`: whether a run's decision log is as its proxy wrote it.

use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use super::super::{App, Format};
use crate::egress::chain::{self, Checked, State};
use crate::error::{CliResult, Exit};
use crate::run::records::Record;
use crate::ui::clean;

/// The document of `--format json`. Its keys are a contract.
#[derive(Serialize)]
struct View<'r> {
    run: &'r str,
    #[serde(flatten)]
    checked: Checked,
}

/// Checks the log of a run; the exit code is 0 for one that is intact alone.
pub(super) fn run(app: &App, record: &Record, format: Format) -> CliResult<ExitCode> {
    let directory = app.runs().dir(&record.id);
    let checked = chain::check(&directory, record.log_end, record.phase.is_over())
        .with_context(|| format!("cannot read the decisions in `{}`", directory.display()))?;
    let is_intact = matches!(checked.state, State::Intact | State::IntactSoFar);
    match format {
        Format::Json => app.ui.json(&View { run: &record.id, checked })?,
        Format::Text => app.ui.data(&clean(&describe(&checked))),
    }
    Ok(if is_intact { ExitCode::SUCCESS } else { Exit::Failed.into() })
}

fn describe(checked: &Checked) -> String {
    let count = checked.problems.len() + checked.more_problems;
    let said = match checked.state {
        State::Intact => "intact: it ends where the record of the run says".to_owned(),
        State::IntactSoFar => {
            "intact so far: the run goes on, and where its log ends is not recorded yet".to_owned()
        }
        State::Broken if count == 1 => "not intact: 1 problem".to_owned(),
        State::Broken => format!("not intact: {count} problems"),
        State::NoHashes => {
            "cannot be checked: no line carries a hash, as with pipelock or an older guard".to_owned()
        }
        State::NoEnd => {
            "cannot be checked to its end: the record of the run does not say where its log ended".to_owned()
        }
    };
    let mut lines = vec![said];
    let place = |problem: &chain::Problem| format!("{}:{}", problem.file, problem.at);
    let width = checked.problems.iter().map(|problem| place(problem).len()).max().unwrap_or_default();
    let row = |problem: &chain::Problem| format!("  {:<width$}  {}", place(problem), problem.text);
    lines.extend(checked.problems.iter().map(row));
    if checked.more_problems > 0 {
        lines.push(format!("  and {} more", checked.more_problems));
    }
    let dropped = match checked.dropped {
        0 => String::new(),
        dropped => format!(", after {dropped} that the log no longer has"),
    };
    lines.push(format!("lines  {}{dropped}", checked.lines));
    if checked.head.line > 0 {
        lines.push(format!("end    line {}, {}", checked.head.line, checked.head.hash));
    }
    lines.join("\n")
}
