//! `resume`: go on from a saved result in a new bottle of the same agent.

use std::process::ExitCode;

use claude_bottle_plugin_api::Workspace;

use super::App;
use super::start::{Flags, Request, begin, of_start};
use crate::error::{CliError, CliResult, Exit};
use crate::results::select::select;
use crate::results::store::Saved;
use crate::run::records::Phase;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle resume                         go on from the newest result of this directory
  claude-bottle resume fixer-1a2b3c4d          from the result of one run
  claude-bottle resume fixer --backend docker  on another backend than before
  claude-bottle resume fixer --print 'go on'   run once, and exit with the agent's code

A new bottle is started under the policy and with the image of today: with this directory as it is
now, over it what the agent had changed, its commits and its sessions. Nothing is written here.
Of a bottle that was kept (start --keep, stop --keep) also what git ignores comes along.")]
pub(super) struct Args {
    /// The result: its run, its bottle's name, or its agent for the newest; left out, the newest of this directory
    run: Option<String>,
    /// Save what git ignores too
    #[arg(long)]
    ignored: bool,
    /// Keep the bottle's files when it ends, for the next resume
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    flags: Flags,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    let dry_run = args.flags.is_dry_run(app)?;
    let resume = || {
        let saved = find(app, args.run.as_deref())?;
        let result = &saved.result;
        // Whoever chose a backend before would choose it again.
        let chosen = args.flags.backend.as_deref().or_else(|| app.invocation.setting("BACKEND"));
        let request = Request {
            agent: &result.agent,
            backend: chosen.unwrap_or(&result.backend),
            workspace: Some(workspace(&saved)?),
            saves: true,
            ignored: args.ignored,
            commits: false,
            applies: false,
            keeps: args.keep,
            resumes: Some(&saved),
            flags: &args.flags,
        };
        begin(&app.at(&result.directory.join(&result.origin.below)), &request, dry_run)
    };
    resume().map_err(of_start)
}

/// Finds the result, and says of a bottle that has none yet what can be done.
fn find(app: &App, wanted: Option<&str>) -> CliResult<Saved> {
    let found = select(&app.results(), wanted, &app.invocation.cwd);
    let (Err(_), Some(wanted)) = (&found, wanted) else { return found };
    let open = app.runs().all()?;
    let is_wanted = |record: &&crate::run::records::Record| {
        (record.id == wanted || record.name == wanted) && record.saves.is_some()
    };
    match open.iter().rfind(is_wanted).map(|record| (record.phase, &record.id)) {
        Some((Phase::Unsaved, run)) => {
            let message = format!("the work of `{run}` is not saved, and its bottle is kept");
            Err(CliError::new(Exit::Failed, message).hint(format!("save it first: claude-bottle save {run}")))
        }
        Some((Phase::Creating | Phase::Running, run)) => {
            let message = format!("the bottle of `{run}` has not ended");
            Err(CliError::new(Exit::Failed, message).hint(format!("end it first: claude-bottle stop {run}")))
        }
        _ => found,
    }
}

/// Returns the directory that the result is of, as it is today.
fn workspace(saved: &Saved) -> CliResult<Workspace> {
    let result = &saved.result;
    let directory = &result.directory;
    if !directory.is_dir() {
        let message = format!("the directory `{}` of `{}` is gone", directory.display(), result.run);
        let look = format!("see what was saved of it: claude-bottle diff {}", result.run);
        return Err(CliError::new(Exit::Failed, message).hint(look));
    }
    let mut workspace = Workspace::new(directory);
    let below = &result.origin.below;
    if directory.join(below).is_dir() {
        workspace.start.clone_from(below);
    }
    Ok(workspace)
}
