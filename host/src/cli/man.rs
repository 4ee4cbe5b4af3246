//! `completions` and `man`: made from the command line's own definition.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap_complete::Shell;

use super::{App, complete};
use crate::error::CliResult;

/// The program's name.
const NAME: &str = "claude-bottle";

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

pub(super) fn completions(app: &App, args: &CompletionsArgs, command: &clap::Command) -> CliResult {
    if let Some(script) = complete::script(args.shell) {
        app.ui.data(script.trim_end());
        return Ok(());
    }
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut shown(command), NAME, &mut script);
    let script = String::from_utf8(script).context("cannot read the completions")?;
    app.ui.data(&script);
    Ok(())
}

/// Returns the commands that are for users.
pub(super) fn shown(command: &clap::Command) -> clap::Command {
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
    let mut shown = clap::Command::new(NAME).version(env!("CARGO_PKG_VERSION"));
    shown = shown.args(command.get_arguments().cloned());
    shown.subcommands(commands.cloned())
}

pub(super) fn pages(args: &ManArgs, command: clap::Command) -> CliResult {
    let directory = &args.directory;
    fs::create_dir_all(directory).with_context(|| format!("cannot make `{}`", directory.display()))?;
    clap_mangen::generate_to(command, directory)
        .with_context(|| format!("cannot write the manual pages into `{}`", directory.display()))?;
    Ok(())
}
