//! `policy asked`: what bottles wait for, to be answered by `policy allow` or `policy deny`.

use serde::Serialize;

use crate::cli::watch::{questions, said};
use crate::cli::{App, Format};
use crate::egress::live::now;
use crate::error::CliResult;
use crate::ui::columns;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle policy asked                     what all bottles wait for
  claude-bottle policy allow dev pypi.org        an answer
  claude-bottle policy deny dev pypi.org         another one

A request waits where the manifest has `egress.ask: true`, or `start` got --ask-hosts. Answers are also given
on one screen: claude-bottle watch")]
pub(super) struct AskedArgs {
    /// The bottle: its name, its run's id, or its agent
    bottle: Option<String>,
    /// How the questions are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A request that waits. Its keys are a contract.
#[derive(Serialize)]
struct QuestionView {
    run: String,
    bottle: String,
    /// Host and port.
    place: String,
    /// What would allow it.
    rule: Option<String>,
    reason: String,
    /// What the agent says of it. Text of the agent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Until when it waits, in seconds since 1970-01-01 UTC.
    until_unix: u64,
}

pub(super) fn run(app: &App, args: &AskedArgs) -> CliResult {
    let questions = questions(app, args.bottle.as_deref())?.into_iter().map(|question| QuestionView {
        run: question.run,
        bottle: question.bottle,
        place: question.place,
        rule: question.rule,
        reason: question.reason,
        why: question.why,
        until_unix: question.until,
    });
    let questions: Vec<_> = questions.collect();
    if args.format == Format::Json {
        return Ok(app.ui.json(&questions)?);
    }
    if questions.is_empty() {
        app.ui.status("nothing waits for an answer");
        return Ok(());
    }
    let left = |until: u64| format!("{} s", until.saturating_sub(now()));
    let rows: Vec<_> = questions
        .iter()
        .map(|question| {
            let QuestionView { bottle, place, reason, why, until_unix, .. } = question;
            [bottle.clone(), place.clone(), left(*until_unix), said(why.as_deref(), reason)]
        })
        .collect();
    app.ui.data(&columns(["BOTTLE", "HOST", "LEFT", "REASON"], &rows));
    Ok(())
}
