//! `edit`: the manifest in the user's editor. A copy is edited, judged, and only then put in the old file's place.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use tempfile::NamedTempFile;

use super::App;
use super::written::{self, Written};
use crate::error::{CliError, CliResult, Exit};
use crate::ui::Answer;
use crate::ui::interrupt::Interrupt;

/// What opens when the user has chosen none, as POSIX has it for `crontab -e` and others.
const DEFAULT_EDITOR: &str = "vi";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle edit                       the manifest of the home directory
  claude-bottle edit --here                that of the project: of this directory, or above
  EDITOR='code --wait' claude-bottle edit  in another editor

Environment:
  VISUAL, EDITOR   the editor, with arguments if it needs some (default: that of config.yaml, else vi)

What you write is checked before it takes the old file's place. When it is wrong, the old file
stays, and what you wrote is kept beside it.")]
pub(super) struct Args {
    /// Use the manifest of the project, in this directory or above, instead of the home directory's
    #[arg(long)]
    here: bool,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let target = Written::read(app, args.here)?;
    let editor = editor(app);
    if editor == DEFAULT_EDITOR && !app.ui.interactive {
        let message = format!("`{DEFAULT_EDITOR}` needs a terminal, and standard input is not one");
        return Err(CliError::new(Exit::Failed, message)
            .hint("run it on a terminal, or choose an editor that needs none: export EDITOR=…"));
    }
    let interrupt = Interrupt::install()?;
    let copy = copy_of(&target)?;
    loop {
        open_editor(&editor, copy.path())?;
        if interrupt.triggered() {
            return Err(CliError::new(Exit::Interrupted, "interrupted; nothing was changed"));
        }
        let text =
            fs::read(copy.path()).with_context(|| format!("cannot read `{}`", copy.path().display()))?;
        if text == target.old {
            app.ui.status("nothing was changed");
            return Ok(());
        }
        let Err(error) = target.judge(app, &text) else {
            let saved = written::text(&text, copy.path()).and_then(|text| target.save(app, text));
            return saved.map_err(|error| kept(copy, error));
        };
        if !app.ui.interactive {
            return Err(refused(&target, copy, error));
        }
        app.ui.error(&error);
        match app.ui.ask("edit again?", &interrupt)? {
            Some(Answer::Yes) => {}
            Some(Answer::No) => {
                let error = CliError::new(Exit::Failed, "the new manifest was not saved");
                return Err(refused(&target, copy, error));
            }
            None => return Err(refused(&target, copy, CliError::new(Exit::Interrupted, "interrupted"))),
        }
    }
}

/// Makes the copy that is edited, readable by the user alone and named so that editors know what it is.
fn copy_of(target: &Written) -> CliResult<NamedTempFile> {
    let extension = target.path.extension().and_then(|extension| extension.to_str()).unwrap_or("yaml");
    let directory = target.path.parent().unwrap_or(Path::new("."));
    let make = || -> io::Result<NamedTempFile> {
        let suffix = format!(".{extension}");
        let copy =
            tempfile::Builder::new().prefix(".claude-bottle-edit-").suffix(&suffix).tempfile_in(directory)?;
        fs::write(copy.path(), &target.old)?;
        Ok(copy)
    };
    Ok(make().with_context(|| format!("cannot copy `{}` for the editor", target.path.display()))?)
}

fn editor(app: &App) -> OsString {
    let chosen = |name| env::var_os(name).filter(|editor| !editor.is_empty());
    let chosen = chosen("VISUAL").or_else(|| chosen("EDITOR"));
    chosen
        .or_else(|| app.defaults.editor.clone().map(OsString::from))
        .unwrap_or_else(|| DEFAULT_EDITOR.into())
}

/// Runs the editor through the shell, since the variable may hold arguments, as git does it.
fn open_editor(editor: &OsStr, file: &Path) -> CliResult {
    let mut script = editor.to_owned();
    script.push(" \"$@\"");
    let status = Command::new("sh").arg("-c").arg(script).arg(editor).arg(file).status();
    let status = status.with_context(|| format!("cannot run the editor `{}`", editor.display()))?;
    if status.success() {
        return Ok(());
    }
    let message = format!("the editor `{}` failed ({status}); nothing was changed", editor.display());
    Err(CliError::new(Exit::Failed, message).hint("choose another: export EDITOR=nano"))
}

/// Leaves the manifest as it was.
fn refused(target: &Written, copy: NamedTempFile, error: CliError) -> CliError {
    kept(copy, error.hint(format!("`{}` is as it was", target.path.display())))
}

/// Keeps what was written, so that the work is not lost.
fn kept(copy: NamedTempFile, error: CliError) -> CliError {
    match copy.keep() {
        Ok((_, path)) => error.hint(format!("what you wrote is in `{}`", path.display())),
        Err(lost) => error.also(anyhow::Error::new(lost).context("cannot keep what you wrote").into()),
    }
}
