//! `completions` and `man`: made from the command line's own definition.

mod manifest;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

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
    /// Where the pages go; made when it is missing. Next to a `man1`, that of the manifest goes to `man5`
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
        .and_then(|()| complete(directory))
        .and_then(|()| {
            let of_files = manifest_directory(directory);
            fs::create_dir_all(&of_files)?;
            fs::write(of_files.join("claude-bottle.yaml.5"), manifest::page())
        })
        .with_context(|| format!("cannot write the manual pages into `{}`", directory.display()))?;
    Ok(())
}

/// Returns where pages of files go: readers of pages look for those of another section in another directory.
fn manifest_directory(pages: &Path) -> PathBuf {
    if pages.ends_with("man1") { pages.with_file_name("man5") } else { pages.to_owned() }
}

/// What each page ends with.
const END: &str = "\
.SH FILES
.TP
claude\\-bottle.yaml
the manifest, in the home directory, and in the working directory or above
.TP
~/.config/claude\\-bottle/config.yaml
defaults of the command line
.TP
~/.local/state/claude\\-bottle/
records of runs, saved results, trust
";

/// Gives the pages the sections that the generator does not know.
fn complete(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let is_ours = name.starts_with(NAME) && name.ends_with(".1");
        let Some(page) = is_ours.then(|| fs::read_to_string(&path)).transpose()? else { continue };
        let also = if name == "claude-bottle.1" { "claude\\-bottle\\-start" } else { "claude\\-bottle" };
        let page = page.replace("\n.SH EXTRA\n", "\n.SH EXAMPLES\n");
        fs::write(
            &path,
            format!(
                "{}\n{END}.SH SEE ALSO\n.BR {also} (1),\n.BR claude\\-bottle.yaml (5)\n",
                one_line_name(&page).trim_end()
            ),
        )?;
    }
    Ok(())
}

/// Keeps the first paragraph of the section NAME, which indexes of pages read; the description has the rest.
fn one_line_name(page: &str) -> String {
    let Some((before, rest)) = page.split_once(".SH NAME\n") else { return page.to_owned() };
    let Some((name, after)) = rest.split_once(".SH ") else { return page.to_owned() };
    let name = name.split("\n\n").next().unwrap_or_default().trim_end();
    format!("{before}.SH NAME\n{name}\n.SH {after}")
}
