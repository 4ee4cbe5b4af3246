//! `results`: the saved results there are, and whether they are what was saved.

use claude_bottle_plugin_api::EntryPath;
use serde::Serialize;

use super::size::size;
use super::table::age;
use super::{App, Format};
use crate::error::{CliError, CliResult, Exit};
use crate::results::model::{MarkKind, ResultState};
use crate::results::select::{is_from, select};
use crate::results::store::Saved;
use crate::results::verify::verify;
use crate::run::records::{Record, Runs};
use crate::ui::columns;

#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  claude-bottle results                 what bottles changed in this directory
  claude-bottle results --all           in every directory
  claude-bottle results verify          whether the newest of this directory is what was saved

A result is saved when a bottle ends that was started with --cwd. New ones stay until they are
discarded; of those that were applied the last 20 are kept."
)]
pub(super) struct Args {
    /// List the results of every directory
    #[arg(long)]
    all: bool,
    /// How the list is printed
    #[arg(long, value_enum, default_value_t, global = true)]
    format: Format,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Check that a result is what was saved: every byte of it, nothing missing, nothing added
    Verify {
        /// The result: its run, its bottle's name, or its agent for the newest; without it, this directory's newest
        run: Option<String>,
    },
}

/// A result, or a bottle whose work is not saved. Its keys are a contract.
#[derive(Serialize)]
struct Row<'r> {
    run: &'r str,
    agent: &'r str,
    bottle: &'r str,
    backend: &'r str,
    name: &'r str,
    directory: EntryPath,
    saved_unix: Option<u64>,
    files: Option<usize>,
    added: Option<u64>,
    removed: Option<u64>,
    state: State,
    marks: Vec<MarkKind>,
    bytes: Option<u64>,
    /// How large the files of its bottle are, if that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_bytes: Option<u64>,
    digest: Option<&'r str>,
    #[serde(skip)]
    since_unix: u64,
}

/// What a row says of its state.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    New,
    Applied,
    Undone,
    Resumed,
    /// The bottle is kept, since its work could not be saved.
    Unsaved,
}

impl From<ResultState> for State {
    fn from(state: ResultState) -> Self {
        match state {
            ResultState::New => Self::New,
            ResultState::Applied => Self::Applied,
            ResultState::Undone => Self::Undone,
            ResultState::Resumed => Self::Resumed,
        }
    }
}

impl<'r> Row<'r> {
    fn of(runs: &Runs, saved: &'r Saved) -> Self {
        let result = &saved.result;
        let sum = |counts: Vec<Option<u64>>| {
            counts.iter().any(Option::is_some).then(|| counts.iter().flatten().sum())
        };
        let mut marks: Vec<_> =
            result.files.iter().flat_map(|file| &file.marks).map(|mark| mark.mark).collect();
        marks.sort_unstable();
        marks.dedup();
        Self {
            run: &result.run,
            agent: &result.agent,
            bottle: &result.bottle,
            backend: &result.backend,
            name: &result.name,
            directory: EntryPath::new(&result.directory),
            saved_unix: Some(result.saved_unix),
            files: Some(result.files.len()),
            added: sum(result.files.iter().map(|file| file.added).collect()),
            removed: sum(result.files.iter().map(|file| file.removed).collect()),
            state: saved.state.into(),
            marks,
            bytes: Some(saved.bytes()),
            kept_bytes: runs.kept(&result.run).map(|_| result.kept.unwrap_or_default()),
            digest: Some(&result.digest),
            since_unix: result.saved_unix,
        }
    }

    fn unsaved(record: &'r Record) -> Option<Self> {
        Some(Self {
            run: &record.id,
            agent: &record.agent,
            bottle: &record.bottle,
            backend: &record.backend,
            name: &record.name,
            directory: EntryPath::new(&record.saves.as_ref()?.directory),
            saved_unix: None,
            files: None,
            added: None,
            removed: None,
            state: State::Unsaved,
            marks: Vec::new(),
            bytes: None,
            kept_bytes: None,
            digest: None,
            since_unix: record.created_unix,
        })
    }

    fn cells(&self) -> [String; 9] {
        let known = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let lines = self.added.zip(self.removed).map(|(added, removed)| format!("+{added} -{removed}"));
        let marks: Vec<_> = self.marks.iter().map(|mark| mark.word()).collect();
        let state = match self.state {
            State::New => "new",
            State::Applied => "applied",
            State::Undone => "undone",
            State::Resumed => "resumed",
            State::Unsaved => "unsaved",
        };
        let kept = if self.kept_bytes.is_some() { ", kept" } else { "" };
        let bytes = self.bytes.map(|bytes| bytes + self.kept_bytes.unwrap_or_default());
        [
            self.run.to_owned(),
            self.agent.to_owned(),
            self.directory.as_path().display().to_string(),
            age(self.since_unix),
            known(self.files.map(|files| files.to_string())),
            known(lines),
            format!("{state}{kept}"),
            if marks.is_empty() { "-".to_owned() } else { marks.join(",") },
            known(bytes.map(size)),
        ]
    }
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    match &args.what {
        None => list(app, args),
        Some(What::Verify { run }) => check(app, args.format, run.as_deref()),
    }
}

fn list(app: &App, args: &Args) -> CliResult {
    let here = if args.all { None } else { Some(app.invocation.here()?) };
    let mut saved = app.results().all()?;
    saved.retain(|saved| here.is_none_or(|here| is_from(saved, here)));
    let mut unsaved = app.runs().unsaved()?;
    let real = here.map(|here| here.canonicalize().unwrap_or_else(|_| here.to_owned()));
    unsaved.retain(|record| {
        let directory = record.saves.as_ref().map(|wanted| wanted.directory.as_path());
        directory.is_some_and(|directory| real.as_ref().is_none_or(|here| here.starts_with(directory)))
    });
    let runs = app.runs();
    let rows: Vec<_> = saved
        .iter()
        .map(|saved| Row::of(&runs, saved))
        .chain(unsaved.iter().filter_map(Row::unsaved))
        .collect();
    if args.format == Format::Json {
        return Ok(app.ui.json(&rows)?);
    }
    if rows.is_empty() {
        let all = if args.all { "" } else { " of this directory" };
        app.ui.status(&format!("there is no saved result{all}"));
        return Ok(());
    }
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    let header = ["RUN", "AGENT", "DIRECTORY", "AGE", "FILES", "LINES", "STATE", "MARKS", "SIZE"];
    app.ui.data(&columns(header, &cells));
    Ok(())
}

fn check(app: &App, format: Format, run: Option<&str>) -> CliResult {
    let saved = select(&app.results(), run, &app.invocation.cwd)?;
    let wrong = verify(&saved)?;
    if format == Format::Json {
        app.ui.json(&serde_json::json!({ "run": saved.result.run, "wrong": wrong }))?;
    } else {
        wrong.iter().for_each(|line| app.ui.data(line));
    }
    let run = &saved.result.run;
    if !wrong.is_empty() {
        let error = CliError::new(Exit::Failed, format!("the result `{run}` is not what was saved"));
        return Err(error.hint(format!("do not take it; remove it: claude-bottle discard {run}")));
    }
    app.ui.status(&format!("{run} is what was saved: {}", saved.result.digest));
    Ok(())
}
