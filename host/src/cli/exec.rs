//! `exec`: run a program in a bottle that is running.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use claude_bottle_plugin_api::{ExecRequest, ExecRole};

use super::App;
use super::app::Calls;
use super::list::{ActiveRow, active};
use crate::error::{CliError, CliResult, Exit, agent_exit};
use crate::run::session;
use crate::run::surroundings;
use crate::ui::output;
use crate::ui::streams::Streams;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle exec dev -- bash
  claude-bottle exec claude-bottle-dev-2 -- git status

Exit codes: the program's own; 125 when claude-bottle failed.")]
pub(super) struct Args {
    /// The bottle: its name, its run's id, or its agent when only one runs
    bottle: String,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) fn run(app: &App, args: Args) -> CliResult<ExitCode> {
    exec(app, args).map_err(|error| error.exit(Exit::Start))
}

fn exec(app: &App, args: Args) -> CliResult<ExitCode> {
    let row = find(app, &args.bottle)?;
    let calls = Calls::new(app)?;
    let backend = app.open(&row.backend, &calls)?;
    let mut request = ExecRequest::new(args.command, ExecRole::Command);
    request.tty = io::stdin().is_terminal() && output::stdout().is_terminal();
    let streams = Streams::new(false)?;
    request.streams = streams.numbers();
    request.term = std::env::var("TERM").ok();
    request.env = surroundings::variables(request.tty);
    let status = session::exec(&backend, &row.bottle.record, request)?;
    Ok(agent_exit(&status))
}

/// Finds a bottle by its name, its run's id, or its agent when only one runs.
pub(super) fn find(app: &App, wanted: &str) -> CliResult<ActiveRow> {
    let (mut rows, missed) = active(app)?;
    let named = |row: &ActiveRow| row.bottle.name == wanted || row.bottle.id == wanted;
    if let Some(at) = rows.iter().position(named) {
        return Ok(rows.swap_remove(at));
    }
    let running = rows.iter().map(|row| row.bottle.name.clone()).collect::<Vec<_>>().join(", ");
    let mut of_agent: Vec<_> = rows.into_iter().filter(|row| row.bottle.agent == wanted).collect();
    match (of_agent.pop(), of_agent.len()) {
        (Some(row), 0) => Ok(row),
        (Some(_), more) => {
            let message = format!("agent `{wanted}` has {} bottles running", more + 1);
            Err(CliError::new(Exit::Failed, message).hint("name one of them: claude-bottle list active"))
        }
        (None, _) => {
            missed.into_result()?;
            let running =
                if running.is_empty() { "none is running".to_owned() } else { format!("running: {running}") };
            Err(CliError::new(Exit::Failed, format!("there is no bottle `{wanted}`; {running}"))
                .hint("claude-bottle list active"))
        }
    }
}
