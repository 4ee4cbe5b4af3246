//! `hold`: has the terminal on which a `start` runs that survives its user's.

use std::fs::File;
use std::os::unix::net::UnixStream;

use anyhow::Context;

use super::App;
use crate::error::CliResult;
use crate::run::hold;

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(app: &App) -> CliResult {
    // What is typed at the user's terminal is not meant for this process, and its end is not this process's.
    rustix::process::setsid().context("cannot leave the session of the terminal")?;
    let first = rustix::stdio::stdin().try_clone_to_owned().context("cannot take the first connection")?;
    let nothing = File::open("/dev/null").context("cannot open `/dev/null`")?;
    rustix::stdio::dup2_stdin(nothing).context("cannot give up standard input")?;
    Ok(hold::serve(&app.invocation.exe, &app.runs(), UnixStream::from(first))
        .context("cannot hold the session")?)
}
