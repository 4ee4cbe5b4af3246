//! `list`: the agents of the manifest; `list active`: the bottles that are running, across all backends.

use serde::Serialize;

use super::{App, Format, active};
use crate::error::CliResult;
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

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    match args.what {
        Some(What::Active) => active::list(app, args.format),
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
    for name in manifest.broken() {
        app.ui
            .warning(&format!("agent `{name}` has a problem and cannot be used: claude-bottle info {name}"));
    }
    if format == Format::Json {
        return Ok(app.ui.json(&rows)?);
    }
    let row =
        |row: &AgentRow| [row.agent.clone(), row.bottle.clone(), row.skills.join(", "), row.defined.clone()];
    let rows: Vec<_> = rows.iter().map(row).collect();
    app.ui.data(&columns(["AGENT", "BOTTLE", "SKILLS", "DEFINED"], &rows));
    Ok(())
}
