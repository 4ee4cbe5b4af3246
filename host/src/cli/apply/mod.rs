//! `apply`: write what a run changed into the directory it came from, all of it or nothing; and undo that.

mod agree;
mod at_once;
mod said;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::App;
use super::diff::{chosen, find};
use crate::error::{CliError, CliResult, Exit};
use crate::results::apply::Session;
use crate::results::apply::plan::Plan;
use crate::results::commits;
use crate::results::contents::Contents;
use crate::results::escape;
use crate::results::git::branch::{self, BranchError};
use crate::results::model::{Change, MarkKind};
use crate::results::render::{self, Style};
use crate::results::store::Saved;
use crate::ui::interrupt::Interrupt;
pub(super) use at_once::at_once;

use agree::{agree, agree_to_marks, agree_to_merges, count};
use said::{conflicts, explain, named, recover, report, tell};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle apply                         the newest result of this directory
  claude-bottle apply fixer-1a2b3c4d src      of one run, what is below src
  claude-bottle apply --dry-run               show what would be written, and write nothing
  claude-bottle apply -y --accept steers      without a question, also what steers agents
  claude-bottle apply --unmarked              only what needs no word of its own
  claude-bottle apply --3way                  merge what changed here since, too
  claude-bottle apply --branch fixer/login    one commit on a branch of its own
  claude-bottle apply --branch x --commits    the agent's own commits, of a start with --commits
  claude-bottle apply --undo                  back to how it was before

Nothing is written when a file here changed since it was copied in. The index and the commits of git are never touched.")]
pub(super) struct Args {
    /// The run: its id, its bottle's name, or its agent; left out, the newest of this directory
    run: Option<String>,
    /// Only what is at or below these paths
    paths: Vec<PathBuf>,
    /// Show what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Write without asking; what is marked needs --accept as well
    #[arg(short, long)]
    yes: bool,
    /// Take files with these marks too
    #[arg(long, value_name = "MARK", value_enum, value_delimiter = ',')]
    accept: Vec<Accept>,
    /// Leave files with marks out
    #[arg(long, conflicts_with = "accept")]
    unmarked: bool,
    /// Merge files that changed on both sides
    #[arg(long = "3way", conflicts_with = "undo")]
    three_way: bool,
    /// Make a branch with one commit in place of writing files; work tree and index stay as they are
    #[arg(long, value_name = "NAME", conflicts_with_all = ["undo", "to", "three_way", "dry_run"])]
    branch: Option<String>,
    /// Make the branch of the agent's own commits
    #[arg(long, requires = "branch", conflicts_with_all = ["paths", "unmarked"])]
    commits: bool,
    /// Write into this directory in place of the one it came from
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Go back to how it was before, where files are still as they were written
    #[arg(long, conflicts_with_all = ["paths", "accept", "unmarked"])]
    undo: bool,
}

/// A mark, as it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Accept {
    // Plain comments: a value with a help text of its own would turn each help into its long form.
    // Runs by itself on this machine.
    Runs,
    // Read as instructions by agents on this machine.
    Steers,
    // Not what it looks like, or takes something along.
    Odd,
    // Merged, with conflict markers.
    Conflicts,
}

impl Accept {
    fn mark(self) -> Option<MarkKind> {
        match self {
            Self::Runs => Some(MarkKind::Runs),
            Self::Steers => Some(MarkKind::Steers),
            Self::Odd => Some(MarkKind::Odd),
            Self::Conflicts => None,
        }
    }
}

pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    let (saved, paths) = find(app, args.run.as_deref(), &args.paths)?;
    if let Some(name) = &args.branch {
        if args.commits {
            return branch_of_commits(app, args, &saved, name);
        }
        return branch(app, args, &saved, &paths, name);
    }
    let directory = match &args.to {
        Some(to) => app.invocation.here()?.join(to),
        None => saved.result.directory.clone(),
    };
    let mut session = Session::open(&saved, &directory).map_err(|error| explain(error, &saved))?;
    if !args.dry_run {
        recover(app, &mut session, &saved)?;
    } else if session.is_cut_off() {
        app.ui.warning(
            "an earlier `apply` was cut off; what it wrote is taken back first, and is in the way here",
        );
    }
    if args.undo {
        return undo(app, args, &saved, &mut session);
    }
    let files = chosen(app, &saved, &paths)?;
    let files = wanted(app, args, files, !paths.is_empty());
    let mut plan = session.plan(&files);
    let merged = match args.three_way {
        true => session.merge(&mut plan, &files).map_err(|error| explain(error, &saved))?,
        false => Vec::new(),
    };
    if !plan.conflicts.is_empty() {
        return Err(conflicts(&plan, &saved, args.three_way));
    }
    let written = written(&files, &plan);
    if args.dry_run {
        return dry_run(app, &plan, &written);
    }
    if plan.steps.is_empty() {
        session.apply(&plan).map_err(|error| explain(error, &saved))?;
        app.ui.status("there is nothing to write: all of it is here already");
        return Ok(ExitCode::SUCCESS);
    }
    let place = escape::name(session.directory().as_os_str().as_encoded_bytes());
    agree_to_marks(app, args, &saved, &written)?;
    agree_to_merges(app, args, &saved, &merged)?;
    agree(app, args, &saved, &written, &format!("write {} to {place}?", count(written.len())))?;
    let outcome = session.apply(&plan).map_err(|error| explain(error, &saved))?;
    report(app, &saved, &session, &outcome, &args.to);
    Ok(ExitCode::SUCCESS)
}

/// Leaves out what is not taken: marked files where that is asked for, and withheld ones that are not named.
fn wanted<'r>(app: &App, args: &Args, files: Vec<&'r Change>, is_named: bool) -> Vec<&'r Change> {
    let (files, withheld): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| is_named || !file.withheld);
    for file in withheld {
        let name = escape::name(file.path.as_bytes());
        app.ui.say(&format!("left out: {name}, which the copy leaves out too; to take it, name it"));
    }
    let (files, marked): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| !args.unmarked || file.marks.is_empty());
    if !marked.is_empty() {
        app.ui.say(&format!("left out: {}", named(&marked)));
    }
    files
}

/// Returns the changes that a plan writes, the marked ones first.
fn written<'r>(files: &[&'r Change], plan: &Plan) -> Vec<&'r Change> {
    let paths: BTreeSet<&Path> = plan.steps.iter().map(|step| step.path.as_path()).collect();
    let is_written = |file: &&&Change| paths.contains(file.path.as_path());
    render::sorted(&files.iter().filter(is_written).copied().collect::<Vec<_>>())
}

fn dry_run(app: &App, plan: &Plan, written: &[&Change]) -> CliResult<ExitCode> {
    let style = Style { color: app.ui.data_color };
    written.iter().for_each(|file| app.ui.data(&render::heading(file, style)));
    app.ui.say(&format!("{}; nothing was written", render::summary(written)));
    if plan.already > 0 {
        app.ui.say(&format!("{} paths are already as the agent left them", plan.already));
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a branch with one commit.
fn branch(app: &App, args: &Args, saved: &Saved, paths: &[PathBuf], name: &str) -> CliResult<ExitCode> {
    let files = wanted(app, args, chosen(app, saved, paths)?, !paths.is_empty());
    if files.is_empty() {
        app.ui.status("there is nothing to keep");
        return Ok(ExitCode::SUCCESS);
    }
    agree_to_marks(app, args, saved, &files)?;
    let shown = escape::name(name.as_bytes());
    agree(app, args, saved, &files, &format!("make the branch {shown} with {}?", count(files.len())))?;
    let directory = &saved.result.directory;
    let run = &saved.result.run;
    let committer = crate::git::identity(directory).ok_or_else(|| {
        let error = CliError::new(Exit::Failed, "git does not know who commits are by");
        error.hint("tell it: git config --global user.name NAME; git config --global user.email ADDRESS")
    })?;
    let contents = Contents::new(&saved.dir);
    let made = branch::make(&saved.result, &files, &contents, name, &committer);
    let commit = made.map_err(|error| no_branch(error, run))?;
    app.ui.say(&format!("made the branch {shown} with {}: {commit}", count(files.len())));
    Ok(ExitCode::SUCCESS)
}

/// Makes a branch of the agent's own commits.
fn branch_of_commits(app: &App, args: &Args, saved: &Saved, name: &str) -> CliResult<ExitCode> {
    let run = &saved.result.run;
    let Some(commits) = &saved.result.commits else {
        let error = CliError::new(Exit::Failed, format!("`{run}` has no commits of the agent's"));
        return Err(
            error.hint("they are kept when that is asked for: claude-bottle start AGENT --cwd --commits")
        );
    };
    agree_to_marks(app, args, saved, &commits.marked.iter().collect::<Vec<_>>())?;
    let shown = escape::name(name.as_bytes());
    let noun = if commits.count == 1 { "1 commit" } else { &format!("{} commits", commits.count) };
    agree(app, args, saved, &[], &format!("make the branch {shown} with {noun} of the agent's?"))?;
    let text = saved.dir.join(commits::FILE);
    let made = branch::make_of_commits(&saved.result, &text, name);
    let commit = made.map_err(|error| no_branch(error, run))?;
    app.ui.say(&format!("made the branch {shown} with {noun} of the agent's: {commit}"));
    match commits.apart_count {
        Some(0) => {}
        Some(count) => {
            let names: Vec<_> =
                commits.apart.iter().take(5).map(|path| escape::name(path.as_bytes())).collect();
            let more = if count > 5 { ", …" } else { "" };
            let names = names.join(", ");
            app.ui.warning(&format!("{count} paths are not the same there as in the result: {names}{more}"));
        }
        None => app.ui.warning("the commits begin at an older one, and were not compared with the result"),
    }
    Ok(ExitCode::SUCCESS)
}

fn no_branch(error: BranchError, run: &str) -> CliError {
    let hint = match &error {
        BranchError::Exists(_) | BranchError::Name(_) => "name another one".to_owned(),
        BranchError::Commits(_) | BranchError::Elsewhere(_) => {
            format!("take the changes as one commit: claude-bottle apply {run} --branch NAME")
        }
        _ => format!("write the files, and commit them yourself: claude-bottle apply {run}"),
    };
    CliError::from(anyhow::Error::new(error)).hint(hint)
}

fn undo(app: &App, args: &Args, saved: &Saved, session: &mut Session<'_>) -> CliResult<ExitCode> {
    let (plan, changed) = session.plan_undo();
    if args.dry_run {
        let path = |path: &Path| escape::name(path.as_os_str().as_encoded_bytes());
        plan.steps.iter().for_each(|step| app.ui.data(&path(step.path.as_path())));
        changed.iter().for_each(|changed| app.ui.say(&format!("{} stays: it changed since", path(changed))));
        return Ok(ExitCode::SUCCESS);
    }
    if plan.steps.is_empty() && changed.is_empty() {
        app.ui.status("there is nothing to undo");
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes {
        let place = escape::name(session.directory().as_os_str().as_encoded_bytes());
        let hint = format!("to undo without a question: claude-bottle apply {} --undo -y", saved.result.run);
        let question = format!("undo {} in {place}?", count(plan.steps.len()));
        let interrupt = Interrupt::install()?;
        if !app.confirm(&question, &hint, &interrupt)? {
            return Err(CliError::new(Exit::Failed, "nothing was written"));
        }
    }
    let outcome = session.undo().map_err(|error| explain(error, saved))?;
    app.ui.say(&format!("undid {}", count(outcome.written)));
    tell(app, session, &outcome);
    for path in &outcome.changed_since {
        app.ui.warning(&format!(
            "{} stays: it changed since",
            escape::name(path.as_os_str().as_encoded_bytes())
        ));
    }
    Ok(if outcome.changed_since.is_empty() { ExitCode::SUCCESS } else { Exit::Failed.into() })
}
