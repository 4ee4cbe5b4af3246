//! `start`: resolve, prepare, show, ask, launch, provision, execute, close.

mod flags;
mod held;
mod kept;
mod prepare;
mod running;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use claude_bottle_plugin_api::{Capability, Workspace};

use super::app::Calls;
use super::apply::at_once;
use super::info::resolve;
use super::report::{RunReport, show_timings};
use super::size::{size, size_of};
use super::work::{show_kept, show_work};
use super::{App, Format, settings, token, usable, usage};
use crate::egress;
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::{Bottle, listed, nearest};
use crate::results::resume::Resumed;
use crate::results::store::Saved;
use crate::run::backend::Backend;
use crate::run::ending::Outcome;
use crate::run::intercept;
use crate::run::names;
use crate::run::plan_view::{Changes, PlanView};
use crate::run::secrets;
use crate::run::spec::StartOptions;
use crate::run::workspace;
use crate::ui::Answer;
use crate::{run::owner, run::stage};

pub(super) use flags::Flags;
pub(super) use held::leave;
pub(super) use kept::check as check_keeps;
pub(super) use prepare::{Prepared, prepared};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle start dev                       ask, then start the agent on this terminal
  claude-bottle start dev --cwd --yes           copy this directory in, and do not ask
  claude-bottle start dev --print 'run tests'   run once, and exit with the agent's code
  claude-bottle start dev --name parser         then: claude-bottle exec parser -- bash
  claude-bottle start dev --dry-run --format json

Exit codes:
  the agent's own, or 125 claude-bottle failed, 2 wrong command line, 130 interrupted")]
pub(super) struct Args {
    /// The agent, as the manifest names it
    #[arg(value_name = "AGENT")]
    agent: Option<String>,
    /// Copy in the working directory or its repository, or exactly DIR
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    cwd: Option<Option<PathBuf>>,
    /// Save nothing of what the agent changes in the copy
    #[arg(long, requires = "cwd")]
    no_save: bool,
    /// Save what git ignores too
    #[arg(long, requires = "cwd", conflicts_with = "no_save")]
    ignored: bool,
    /// Keep the agent's own commits: apply --branch NAME --commits
    #[arg(long, requires = "cwd", conflicts_with = "no_save")]
    commits: bool,
    /// Take what changed at once, where none of it needs a word of its own
    #[arg(long, requires = "cwd", conflicts_with = "no_save")]
    apply: bool,
    /// Keep the bottle's files when it ends, for resume
    #[arg(long, requires = "cwd", conflicts_with = "no_save")]
    keep: bool,
    #[command(flatten)]
    flags: Flags,
}

/// A run that is asked for.
pub(super) struct Request<'a> {
    /// The agent, as the manifest names it.
    pub(super) agent: &'a str,
    /// The backend.
    pub(super) backend: &'a str,
    /// The directory that comes along.
    pub(super) workspace: Option<Workspace>,
    /// Whether its changes are saved.
    pub(super) saves: bool,
    /// Whether what git ignores is saved too.
    pub(super) ignored: bool,
    /// Whether the agent's own commits are kept too.
    pub(super) commits: bool,
    /// Whether what changed is taken at once.
    pub(super) applies: bool,
    /// Whether the bottle's files are kept when it ends.
    pub(super) keeps: bool,
    /// The result that it goes on from.
    pub(super) resumes: Option<&'a Saved>,
    /// What else the command line says.
    pub(super) flags: &'a Flags,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    let dry_run = args.flags.is_dry_run(app)?;
    let start = || {
        let Some(agent) = args.agent.as_deref() else { return Err(which_agent(app)?) };
        let request = Request {
            agent,
            backend: app.backend_name(args.flags.backend.as_deref()),
            workspace: workspace(app, args)?,
            saves: !args.no_save,
            ignored: args.ignored,
            commits: args.commits,
            applies: args.apply,
            keeps: args.keep,
            resumes: None,
            flags: &args.flags,
        };
        begin(app, &request, dry_run)
    };
    start().map_err(of_start)
}

/// Makes the error of a start that names no agent: which there are.
fn which_agent(app: &App) -> CliResult<CliError> {
    let manifest = app.manifest()?;
    let names: Vec<_> = manifest.agents().map(|agent| agent.name.as_str()).collect();
    let error = usage(format!("which agent? The manifest has {}", listed(names.iter().copied())));
    Ok(match names.first() {
        Some(first) => error.hint(format!("claude-bottle start {first}")),
        None => error.hint("add one: claude-bottle init"),
    })
}

/// Gives a failure the exit code that no agent has.
pub(super) fn of_start(error: CliError) -> CliError {
    match error.exit {
        Exit::Failed => error.exit(Exit::Start),
        _ => error,
    }
}

/// Begins a run, and sees it to its end.
pub(super) fn begin(app: &App, request: &Request<'_>, dry_run: bool) -> CliResult<ExitCode> {
    let flags = request.flags;
    let manifest = app.manifest()?;
    let (agent, bottle) = resolve(&manifest, request.agent)?;
    if let Some(name) = &flags.name {
        names::check(name, &manifest, &app.runs().all()?, &app.results().names()?)?;
    }
    flags.check(agent)?;
    let wish = held::Wish::of(app, flags, agent);
    if !dry_run && wish.needs_holder(app) {
        return held::hold(app, flags, wish);
    }
    warn_of_misspelt_backends(app, bottle, request.backend)?;
    let calls = Calls::new(app)?;
    let mut backend = app.open(request.backend, &calls)?;
    settings::check(app, &backend)?;
    if request.keeps {
        kept::check(&backend, "--keep")?;
    }
    let changes = Changes::of(&backend, request.workspace.is_some(), (request.saves, request.keeps));
    let stage = stage::make(&owner::this_process())?;
    let resumed = request.resumes.map(|saved| resumed(app, &calls, &backend, saved, stage.path()));
    let resumed = resumed.transpose()?;
    let arguments = flags.arguments_of(agent, resumed.as_ref().is_some_and(|resumed| resumed.view.history));
    let (resumed, restore) = resumed.map(|resumed| (resumed.view, resumed.restore)).unzip();
    let wishes = StartOptions {
        workspace: request.workspace.clone(),
        arguments,
        options: flags.options(bottle, request.backend),
        saves: changes.is_some_and(Changes::are_saved),
        restore,
        name: flags.name.clone(),
        asks: flags.ask_hosts,
        token: None,
    };
    let Prepared { granted, egress, spec, plan } =
        prepared(app, &backend, (agent, bottle), &wishes, stage.path())
            .map_err(|error| usable::or_elsewhere(app, request.backend, &calls, error))?;
    let bottle = &granted.bottle;
    let view = PlanView::new(&backend, &spec, &plan, (flags.remote_control, changes))
        .resuming(resumed)
        .with_presets(&bottle.egress.presets)
        .with_policy(&egress.policy)
        .with_profile(agent)
        .with_secrets(&bottle.secrets, &egress.policy)
        .noting(secrets::note(bottle))
        .noting(granted.note())
        // Where no policy is enforced there is nothing to look into.
        .noting(granted.closed_note().filter(|_| backend.offers(&Capability::EGRESS)))
        .noting(token::note(app, &manifest, agent))
        .noting(intercept::note(bottle, &egress.policy))
        .named(flags.name.clone())
        .surviving(wish.survives);
    if dry_run {
        return show_dry_run(app, flags.format, &view);
    }
    let is_unenforced = !backend.offers(&Capability::EGRESS) && !flags.allow_unenforced_egress;
    if is_unenforced && !flags.will_ask(app) {
        return Err(unenforced(backend.name()));
    }
    // Nobody agrees to what was not shown.
    if flags.will_ask(app) {
        app.ui.text(&view.text(&app.ui))
    } else {
        app.ui.say(&view.text(&app.ui))
    }
    if flags.will_ask(app) && !agreed(app, &calls, &view, is_unenforced)? {
        app.ui.status("aborted by user");
        return Ok(ExitCode::SUCCESS);
    }
    backend.grant(Arc::new(secrets::resolve(
        flags.terminal(app),
        &app.invocation,
        &granted,
        egress.upstream.as_ref(),
        &calls.interrupt,
    )?));
    let policy = egress::policy_document(&spec.id, bottle, egress.policy)?;
    if wishes.saves {
        warn_of_full_store(app);
    }
    let ran = running::session(app, request, &backend, (&spec, agent), (&plan, &bottle.secrets), policy)?;
    let ending = match ran.result {
        Ok(ending) => ending,
        Err(error) => {
            show_work(app, &spec.id, &ran.work);
            return Err(error);
        }
    };
    RunReport { spec: &spec, agent, bottle, ending: &ending }.report(app);
    match &ran.work {
        Outcome::Saved(saved) if request.applies && !saved.result.files.is_empty() => {
            take(app, &ran.work, saved)
        }
        work => show_work(app, &spec.id, work),
    }
    if flags.timings {
        show_timings(app, &calls);
    }
    stage::remove(&stage.keep()).context("cannot remove the temporary directory")?;
    Ok(running::exit(&ending, &ran.work))
}

/// Takes what changed at once; what is left to the user is said as ever, and why. How the agent ended stays what counts.
fn take(app: &App, work: &Outcome, saved: &Saved) {
    let run = &saved.result.run;
    let why = match at_once(app, saved) {
        Ok(None) => return show_kept(app, &saved.result),
        Ok(Some(why)) => why,
        Err(error) => format!("{:#}", error.error),
    };
    show_work(app, run, work);
    app.ui.warning(&format!("nothing was taken: {why}"));
}

/// Makes ready what the bottle goes on from, unless the backend cannot lay it.
fn resumed(app: &App, calls: &Calls, backend: &Backend, saved: &Saved, stage: &Path) -> CliResult<Resumed> {
    if !backend.offers(&Capability::RESUME) {
        let (name, run) = (backend.name(), &saved.result.run);
        let message = format!("the {name} backend does not offer `resume`: it cannot go on from `{run}`");
        return Err(CliError::new(Exit::Failed, message)
            .hint(format!("name another backend: claude-bottle resume {run} --backend NAME"))
            .hint(format!("or take the changes, and start again from there: claude-bottle apply {run}")));
    }
    kept::staged(app, calls, saved, stage)
}

/// Says that results take much room, and which takes the most.
fn warn_of_full_store(app: &App) {
    let runs = app.runs();
    match app.results().over_bound(|run| runs.kept(run).is_some()) {
        Ok(None) => {}
        Ok(Some((bytes, largest))) => {
            let (size, run, largest) = (size(bytes), &largest.result.run, size_of(&largest));
            app.ui.warning(&format!("saved results take {size}; the largest is `{run}` with {largest}"));
            app.ui.hint(&format!(
                "take it or remove it: claude-bottle apply {run}, claude-bottle discard {run}"
            ));
        }
        // It may be mended until the agent has ended; if not, the bottle is kept.
        Err(error) => app.ui.warning(&format!("saved results cannot be read: {error:#}")),
    }
}

/// Finds the directory that is to come along, and says what does not.
fn workspace(app: &App, args: &Args) -> CliResult<Option<Workspace>> {
    let Some(named) = &args.cwd else { return Ok(None) };
    if named.as_ref().is_none_or(|path| path.is_relative()) {
        app.invocation.here()?;
    }
    let found = workspace::find(&app.invocation, named.as_deref())?;
    if let Some(warning) = &found.warning {
        app.ui.warning(warning);
    }
    Ok(Some(found.workspace))
}

/// Options for another backend have no effect, which is what their author meant unless its name is misspelt.
fn warn_of_misspelt_backends(app: &App, bottle: &Bottle, backend: &str) -> CliResult {
    let others: BTreeSet<_> = bottle.options.iter().map(|option| option.backend.as_str()).collect();
    let others: Vec<_> = others.into_iter().filter(|name| *name != backend).collect();
    if others.is_empty() {
        return Ok(());
    }
    let known = app.loadable()?;
    for name in others.into_iter().filter(|name| !known.iter().any(|known| known == name)) {
        if let Some(near) = nearest(name, known.iter().map(String::as_str)) {
            let text =
                format!("options for `{name}` have no effect: no such backend; did you mean `{near}`?");
            app.ui.warning(&text);
        }
    }
    Ok(())
}

fn show_dry_run(app: &App, format: Format, view: &PlanView) -> CliResult<ExitCode> {
    match format {
        Format::Json => app.ui.json(view)?,
        Format::Text => {
            app.ui.text(&view.details(&app.ui));
            app.ui.status("dry-run requested; nothing was started.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks for consent; who asks for the details sees them, and is asked again.
fn agreed(app: &App, calls: &Calls, view: &PlanView, is_unenforced: bool) -> CliResult<bool> {
    let (question, hint) = if is_unenforced {
        let question = "claude-bottle: launch this agent, with an egress policy that nothing enforces?";
        (question, "add --yes --allow-unenforced-egress to start without asking")
    } else {
        ("claude-bottle: launch this agent?", "add --yes to start without asking")
    };
    if app.ui.verbose {
        return app.confirm(question, hint, &calls.interrupt);
    }
    let mut typed = app.choose(question, "y/N, d for details", hint, &calls.interrupt)?;
    while matches!(typed.as_str(), "d" | "D" | "details") {
        app.ui.text(&view.details(&app.ui));
        typed = app.choose(question, "y/N", hint, &calls.interrupt)?;
    }
    Ok(Answer::of(&typed) == Answer::Yes)
}

/// Makes the error of a start that agreed to what it does, and not to this.
fn unenforced(backend: &str) -> CliError {
    let message = format!("the {backend} backend does not enforce the egress policy, which needs your word");
    CliError::new(Exit::Failed, message)
        .hint("add --allow-unenforced-egress, or name a backend that enforces it: --backend docker")
}
