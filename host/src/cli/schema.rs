//! `schema`: the manifest's JSON schema, for editors.

use super::App;
use crate::error::CliResult;
use crate::manifest;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  claude-bottle schema > claude-bottle.schema.json
  # yaml-language-server: $schema=./claude-bottle.schema.json   (first line of claude-bottle.yaml)")]
pub(super) struct Args {}

pub(super) fn run(app: &App, _args: &Args) -> CliResult {
    Ok(app.ui.json(&manifest::schema())?)
}
