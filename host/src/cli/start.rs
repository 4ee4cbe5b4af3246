//! `start`: resolve, prepare, show, ask, launch, provision, execute, close.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use claude_bottle_plugin_api::{ExecRequest, ExecRole, ExitStatus, Failure, Plan, Spec};

use super::afterwards::{Ended, show_timings};
use super::info::resolve;
use super::open::Calls;
use super::{App, Format, usage};
use crate::backend::{Backend, Verb};
use crate::error::{CliResult, Exit, agent_exit};
use crate::manifest::{Agent, Bottle, nearest};
use crate::options::Options;
use crate::output;
use crate::plan_view::PlanView;
use crate::reaper::STAGE_PREFIX;
use crate::runs::{Phase, Record};
use crate::secrets;
use crate::session::Session;
use crate::spec::{self, Wishes};
use crate::streams::Streams;

/// The program that takes a prompt on its command line.
const PRINTING_PROGRAM: &str = "claude";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle start dev                       ask, then start the agent on this terminal
  claude-bottle start dev --cwd --yes           copy this directory in, and do not ask
  claude-bottle start dev --print 'run tests'   run once, and exit with the agent's code
  claude-bottle start dev --dry-run --format json

Exit codes:
  the agent's own, or 125 claude-bottle failed, 2 wrong command line, 130 interrupted")]
pub(super) struct Args {
    /// The agent, as the manifest names it
    agent: String,
    /// Copy the working directory into the bottle
    #[arg(long)]
    cwd: bool,
    /// Show the plan, and make nothing (also CLAUDE_BOTTLE_DRY_RUN=1)
    #[arg(long)]
    dry_run: bool,
    /// How the plan of a dry run is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Start without asking
    #[arg(short, long)]
    yes: bool,
    /// Get the image, or what it is built from, anew from its registry
    #[arg(long)]
    pull: bool,
    /// Build the image anew from its first step
    #[arg(long)]
    rebuild: bool,
    /// The backend to use, instead of CLAUDE_BOTTLE_BACKEND
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Run once with this prompt, without terminal or question, and print the answer
    #[arg(short, long, value_name = "PROMPT")]
    print: Option<String>,
    /// Let the session be controlled from elsewhere
    #[arg(long)]
    remote_control: bool,
    /// Show afterwards how long each step took
    #[arg(long)]
    timings: bool,
    /// Arguments for the agent, after those of the manifest
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    let dry_run = args.dry_run || app.invocation.switch("DRY_RUN");
    if args.format == Format::Json && !dry_run {
        return Err(usage("--format json is for dry runs").hint("add --dry-run"));
    }
    start(app, args, dry_run).map_err(|error| match error.exit {
        Exit::Failed => error.exit(Exit::Start),
        _ => error,
    })
}

fn start(app: &App, args: &Args, dry_run: bool) -> CliResult<ExitCode> {
    let manifest = app.manifest()?;
    let (agent, bottle) = resolve(&manifest, &args.agent)?;
    let backend = app.backend_name(args.backend.as_deref());
    let wishes = Wishes { options: options(args, bottle, backend), ..wishes(args, agent)? };
    warn_of_misspelt_backends(app, bottle, backend)?;
    let calls = Calls::new(app)?;
    let mut backend = app.open(backend, &calls)?;
    let stage =
        tempfile::Builder::new().prefix(STAGE_PREFIX).tempdir().context("make the stage directory")?;
    let spec = spec::build(&app.invocation, agent, bottle, &wishes, stage.path().to_owned())?;
    secrets::check(&app.invocation, bottle)?;
    let plan = prepare(&backend, &spec).map_err(|failure| wishes.options.locate(backend.name(), failure))?;
    let view = PlanView::new(backend.name(), &spec, &plan, args.remote_control);
    if dry_run {
        return show_dry_run(app, args.format, &view);
    }
    let will_ask = !args.yes && args.print.is_none();
    // Nobody agrees to what was not shown.
    if will_ask {
        app.ui.text(&view.text(&app.ui))
    } else {
        app.ui.say(&view.text(&app.ui))
    }
    if will_ask && !agreed(app, &calls)? {
        app.ui.status("aborted by user");
        return Ok(ExitCode::SUCCESS);
    }
    backend.grant(Arc::new(secrets::resolve(
        app_terminal(app, args),
        &app.invocation,
        bottle,
        &calls.interrupt,
    )?));
    let status = session(app, args, &backend, &spec, &plan, bottle)?;
    Ended { spec: &spec, bottle, status: &status }.report(app);
    if args.timings {
        show_timings(app, &calls);
    }
    stage.close().context("remove the stage directory")?;
    Ok(agent_exit(&status))
}

/// Adds what the command line says to the agent's own command.
fn wishes(args: &Args, agent: &Agent) -> CliResult<Wishes> {
    let mut arguments = args.arguments.clone();
    if let Some(prompt) = &args.print {
        let program = agent.command.first().map(String::as_str).unwrap_or_default();
        if program.rsplit('/').next() != Some(PRINTING_PROGRAM) {
            let message = format!(
                "--print is for agents that run `{PRINTING_PROGRAM}`; `{}` runs `{program}`",
                args.agent
            );
            return Err(usage(message).hint("pass arguments of its own after --, and add --yes"));
        }
        arguments.extend(["--print".to_owned(), prompt.clone()]);
    }
    if args.remote_control {
        arguments.push("--remote-control".to_owned());
    }
    Ok(Wishes { with_cwd: args.cwd, arguments, ..Wishes::default() })
}

/// Returns what the manifest and the command line set for the backend.
fn options(args: &Args, bottle: &Bottle, backend: &str) -> Options {
    let mut options = Options::of(bottle, backend);
    let flags = [("pull", args.pull), ("rebuild", args.rebuild)];
    flags.iter().filter(|(_, is_on)| *is_on).for_each(|(name, _)| options.switch_on(name));
    options
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

fn prepare(backend: &Backend, spec: &Spec) -> Result<Plan, Failure> {
    let spec = spec.clone();
    let plan = backend.call(Verb::PREPARE, move |opened, call| opened.prepare(call, &spec))?;
    backend.progress().clear();
    Ok(plan)
}

fn show_dry_run(app: &App, format: Format, view: &PlanView) -> CliResult<ExitCode> {
    match format {
        Format::Json => app.ui.json(view)?,
        Format::Text => {
            app.ui.text(&view.text(&app.ui));
            app.ui.status("dry-run requested; not starting container.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn agreed(app: &App, calls: &Calls) -> CliResult<bool> {
    app.confirm("claude-bottle: launch this agent?", "add --yes to start without asking", &calls.interrupt)
}

/// A run with --print never asks, also not for a secret.
fn app_terminal<'a>(app: &'a App, args: &Args) -> Option<&'a crate::ui::Ui> {
    (app.ui.interactive && args.print.is_none()).then_some(&app.ui)
}

fn session(
    app: &App,
    args: &Args,
    backend: &Backend,
    spec: &Spec,
    plan: &Plan,
    bottle: &Bottle,
) -> CliResult<ExitStatus> {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let record = Record {
        id: spec.id.clone(),
        backend: backend.name().to_owned(),
        agent: args.agent.clone(),
        bottle: bottle.name.to_string(),
        name: plan.name.clone(),
        owner: spec.owner.clone(),
        created_unix: created.as_secs(),
        phase: Phase::Creating,
        instance: None,
        stage: Some(spec.stage_dir.clone()),
    };
    let tty = args.print.is_none() && io::stdin().is_terminal() && output::stdout().is_terminal();
    let streams = Streams::new(args.print.is_some())?;
    let mut request = ExecRequest::new(spec.agent.command.clone(), ExecRole::Agent);
    request.tty = tty;
    request.term = std::env::var("TERM").ok();
    request.streams = streams.numbers();
    let session = Session { backend, runs: &app.runs(), exe: &app.invocation.exe, plan, record };
    session.run(request)
}
