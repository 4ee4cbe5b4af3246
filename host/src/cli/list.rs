//! `list`: the agents of the manifest; `list active`: the bottles that are running, across all backends.

use claude_bottle_plugin_api::{ActiveBottle, BottleState, Owner};
use serde::Serialize;

use super::app::Calls;
use super::ask::Missed;
use super::table::age;
use super::{App, Format};
use crate::error::CliResult;
use crate::run::backend::Verb;
use crate::ui::columns;

#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  claude-bottle list                   the agents of both manifests, and where each is defined
  claude-bottle list active            the bottles that run, across all backends
  claude-bottle list active --format json | jq -r '.[].name'"
)]
pub(super) struct Args {
    /// How the list is printed
    #[arg(long, value_enum, default_value_t, global = true)]
    format: Format,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the bottles that are running, across all backends
    Active,
    /// List the agents of the manifest
    Agents,
}

#[derive(Serialize)]
struct AgentRow {
    agent: String,
    bottle: String,
    skills: Vec<String>,
    defined: String,
}

/// A bottle that exists, and which backend it is of.
pub(super) struct ActiveRow {
    pub(super) backend: String,
    pub(super) bottle: ActiveBottle,
}

/// The same for programs. Its keys are a contract; what the backend keeps for itself is not among them.
#[derive(Serialize)]
struct ActiveView<'r> {
    id: &'r str,
    name: &'r str,
    agent: &'r str,
    bottle: &'r str,
    backend: &'r str,
    state: BottleState,
    created_unix: u64,
    owner: Option<&'r Owner>,
}

impl<'r> From<&'r ActiveRow> for ActiveView<'r> {
    fn from(ActiveRow { backend, bottle }: &'r ActiveRow) -> Self {
        Self {
            id: &bottle.id,
            name: &bottle.name,
            agent: &bottle.agent,
            bottle: &bottle.bottle,
            backend,
            state: bottle.state,
            created_unix: bottle.created_unix,
            owner: bottle.owner.as_ref(),
        }
    }
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    match args.what {
        Some(What::Active) => list_active(app, args.format),
        _ => list_agents(app, args.format),
    }
}

fn list_agents(app: &App, format: Format) -> CliResult {
    let manifest = app.manifest()?;
    let rows: Vec<AgentRow> = manifest
        .agents()
        .map(|agent| AgentRow {
            agent: agent.name.to_string(),
            bottle: agent.bottle.to_string(),
            skills: agent.skills.iter().map(|skill| skill.name.to_string()).collect(),
            defined: agent.origin.to_string(),
        })
        .collect();
    if format == Format::Json {
        return Ok(app.ui.json(&rows)?);
    }
    let row =
        |row: &AgentRow| [row.agent.clone(), row.bottle.clone(), row.skills.join(", "), row.defined.clone()];
    let rows: Vec<_> = rows.iter().map(row).collect();
    app.ui.data(&columns(["AGENT", "BOTTLE", "SKILLS", "DEFINED"], &rows));
    Ok(())
}

fn list_active(app: &App, format: Format) -> CliResult {
    let (rows, missed) = active(app)?;
    if format == Format::Json {
        app.ui.json(&rows.iter().map(ActiveView::from).collect::<Vec<_>>())?;
        return missed.into_result();
    }
    if rows.is_empty() {
        missed.into_result()?;
        app.ui.status("no bottle is running");
        return Ok(());
    }
    let row = |row: &ActiveRow| {
        let bottle = &row.bottle;
        [
            bottle.name.clone(),
            bottle.agent.clone(),
            bottle.bottle.clone(),
            row.backend.clone(),
            state(bottle.state).to_owned(),
            // A backend that does not know says 0.
            if bottle.created_unix == 0 { "-".to_owned() } else { age(bottle.created_unix) },
            bottle
                .owner
                .as_ref()
                .map_or_else(|| "-".to_owned(), |owner| format!("{}@{}", owner.pid, owner.host)),
        ]
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    app.ui.data(&columns(["NAME", "AGENT", "BOTTLE", "BACKEND", "STATE", "AGE", "OWNER"], &rows));
    missed.into_result()
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
pub(super) fn active(app: &App) -> CliResult<(Vec<ActiveRow>, Missed)> {
    let calls = Calls::new(app)?;
    let (mut rows, mut missed) = (Vec::new(), Missed::default());
    for candidate in app.candidates()? {
        let listed = candidate.ask(app, &calls, &mut missed, |backend| {
            Ok(backend.call(Verb::LIST_ACTIVE, |opened, call| opened.list_active(call))?)
        });
        let bottles = listed.into_iter().flat_map(|(_, bottles)| bottles);
        rows.extend(bottles.map(|bottle| ActiveRow { backend: candidate.name.clone(), bottle }));
    }
    calls.progress.clear();
    Ok((rows, missed))
}
