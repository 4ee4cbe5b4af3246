//! `verify`: what a bottle of one's own manifest keeps from its agent, tried from inside on this machine.
//!
//! The bottle is the one that `start` would make, with three differences: nothing but the probe runs in it, every secret is a word of
//! chance, and its limits are small enough to be tried.

mod canaries;
mod inside;
mod listener;
mod rows;

use std::process::ExitCode;

use serde::Serialize;

use super::app::Calls;
use super::{App, Format, settings, usage};
use crate::error::{CliResult, Exit};
use crate::manifest::listed;
use crate::ui::{clean, columns};
use rows::{Here, Row};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle verify dev
  claude-bottle verify dev --backend bubblewrap
  claude-bottle verify dev --format json | jq '.rows[] | select(.here == \"fails\")'

Starts a bottle of the agent's, in which only a program of claude-bottle runs: it tries what the bottle is
to keep from an agent. No value of a secret goes in. docs/security.md has the claims by their names.

Exit codes: 0 when no claim fails here, 1 when one does.")]
pub(super) struct Args {
    /// The agent, as the manifest names it; not needed when there is one alone
    agent: Option<String>,
    /// The backend, in place of the usual one
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The document of `--format json`. Its keys are a contract.
#[derive(Serialize)]
struct View<'r> {
    agent: &'r str,
    bottle: &'r str,
    backend: &'r str,
    runtime: Option<&'r str>,
    rows: &'r [Row],
}

pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    verify(app, args).map_err(|error| match error.exit {
        // That is the code of a start, which an agent of its own has.
        Exit::Start => error.exit(Exit::Failed),
        _ => error,
    })
}

fn verify(app: &App, args: &Args) -> CliResult<ExitCode> {
    let manifest = app.manifest()?;
    let agents: Vec<_> = manifest.agents().map(|agent| agent.name.as_str()).collect();
    let name = match (&args.agent, agents.as_slice()) {
        (Some(name), _) => name.as_str(),
        (None, [only]) => only,
        (None, all) => {
            let text = format!("which agent? The manifest has {}", listed(all.iter().copied()));
            return Err(usage(text).hint("name one: claude-bottle verify AGENT"));
        }
    };
    let (agent, bottle) = super::info::resolve(&manifest, name)?;
    let calls = Calls::new(app)?;
    let mut backend = app.open(app.backend_name(args.backend.as_deref()), &calls)?;
    settings::check(app, &backend)?;
    let tried = inside::tried(app, &calls, &mut backend, (agent, bottle))?;
    calls.progress.clear();
    let rows = rows::judge(&tried);
    match args.format {
        Format::Json => app.ui.json(&View {
            agent: name,
            bottle: bottle.name.as_str(),
            backend: backend.name(),
            runtime: tried.runtime.as_deref(),
            rows: &rows,
        })?,
        Format::Text => tell(app, &rows),
    }
    let fails = rows.iter().any(|row| row.here == Here::Fails);
    Ok(if fails { Exit::Failed.into() } else { ExitCode::SUCCESS })
}

/// Prints the table, and below it what was found where a claim fails.
fn tell(app: &App, rows: &[Row]) {
    let cells = |row: &Row| {
        let here = match row.here {
            Here::Holds => "holds".to_owned(),
            Here::Fails => "FAILS".to_owned(),
            Here::NotTried => format!("not tried: {}", row.because.as_deref().unwrap_or_default()),
        };
        [row.id.to_owned(), row.claim.to_owned(), here]
    };
    app.ui.data(&columns(["NAME", "CLAIM", "HERE"], &rows.iter().map(cells).collect::<Vec<_>>()));
    for row in rows.iter().filter(|row| row.here == Here::Fails) {
        row.found.iter().for_each(|found| app.ui.data(&clean(&format!("{}: {found}", row.id))));
    }
    let count = |here: Here| rows.iter().filter(|row| row.here == here).count();
    let (held, failed, rest) = (count(Here::Holds), count(Here::Fails), count(Here::NotTried));
    app.ui.status(&format!("{held} hold, {failed} fail, {rest} not tried"));
}
