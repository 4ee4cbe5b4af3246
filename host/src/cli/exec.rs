//! `exec`: run a program in a bottle that is running.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use claude_bottle_plugin_api::{ExecRequest, ExecRole};

use super::App;
use super::active::find;
use super::app::Calls;
use crate::error::{CliResult, Exit, agent_exit};
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
