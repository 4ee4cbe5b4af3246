//! The command line: one file a command, each with its arguments and a `run`.

mod active;
mod app;
mod apply;
mod arguments;
mod ask;
mod attach;
mod cleanup;
mod cluster;
mod complete;
mod diff;
mod discard;
mod doctor;
mod duration;
mod edit;
mod exec;
mod forward;
mod hold;
mod info;
mod init;
mod list;
mod logging;
mod logs;
mod man;
mod places;
mod plugin;
mod policy;
mod reap;
mod refused_credential;
mod report;
mod results;
mod resume;
mod save;
mod schema;
mod secret;
mod selection;
mod settings;
mod size;
mod start;
mod stop;
mod table;
mod token;
mod trust;
mod usable;
mod verify;
mod watch;
mod work;
mod written;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgAction, CommandFactory, Parser, Subcommand};

use crate::caller;
use crate::environment::Invocation;
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::Defaults;
use crate::run::hold::told::Told;
use crate::ui::{Color, Ui};

/// The heading of the flags that every command has.
const GLOBAL: &str = "Global options";

// No doc comment: a second paragraph would turn the help into its long form, which is no longer one screen.
#[derive(Debug, Parser)]
#[command(about = "\
Run a coding agent with full permissions in a disposable, isolated bottle

A bottle holds exactly what its manifest grants: skills, a prompt, environment variables, SSH keys,
an egress allowlist. When the session ends, the bottle is destroyed.")]
#[command(name = "claude-bottle", version, max_term_width = 100)]
#[command(after_help = "\
Examples:
  claude-bottle start dev                     start the agent `dev` of claude-bottle.yaml
  claude-bottle start dev --cwd --dry-run     show what would be made, and make nothing
  claude-bottle start dev --print 'fix it'    run once without a terminal
  claude-bottle policy check dev github.com   may `dev` reach github.com, and by which rule

Environment:
  CLAUDE_BOTTLE_BACKEND       the backend to use (default: docker)
  CLAUDE_BOTTLE_OAUTH_TOKEN   the token of Claude Code, which its agents use and cannot read
  CLAUDE_BOTTLE_PLUGIN_PATH   directories of plug-ins, searched first
  CLAUDE_BOTTLE_LOG           what to log, as `debug` or `plugin=trace`")]
struct Cli {
    /// Say more: the whole plan and the steps (-vv for details of these)
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = GLOBAL)]
    verbose: u8,
    /// Print results, warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    quiet: bool,
    /// When to use colour; NO_COLOR counts for `auto`
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t, help_heading = GLOBAL)]
    color: Color,
    /// Ignore the manifest of the project, in this directory or above
    #[arg(long, global = true, help_heading = GLOBAL)]
    no_project: bool,
    /// The process that holds this one's terminal
    #[arg(long, hide = true, value_name = "PIPE")]
    held: Option<std::path::PathBuf>,
    /// That terminal has no user yet
    #[arg(long, hide = true)]
    unattended: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start an agent in a bottle of its own
    #[command(visible_alias = "run")]
    Start(start::Args),
    /// List the agents of the manifest, or the bottles that are running
    #[command(visible_alias = "ls")]
    List(list::Args),
    /// List the bottles that are running: list active
    Ps(active::Args),
    /// Show what an agent is granted
    Info(info::Args),
    /// Add an agent to the manifest
    Init(init::Args),
    /// Edit the manifest (validated before saving)
    Edit(edit::Args),
    /// Attach to the session of a bottle that was started with --survive
    Attach(attach::Args),
    /// Wait for the end of a run, and exit with its agent's code
    Wait(attach::WaitArgs),
    /// Run a program in a bottle that is running
    Exec(exec::Args),
    /// Open a bottle's ports on this machine's loopback
    Forward(forward::Args),
    /// Watch all bottles on one screen, and answer what they ask for
    Watch(watch::Args),
    /// Stop a bottle: save its changes and remove it
    #[command(visible_alias = "rm")]
    Stop(stop::Args),
    /// List saved changes of agents
    Results(results::Args),
    /// Show what an agent changed
    Diff(diff::Args),
    /// Write an agent's changes into the directory they came from
    Apply(apply::Args),
    /// Go on from saved changes in a new bottle
    Resume(resume::Args),
    /// Save an agent's changes now
    Save(save::Args),
    /// Delete saved changes
    Discard(discard::Args),
    /// Show past runs and their network requests
    Logs(logs::Args),
    /// Remove leftovers of crashed runs
    Cleanup(cleanup::Args),
    /// Ask what the egress policy allows, or change it in a running bottle
    Policy(policy::Args),
    /// Give a secret of a running bottle another value: secret set
    Secret(secret::Args),
    /// Check which backends work here, and how to fix the others
    Doctor(doctor::Args),
    /// Try what a bottle keeps from its agent on this machine
    Verify(verify::Args),
    /// Manage backend plug-ins
    Plugin(plugin::Args),
    /// Print what a Kubernetes cluster needs for bottles: cluster manifest
    Cluster(cluster::Args),
    /// Trust this version of this directory's manifest
    Trust(trust::TrustArgs),
    /// Revoke trust in this directory's manifest
    Untrust(trust::UntrustArgs),
    /// Print the manifest's JSON schema
    Schema(schema::Args),
    /// Print completions for a shell
    Completions(man::CompletionsArgs),
    /// Write the manual pages into a directory
    Man(man::ManArgs),
    /// Say what fits where the cursor is, for the completions of shells
    #[command(hide = true)]
    Complete(complete::Args),
    /// Close the bottle of a run that was killed
    #[command(hide = true)]
    Reap(reap::Args),
    /// Hold the terminal of a session that survives its user's
    #[command(hide = true)]
    Hold(hold::Args),
    /// Run one case of the conformance kit
    #[command(hide = true)]
    PluginCase(plugin::case::Args),
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Format {
    // Plain comments: a value with a help text of its own would turn each help into its long form.
    // For people.
    #[default]
    Text,
    // For programs.
    Json,
}

/// What every command works with.
struct App {
    invocation: Invocation,
    ui: Ui,
    /// Whether the manifest of the project is left out.
    no_project: bool,
    /// What the user has set once and for all.
    defaults: Defaults,
    /// The process that holds this one's terminal, if one does.
    told: Option<Arc<Told>>,
}

impl App {
    /// Returns the same for another working directory; where that is gone, for this one.
    fn at(&self, directory: &std::path::Path) -> Self {
        let mut invocation = self.invocation.clone();
        if directory.is_dir() {
            (invocation.cwd, invocation.cwd_is_gone) = (directory.to_owned(), false);
        }
        let (ui, defaults, told) = (self.ui.clone(), self.defaults.clone(), self.told.clone());
        Self { invocation, ui, defaults, told, ..*self }
    }
}

/// Reads the command line, runs the command, reports its failure.
pub fn run() -> ExitCode {
    let cli = match arguments::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let invocation = match caller::forget().map_err(CliError::from).and_then(|()| Invocation::from_process())
    {
        Ok(invocation) => invocation,
        Err(error) => {
            Ui::new(cli.color, false, cli.quiet).error(&error);
            return Exit::Failed.into();
        }
    };
    let mut ui = Ui::new(cli.color, invocation.no_color, cli.quiet);
    ui.interactive &= !cli.unattended;
    ui.verbose = cli.verbose > 0;
    let (no_project, defaults) = (cli.no_project, Defaults::default());
    let mut app = App { invocation, ui, no_project, defaults, told: None };
    match cli.held.as_deref().map(Told::open).transpose() {
        Ok(told) => app.told = told.map(Arc::new),
        Err(error) => {
            app.ui.error(&error.into());
            return Exit::Start.into();
        }
    }
    // Its standard error is a file that is there to say what it could not do.
    let is_watcher = matches!(cli.command, Command::Reap(_));
    if let Err(error) = logging::start(&app.invocation, cli.verbose, is_watcher) {
        app.ui.error(&error);
        return error.exit.into();
    }
    if let Err(error) = app.read_defaults(&cli.command) {
        app.ui.error(&error);
        return error.exit.into();
    }
    match dispatch(&app, cli.command).and_then(|code| output_is_whole(&app.ui).map(|()| code)) {
        Ok(code) => code,
        Err(error) => {
            let advice = places::advice(&app.invocation, &error.error).unwrap_or_default();
            let error = error.hint(advice);
            app.ui.error(&error);
            error.exit.into()
        }
    }
}

/// Returns the definition of the command line: for manual pages, completions, and tests of the documentation.
pub fn definition() -> clap::Command {
    Cli::command()
}

fn dispatch(app: &App, command: Command) -> CliResult<ExitCode> {
    let done = |result: CliResult| result.map(|()| ExitCode::SUCCESS);
    match command {
        Command::Start(args) => start::run(app, &args),
        Command::Resume(args) => resume::run(app, &args),
        Command::Exec(args) => exec::run(app, args),
        Command::Attach(args) => attach::run(app, &args),
        Command::Wait(args) => attach::wait(app, &args),
        Command::Forward(args) => forward::run(app, &args),
        Command::Diff(args) => diff::run(app, &args),
        Command::Apply(args) => apply::run(app, &args),
        Command::Logs(args) => logs::run(app, &args),
        Command::Policy(args) => policy::run(app, &args),
        Command::Doctor(args) => doctor::run(app, &args),
        Command::Verify(args) => verify::run(app, &args),
        Command::Plugin(args) => plugin::run(app, args),
        Command::List(args) => done(list::run(app, &args)),
        Command::Ps(args) => done(active::run(app, &args)),
        Command::Info(args) => done(info::run(app, &args)),
        Command::Init(args) => done(init::run(app, args)),
        Command::Secret(args) => done(secret::run(app, &args)),
        Command::Edit(args) => done(edit::run(app, &args)),
        Command::Stop(args) => done(stop::run(app, &args)),
        Command::Watch(args) => done(watch::run(app, &args)),
        Command::Results(args) => done(results::run(app, &args)),
        Command::Save(args) => done(save::run(app, &args)),
        Command::Discard(args) => done(discard::run(app, &args)),
        Command::Cleanup(args) => done(cleanup::run(app, &args)),
        Command::Trust(args) => done(trust::trust(app, &args)),
        Command::Untrust(args) => done(trust::untrust(app, &args)),
        Command::Cluster(args) => done(cluster::run(app, &args)),
        Command::Schema(args) => done(schema::run(app, &args)),
        Command::Completions(args) => done(man::completions(app, &args, &definition())),
        Command::Complete(args) => Ok(complete::run(app, &args, &definition())),
        Command::Man(args) => done(man::pages(&args, definition())),
        Command::Reap(args) => done(reap::run(app, &args)),
        Command::Hold(_) => done(hold::run(app)),
        Command::PluginCase(args) => done(plugin::case::run(app, &args)),
    }
}

/// Fails when data was lost on its way to standard output, by a full disk for example.
fn output_is_whole(ui: &Ui) -> CliResult {
    let lost = |error: &std::io::Error| anyhow::anyhow!("{error}").context("cannot write to standard output");
    ui.output_error().map_or(Ok(()), |error| Err(lost(error).into()))
}

/// Makes the error of a command line that clap could not know to be wrong.
fn usage(message: impl Into<String>) -> CliError {
    CliError::new(Exit::Usage, message.into())
}
