//! `list active` and `ps`: the bottles that are running, across all backends; and how a command finds the one that is meant.

use std::collections::HashMap;
use std::path::Path;

use claude_bottle_plugin_api::{ActiveBottle, BottleState, Owner};
use serde::Serialize;

use super::app::Calls;
use super::ask::Missed;
use super::selection::{Called, only};
use super::table::{age, below_home};
use super::{App, Format};
use crate::egress::summary;
use crate::error::CliResult;
use crate::run::backend::Verb;
use crate::run::hold::client::is_attached;
use crate::run::hold::socket;
use crate::run::records::{Phase, Record};
use crate::ui::columns;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle ps                     the same as claude-bottle list active
  claude-bottle ps --format json | jq -r '.[].name'")]
pub(super) struct Args {
    /// How the list is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A bottle that exists, and which backend it is of.
pub(super) struct ActiveRow {
    pub(super) backend: String,
    pub(super) bottle: ActiveBottle,
    /// Its run; none where it was started under another home.
    record: Option<Record>,
}

impl Called for ActiveRow {
    fn name(&self) -> &str {
        self.record.as_ref().map_or(&self.bottle.name, |record| &record.name)
    }

    fn agent(&self) -> &str {
        &self.bottle.agent
    }

    fn created_unix(&self) -> u64 {
        self.record.as_ref().map_or(self.bottle.created_unix, |record| record.created_unix)
    }

    fn is_called(&self, wanted: &str) -> bool {
        [self.name(), &self.bottle.name, &self.bottle.id].contains(&wanted)
    }
}

/// The same for programs. Its keys are a contract; what the backend keeps for itself is not among them.
#[derive(Serialize)]
struct ActiveView<'r> {
    id: &'r str,
    name: &'r str,
    /// What the backend calls it.
    backend_name: &'r str,
    agent: &'r str,
    bottle: &'r str,
    backend: &'r str,
    state: BottleState,
    /// Of a session that survives its terminal: `attached` or `detached`.
    session: Option<&'static str>,
    created_unix: u64,
    workspace: Option<&'r Path>,
    requests_blocked: Option<u64>,
    owner: Option<&'r Owner>,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    list(app, args.format)
}

/// Lists the bottles that are running.
pub(super) fn list(app: &App, format: Format) -> CliResult {
    let (rows, missed) = active(app)?;
    let views: Vec<_> = rows.iter().map(|row| view(app, row)).collect();
    if format == Format::Json {
        app.ui.json(&views)?;
        return missed.into_result();
    }
    if rows.is_empty() {
        missed.into_result()?;
        app.ui.status("no bottle is running");
        return Ok(());
    }
    let rows: Vec<_> = views.iter().map(|view| cells(view, &app.invocation.home)).collect();
    let heads = ["NAME", "AGENT", "BOTTLE", "BACKEND", "STATE", "AGE", "BLOCKED", "WORKSPACE", "OWNER"];
    app.ui.data(&columns(heads, &rows));
    missed.into_result()
}

fn view<'r>(app: &App, row: &'r ActiveRow) -> ActiveView<'r> {
    let ActiveRow { backend, bottle, record } = row;
    ActiveView {
        id: &bottle.id,
        name: row.name(),
        backend_name: &bottle.name,
        agent: &bottle.agent,
        bottle: &bottle.bottle,
        backend,
        state: bottle.state,
        session: record.as_ref().and_then(|record| session(app, record)),
        created_unix: row.created_unix(),
        workspace: record.as_ref().and_then(|record| record.workspace.as_deref()),
        requests_blocked: record.as_ref().and_then(|record| blocked(app, record)),
        owner: bottle.owner.as_ref(),
    }
}

/// Returns how many requests were refused until now. A log that cannot be read hides no bottle.
fn blocked(app: &App, record: &Record) -> Option<u64> {
    match summary::read(&app.runs().dir(&record.id)) {
        Ok(summary) => Some(summary.blocked),
        Err(error) => {
            app.ui.warning(&format!("cannot read the decisions of run `{}`: {error}", record.id));
            None
        }
    }
}

fn cells(view: &ActiveView<'_>, home: &Path) -> [String; 9] {
    let unknown = || "-".to_owned();
    [
        view.name.to_owned(),
        view.agent.to_owned(),
        view.bottle.to_owned(),
        view.backend.to_owned(),
        view.session.unwrap_or_else(|| state(view.state)).to_owned(),
        if view.created_unix == 0 { unknown() } else { age(view.created_unix) },
        view.requests_blocked.map_or_else(unknown, |blocked| blocked.to_string()),
        view.workspace.map_or_else(unknown, |workspace| below_home(workspace, home)),
        view.owner.map_or_else(unknown, |owner| format!("{}@{}", owner.pid, owner.host)),
    ]
}

/// Asks the holder of a session whether a terminal is attached. One that does not answer hides no bottle.
fn session(app: &App, record: &Record) -> Option<&'static str> {
    let asked = socket::connect(&app.runs().dir(&record.id));
    match asked.and_then(|stream| stream.as_ref().map(is_attached).transpose()) {
        Ok(answer) => answer.map(|is_attached| if is_attached { "attached" } else { "detached" }),
        Err(error) => {
            tracing::debug!(%error, run = record.id, "ask the holder");
            None
        }
    }
}

fn state(state: BottleState) -> &'static str {
    match state {
        BottleState::Creating => "creating",
        BottleState::Created => "created",
        BottleState::Running => "running",
        BottleState::Stopped => "stopped",
        _ => "unknown",
    }
}

/// Asks every backend that may have bottles, and says which could not be asked.
fn active(app: &App) -> CliResult<(Vec<ActiveRow>, Missed)> {
    let calls = Calls::new(app)?;
    let (mut rows, mut missed) = (Vec::new(), Missed::default());
    for candidate in app.candidates()? {
        let listed = candidate.ask(app, &calls, &mut missed, |backend| {
            Ok(backend.call(Verb::LIST_ACTIVE, |opened, call| opened.list_active(call))?)
        });
        let bottles = listed.into_iter().flat_map(|(_, bottles)| bottles);
        rows.extend(bottles.map(|bottle| (candidate.name.clone(), bottle)));
    }
    calls.progress.clear();
    let records = app.runs().all()?.into_iter().map(|record| (record.id.clone(), record));
    let mut records: HashMap<_, _> = records.collect();
    // Of one that is kept there are files alone.
    rows.retain(|(_, bottle)| records.get(&bottle.id).is_none_or(|record| record.phase != Phase::Kept));
    let row = |(backend, bottle): (String, ActiveBottle)| {
        let record = records.remove(&bottle.id);
        ActiveRow { backend, bottle, record }
    };
    Ok((rows.into_iter().map(row).collect(), missed))
}

/// Finds a bottle by its name, its run's id, or its agent when only one runs.
pub(super) fn find(app: &App, wanted: &str) -> CliResult<ActiveRow> {
    let (rows, missed) = active(app)?;
    if !rows.iter().any(|row| row.is_called(wanted) || row.agent() == wanted) {
        missed.into_result()?;
    }
    only(rows, wanted)
}
