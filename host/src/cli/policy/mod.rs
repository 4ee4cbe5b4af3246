//! `policy`: what an agent may reach, asked of the manifest or of a bottle that is running, and changed while it runs.

mod asked;
mod change;
mod check;
pub(in crate::cli) mod running;
mod save;
mod show;
mod suggest;

use std::process::ExitCode;

use claude_bottle_egress_policy::Effect;

use super::App;
use crate::error::CliResult;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say whether an agent may reach a host or a URL, and by which rule
    Check(check::CheckArgs),
    /// List the rules of a running bottle, or of an agent in the manifest
    Show(show::ShowArgs),
    /// Let a running bottle reach a host, until it ends
    Allow(change::ChangeArgs),
    /// Refuse a host to a running bottle, until it ends; open connections to it end
    Deny(change::ChangeArgs),
    /// List what bottles wait for an answer to
    Asked(asked::AskedArgs),
    /// Print the manifest's lines that would have let through what a run was refused, or add them
    Suggest(suggest::SuggestArgs),
}

pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    let done = |result: CliResult| result.map(|()| ExitCode::SUCCESS);
    match &args.what {
        What::Check(args) => check::run(app, args),
        What::Show(args) => done(show::run(app, args)),
        What::Allow(args) => done(change::run(app, args, Effect::Allow)),
        What::Deny(args) => done(change::run(app, args, Effect::Deny)),
        What::Asked(args) => done(asked::run(app, args)),
        What::Suggest(args) => done(suggest::run(app, args)),
    }
}
