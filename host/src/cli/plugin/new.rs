//! `plugin new`: the crate of a new backend.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::App;
use crate::error::{CliError, CliResult};
use crate::plugins::scaffold::{Api, ScaffoldError};
use crate::plugins::{scaffold, shown};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle plugin new shed                 write ./claude-bottle-backend-shed
  claude-bottle plugin new shed --path ../shed  write it elsewhere

The crate builds, loads and keeps every rule of the contract before a line of it is changed.")]
pub(super) struct Args {
    /// The backend's name: a lower-case letter, then letters, digits and hyphens
    name: String,
    /// Where to write it [default: ./claude-bottle-backend-NAME]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// A directory with claude-bottle-plugin-api, instead of the registry's
    #[arg(long, value_name = "PATH")]
    api: Option<PathBuf>,
}

pub(super) fn run(app: &App, args: Args) -> CliResult {
    let directory = args.path.unwrap_or_else(|| format!("claude-bottle-backend-{}", args.name).into());
    let api = match args.api {
        Some(path) => Api::Directory(crate_in(&path)?),
        None => Api::of(&app.invocation.exe),
    };
    let written = scaffold(&directory, &args.name, &api).map_err(failure)?;
    app.ui.status(&format!("wrote {} files to {}", written.len(), shown(&directory)));
    app.ui.status(&format!("next: cd {} && cargo test", shown(&directory)));
    Ok(())
}

/// Returns a crate's directory without links: a relative one would mean something else in the new crate.
fn crate_in(path: &Path) -> CliResult<PathBuf> {
    let missing = || format!("cannot find the crate claude-bottle-plugin-api in `{}`", shown(path));
    path.join("Cargo.toml").canonicalize().with_context(missing)?;
    Ok(path.canonicalize().with_context(missing)?)
}

fn failure(error: ScaffoldError) -> CliError {
    match error {
        ScaffoldError::Name(error) => error.into(),
        error @ ScaffoldError::Exists { .. } => {
            CliError::from(anyhow::Error::new(error)).hint("add --path DIR to write it elsewhere")
        }
        error => anyhow::Error::new(error).into(),
    }
}
