//! `completions` and `man`: made from the command line's own definition.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap_complete::Shell;

use super::App;
use crate::error::CliResult;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  claude-bottle completions bash > ~/.local/share/bash-completion/completions/claude-bottle
  claude-bottle completions zsh > \"${fpath[1]}/_claude-bottle\"
  claude-bottle completions fish > ~/.config/fish/completions/claude-bottle.fish")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  claude-bottle man ~/.local/share/man/man1 && man claude-bottle-start")]
pub(super) struct ManArgs {
    /// Where the pages go; made when it is missing
    directory: PathBuf,
}

pub(super) fn completions(app: &App, args: &CompletionsArgs, mut command: clap::Command) -> CliResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "claude-bottle", &mut script);
    app.ui.data(&String::from_utf8(script).context("read the completions")?);
    Ok(())
}

pub(super) fn pages(args: &ManArgs, command: clap::Command) -> CliResult {
    let directory = &args.directory;
    fs::create_dir_all(directory).with_context(|| format!("make `{}`", directory.display()))?;
    clap_mangen::generate_to(command, directory)
        .with_context(|| format!("write the manual pages into `{}`", directory.display()))?;
    Ok(())
}
