//! `plugin`: list, pin, check and begin backend plug-ins.

pub(super) mod case;
mod check;
mod list;
mod new;
mod pin;

use std::process::ExitCode;

use super::{App, Format, usage};
use crate::error::CliResult;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the plug-ins that are found, without running any of their code
    List(list::Args),
    /// Accept a plug-in only with the content it has now
    Pin(pin::Args),
    /// Accept a plug-in with any content again
    Unpin(pin::Args),
    /// Run the conformance tests on a plug-in
    Check(check::Args),
    /// Create a new backend crate
    New(new::Args),
}

pub(super) fn run(app: &App, args: Args) -> CliResult<ExitCode> {
    match args.what {
        What::List(args) => list::run(app, &args)?,
        What::Pin(args) => pin::pin(app, &args)?,
        What::Unpin(args) => pin::unpin(app, &args)?,
        What::New(args) => new::run(app, args)?,
        What::Check(args) => return check::run(app, &args),
    }
    Ok(ExitCode::SUCCESS)
}
