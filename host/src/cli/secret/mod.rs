//! `secret`: the secrets that the guard of a running bottle holds.

mod set;

use super::App;
use crate::error::CliResult;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Give a secret of a running bottle another value
    Set(set::SetArgs),
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    match &args.what {
        What::Set(args) => set::run(app, args),
    }
}
