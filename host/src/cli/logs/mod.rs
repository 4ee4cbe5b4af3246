//! `logs`: the runs there were, and what a run's proxy decided, also after it has ended.

mod decisions;
mod follow;
mod har;
pub(super) mod tail;
mod transcript;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use claude_bottle_plugin_api::Owner;
use serde::Serialize;

use super::table::{age, below_home, lasting};
use super::{App, Format, refused_credential};
use crate::egress::rejected::Rejected;
use crate::egress::summary::{self, Summary};
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::nearest;
use crate::run::reaper;
use crate::run::records::{Phase, Record, Timing};
use crate::ui::{clean, columns};
use decisions::Decisions;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle logs                        the runs there were, oldest first
  claude-bottle logs dev --egress           what the newest run of `dev` asked for, and the answers
  claude-bottle logs dev --egress --follow  go on until the run has ended
  claude-bottle logs dev --har > dev.har    what its guard saw, for a browser's network panel
  claude-bottle logs dev --verify           was its log changed, cut or added to since
  claude-bottle logs dev --egress --format json | jq 'select(.verdict == \"deny\") | .host'

The records of the last 20 runs are kept in ~/.local/state/claude-bottle/bottles.")]
pub(super) struct Args {
    /// The bottle: its name, its run's id, or its agent for the newest run; without one, list the runs
    bottle: Option<String>,
    /// Show what the proxy decided: time, verdict, host and port, reason
    #[arg(long, requires = "bottle")]
    egress: bool,
    /// Show what the terminal showed, of a run that was started with --record
    #[arg(long, requires = "bottle", conflicts_with_all = ["egress", "follow", "format"])]
    transcript: bool,
    /// Check that the log of decisions is as the proxy wrote it; exit with 1 if it is not
    #[arg(long, requires = "bottle", conflicts_with_all = ["egress", "transcript", "follow"])]
    verify: bool,
    /// Print requests and answers that the guard saw as an HTTP archive (HAR 1.2), without secrets, queries and bodies
    #[arg(long, requires = "bottle", conflicts_with_all = ["egress", "transcript", "verify", "follow", "format"])]
    har: bool,
    /// Show decisions as they are made, until the run has ended; implies --egress
    #[arg(short, long, requires = "bottle")]
    follow: bool,
    /// Output format (with --egress, json is one object per line)
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A run. Its keys are a contract.
#[derive(Serialize)]
struct RunView<'r> {
    id: &'r str,
    agent: &'r str,
    bottle: &'r str,
    backend: &'r str,
    name: &'r str,
    phase: Phase,
    created_unix: u64,
    /// Unknown as long as it runs, and where its process was killed.
    ended_unix: Option<u64>,
    duration_seconds: Option<u64>,
    /// The agent's, when it ran to its end.
    exit_code: Option<i32>,
    workspace: Option<&'r Path>,
    owner: &'r Owner,
    directory: PathBuf,
    requests_allowed: u64,
    requests_blocked: u64,
    /// Allowed, and their host was not reached.
    requests_failed: u64,
    /// Refused requests that the agent's program made by itself, which are not among those blocked.
    requests_own: u64,
    /// Secrets that the proxy put in and that their host did not take: it answered 401.
    credentials_refused: Vec<Rejected>,
    /// Whether these numbers are exact; otherwise there were at least so many.
    requests_exact: bool,
    /// How many older lines the log no longer has; they are counted.
    lines_dropped: u64,
    /// How long each step took, once the run has ended.
    timings: &'r [Timing],
    /// What the process that watched the run could not do.
    #[serde(skip_serializing_if = "Option::is_none")]
    watcher: Option<String>,
    #[serde(skip)]
    summary: Summary,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    let records = app.runs().all()?;
    let Some(wanted) = &args.bottle else {
        list(app, args.format, &records)?;
        app.check_can_be_asked(&records.iter().collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    };
    let record = find(&records, wanted)?;
    let code = show(app, args, record)?;
    app.check_can_be_asked(&[record])?;
    Ok(code)
}

fn show(app: &App, args: &Args, record: &Record) -> CliResult<ExitCode> {
    if args.follow {
        return follow::run(app, record, args.format);
    }
    if args.transcript {
        return transcript::show(app, record);
    }
    if args.verify {
        return verify::run(app, record, args.format);
    }
    if args.har {
        return har::show(app, record);
    }
    if args.egress {
        return show_decisions(app, record, args.format);
    }
    let view = view(app, record)?;
    match args.format {
        Format::Json => app.ui.json(&view)?,
        Format::Text => {
            app.ui.data(&describe(&view, &app.invocation.home));
            if record.phase == Phase::Running {
                let commands = refused_credential::commands(record, &view.credentials_refused);
                commands.iter().for_each(|command| app.ui.hint(command));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Finds a run by its id, its bottle's name, or its agent for the newest run.
pub(super) fn find<'r>(records: &'r [Record], wanted: &str) -> CliResult<&'r Record> {
    let newest = |matches: &dyn Fn(&Record) -> bool| records.iter().rev().find(|record| matches(record));
    let found = newest(&|record| record.id == wanted)
        .or_else(|| newest(&|record| record.name == wanted))
        .or_else(|| newest(&|record| record.agent == wanted));
    found.ok_or_else(|| {
        let error = CliError::new(Exit::Failed, format!("there is no record of a run `{wanted}`"));
        let names = || records.iter().flat_map(|record| [record.id.as_str(), record.agent.as_str()]);
        let error = match nearest(wanted, names()) {
            Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
            None => error,
        };
        error.hint("see the runs there were: claude-bottle logs")
    })
}

fn view<'r>(app: &App, record: &'r Record) -> CliResult<RunView<'r>> {
    let directory = app.runs().dir(&record.id);
    let mut summary = summary::read(&directory)
        .with_context(|| format!("cannot read the decisions of run `{}`", record.id))?;
    let mut rejected = std::mem::take(&mut summary.rejected);
    rejected.retain(|rejected| !rejected.secrets.is_empty());
    Ok(RunView {
        id: &record.id,
        agent: &record.agent,
        bottle: &record.bottle,
        backend: &record.backend,
        name: &record.name,
        phase: record.phase,
        created_unix: record.created_unix,
        ended_unix: record.ended_unix,
        duration_seconds: record.ended_unix.map(|ended| ended.saturating_sub(record.created_unix)),
        exit_code: record.exit_code,
        workspace: record.workspace.as_deref(),
        owner: &record.owner,
        directory,
        requests_allowed: summary.allowed,
        requests_blocked: summary.blocked,
        timings: &record.timings,
        watcher: reaper::said(&app.runs(), &record.id),
        requests_failed: summary.failed,
        requests_own: summary.own,
        credentials_refused: rejected,
        requests_exact: summary.is_exact(),
        lines_dropped: summary.dropped.lines,
        summary,
    })
}

fn describe(view: &RunView<'_>, home: &Path) -> String {
    let number = |count| view.summary.number(count);
    let mut rows = vec![
        ("run", view.id.to_owned()),
        ("agent", view.agent.to_owned()),
        ("bottle", view.bottle.to_owned()),
        ("backend", view.backend.to_owned()),
        ("name", view.name.to_owned()),
        ("phase", phase(view.phase).to_owned()),
        ("began", format!("{} ago", age(view.created_unix))),
    ];
    rows.extend(view.duration_seconds.map(|seconds| ("took", lasting(seconds))));
    rows.extend(view.exit_code.map(|code| ("exit code", code.to_string())));
    rows.extend(view.workspace.map(|workspace| ("workspace", below_home(workspace, home))));
    let [allowed, blocked, failed] =
        [view.requests_allowed, view.requests_blocked, view.requests_failed].map(number);
    rows.push(("requests", format!("{allowed} allowed, {blocked} blocked, {failed} failed")));
    rows.push(("files", view.directory.display().to_string()));
    if view.requests_own > 0 {
        let text = format!("{} more, which the agent's program made by itself", view.requests_own);
        rows.push(("refused", text));
    }
    let refused = refused_credential::lines(&view.credentials_refused);
    rows.extend(refused.into_iter().map(|text| ("secret", text)));
    if !view.timings.is_empty() {
        let timing = |timing: &Timing| format!("{} {:.1} ms", timing.step, timing.millis);
        rows.push(("steps", view.timings.iter().map(timing).collect::<Vec<_>>().join(", ")));
    }
    if let Some(said) = &view.watcher {
        rows.push(("watcher", said.trim_end().replace('\n', "\n          ")));
    }
    let row = |(label, value): &(&str, String)| format!("{label:<10}{value}");
    clean(&rows.iter().map(row).collect::<Vec<_>>().join("\n")).into_owned()
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Creating => "creating",
        Phase::Running => "running",
        Phase::Unsaved => "unsaved",
        Phase::Kept => "kept",
        Phase::Ended => "ended",
    }
}

fn list(app: &App, format: Format, records: &[Record]) -> CliResult {
    let views = records.iter().map(|record| view(app, record)).collect::<CliResult<Vec<_>>>()?;
    if format == Format::Json {
        return Ok(app.ui.json(&views)?);
    }
    let row = |view: &RunView<'_>| {
        [
            view.id.to_owned(),
            view.agent.to_owned(),
            view.bottle.to_owned(),
            view.backend.to_owned(),
            phase(view.phase).to_owned(),
            age(view.created_unix),
            view.duration_seconds.map_or_else(|| "-".to_owned(), lasting),
            view.exit_code.map_or_else(|| "-".to_owned(), |code| code.to_string()),
            view.summary.number(view.requests_blocked),
        ]
    };
    let rows: Vec<_> = views.iter().map(row).collect();
    app.ui.data(&columns(
        ["RUN", "AGENT", "BOTTLE", "BACKEND", "PHASE", "AGE", "TOOK", "EXIT", "BLOCKED"],
        &rows,
    ));
    Ok(())
}

/// Says what a log no longer has, before the rest of it is shown.
fn tell_dropped(app: &App, directory: &Path) -> CliResult {
    let dropped = summary::dropped(directory)
        .with_context(|| format!("cannot read what the log in `{}` no longer has", directory.display()))?;
    if let Some(text) = (Summary { dropped, ..Summary::default() }).dropped_text() {
        app.ui.status(&text);
    }
    Ok(())
}

fn show_decisions(app: &App, record: &Record, format: Format) -> CliResult<ExitCode> {
    let directory = app.runs().dir(&record.id);
    tell_dropped(app, &directory)?;
    let mut tail = tail::Tail::new(&directory);
    let lines =
        tail.read_new().with_context(|| format!("cannot read the decisions in `{}`", directory.display()))?;
    if lines.is_empty() {
        let said = match record.phase.is_over() {
            true => "the run made no request",
            false => "no decision is recorded yet; add --follow to wait for the next",
        };
        app.ui.status(said);
    } else {
        Decisions::new(&app.ui, format, &record.id).show(&lines);
    }
    Ok(ExitCode::SUCCESS)
}
