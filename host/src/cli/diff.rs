//! `diff`: show what a run changed, without taking it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::App;
use super::app::Calls;
use super::save;
use crate::error::{CliError, CliResult, Exit};
use crate::results::apply::into;
use crate::results::contents::Contents;
use crate::results::escape;
use crate::results::model::{Change, SavedResult};
use crate::results::render::{self, Style};
use crate::results::save::Most;
use crate::results::select::{select, select_files};
use crate::results::store::{Saved, Store};
use crate::results::wanted::choose;
use crate::run::ending::Outcome;
use crate::run::records::Phase;
use crate::ui::output;
use crate::ui::pager::Pager;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle diff                          the newest result of this directory
  claude-bottle diff fixer --stat             the newest result of the agent `fixer`, one line a file
  claude-bottle diff fixer-1a2b3c4d src       of one run, what is below src
  claude-bottle diff --into /tmp/review       old and new files, for another tool
  claude-bottle diff --format patch > x.patch a patch for git apply, byte for byte

Files that need a word of their own before they are applied come first, with the reason.")]
pub(super) struct Args {
    /// The run: its id, its bottle's name, or its agent; left out, the newest of this directory
    run: Option<String>,
    /// Only what is at or below these paths
    paths: Vec<PathBuf>,
    /// One line a file
    #[arg(long, conflicts_with_all = ["name_only", "left_out", "into"])]
    stat: bool,
    /// Only the names
    #[arg(long, conflicts_with_all = ["left_out", "into"])]
    name_only: bool,
    /// What is not part of the changes, and why
    #[arg(long, conflicts_with = "into")]
    left_out: bool,
    /// How to print: for people, for programs, for `git apply`
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, conflicts_with = "into")]
    format: Format,
    /// Write the old and new files below a new directory, as `old` and `new`
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
    Patch,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    let now = running(app, args.run.as_deref())?;
    let (saved, paths) = match &now {
        Now::NotRunning => find(app, args.run.as_deref(), &args.paths)?,
        Now::Changed { saved, .. } => (saved.as_ref().clone(), args.paths.clone()),
        Now::Unchanged => {
            app.ui.status("no file changed until now");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let files = chosen(app, &saved, &paths)?;
    let contents = Contents::new(&saved.dir);
    if let Some(into) = &args.into {
        return write_into(app, into, &files, &contents);
    }
    match args.format {
        Format::Patch => patch(app, &files, &contents)?,
        Format::Json => {
            let files = files.into_iter().cloned().collect();
            app.ui.json(&SavedResult { files, ..saved.result.clone() })?;
        }
        Format::Text if args.left_out => {
            let lines = render::left_out(&saved.result.left_out, &saved.result.files);
            lines.iter().for_each(|line| app.ui.data(line));
        }
        Format::Text if args.name_only => {
            files.iter().for_each(|file| app.ui.data(&escape::name(file.path.as_bytes())));
        }
        Format::Text => text(app, args, &saved, &files, &contents)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What a bottle that runs has changed until now.
enum Now {
    /// The word names no bottle that runs, or a result that is saved.
    NotRunning,
    Unchanged,
    /// A moment's view, in a store of its own that goes with this value.
    Changed {
        saved: Box<Saved>,
        _dir: tempfile::TempDir,
    },
}

/// Looks at a bottle that runs.
fn running(app: &App, wanted: Option<&str>) -> CliResult<Now> {
    let Some(wanted) =
        wanted.filter(|wanted| select(&app.results(), Some(wanted), &app.invocation.cwd).is_err())
    else {
        return Ok(Now::NotRunning);
    };
    let Some(record) = save::find(app, wanted).ok().filter(|record| record.phase == Phase::Running) else {
        return Ok(Now::NotRunning);
    };
    let dir = tempfile::Builder::new().prefix("claude-bottle-diff-").tempdir();
    let dir = dir.context("make a directory for the bottle's changes")?;
    let calls = Calls::new(app)?;
    let backend = app.open(&record.backend, &calls)?;
    let store = Store::new(dir.path());
    let outcome = save::moment(app, &backend, &record, (&store, &record.id), Most::default());
    calls.progress.clear();
    match outcome? {
        Outcome::Saved(saved) if saved.result.has_work() => {
            app.ui.status("the bottle goes on: this is a moment of it, in which a file may be half written");
            Ok(Now::Changed { saved, _dir: dir })
        }
        _ => Ok(Now::Unchanged),
    }
}

/// Finds the result. The first word is a path where no result has that name and the newest of this directory has that path.
pub(super) fn find(app: &App, run: Option<&str>, paths: &[PathBuf]) -> CliResult<(Saved, Vec<PathBuf>)> {
    let store = app.results();
    let here = &app.invocation.cwd;
    let named = select_files(&store, run, here);
    if let (Err(_), Some(word)) = (&named, run)
        && let Ok(newest) = select_files(&store, None, here)
    {
        let paths: Vec<_> = std::iter::once(PathBuf::from(word)).chain(paths.iter().cloned()).collect();
        if choose(&newest.result, &paths, here).is_ok() {
            return Ok((newest, paths));
        }
    }
    Ok((named?, paths.to_vec()))
}

/// Returns the changes that the paths name.
pub(super) fn chosen<'r>(app: &App, saved: &'r Saved, paths: &[PathBuf]) -> CliResult<Vec<&'r Change>> {
    let run = &saved.result.run;
    choose(&saved.result, paths, &app.invocation.cwd).map_err(|error| {
        let error = CliError::from(anyhow::Error::new(error));
        error.hint(format!("see which paths there are: claude-bottle diff {run} --name-only"))
    })
}

fn text(app: &App, args: &Args, saved: &Saved, files: &[&Change], contents: &Contents) -> CliResult {
    let style = Style { color: app.ui.data_color };
    let mut pager = Pager::start(&app.ui, app.invocation.host_variable("PAGER"));
    let shown = if args.stat {
        let all: String =
            render::sorted(files).into_iter().map(|file| render::heading(file, style)).collect();
        pager.show(&all);
        Ok(())
    } else {
        render::text(files, contents, style, &mut |piece| pager.show(piece))
    };
    pager.end().context("wait for the pager")?;
    shown.with_context(|| format!("read the result of run `{}`", saved.result.run))?;
    app.ui.say(&render::summary(files));
    let left_out = render::left_out(&saved.result.left_out, &saved.result.files);
    if !left_out.is_empty() {
        app.ui.say(&format!("left out: {} more; see them with --left-out", left_out.len()));
    }
    Ok(())
}

fn patch(app: &App, files: &[&Change], contents: &Contents) -> CliResult {
    if app.ui.stdout_terminal {
        let error = CliError::new(
            Exit::Failed,
            "a patch has the agent's bytes as they are, which can drive a terminal",
        );
        return Err(error.hint("write it to a file: claude-bottle diff --format patch > changes.patch"));
    }
    let mut out = std::io::BufWriter::new(output::Stdout);
    let missing = render::patch::patch(files, contents, &mut out)
        .and_then(|missing| std::io::Write::flush(&mut out).map(|()| missing))
        .context("write the patch")?;
    for path in missing {
        let name = escape::name(path.as_os_str().as_encoded_bytes());
        app.ui.warning(&format!(
            "{name} is not in the patch: git has no word for it, or its old contents are not kept"
        ));
    }
    Ok(())
}

fn write_into(app: &App, into: &Path, files: &[&Change], contents: &Contents) -> CliResult<ExitCode> {
    let into = app.invocation.here()?.join(into);
    let missing = into::write(&into, files, contents).map_err(|error| {
        let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
        let error = anyhow::Error::new(error).context(format!("write the files below `{}`", into.display()));
        let hint = if exists { "name a directory that does not exist" } else { "" };
        CliError::from(error).hint(hint)
    })?;
    for path in missing {
        let name = escape::name(path.as_os_str().as_encoded_bytes());
        app.ui.warning(&format!("the old contents of {name} are not kept"));
    }
    app.ui.status(&format!("wrote {0}/old and {0}/new", into.display()));
    Ok(ExitCode::SUCCESS)
}
