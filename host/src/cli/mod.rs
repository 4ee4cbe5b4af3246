//! The command line: one file a command, each with its arguments and a `run`.

mod afterwards;
mod cleanup;
mod doctor;
mod edit;
mod exec;
mod info;
mod init;
mod list;
mod logs;
mod man;
mod open;
mod plugin;
mod policy;
mod reap;
mod schema;
mod start;
mod stop;
mod table;
mod trust;

use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, Parser, Subcommand};

use crate::error::{CliError, CliResult, Exit};
use crate::invocation::Invocation;
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
  CLAUDE_BOTTLE_OAUTH_TOKEN   the token the agent gets as CLAUDE_CODE_OAUTH_TOKEN
  CLAUDE_BOTTLE_PLUGIN_PATH   directories of plug-ins, searched first
  CLAUDE_BOTTLE_LOG           what to log, as `debug` or `plugin=trace`")]
struct Cli {
    /// Log more: -v what is done, -vv every detail
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = GLOBAL)]
    verbose: u8,
    /// Say only what is asked for, and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    quiet: bool,
    /// When to use colour; NO_COLOR counts for `auto`
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t, help_heading = GLOBAL)]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start an agent in a bottle of its own
    Start(start::Args),
    /// List the agents of the manifest, or the bottles that are running
    List(list::Args),
    /// Show what an agent is granted
    Info(info::Args),
    /// Add an agent to the manifest
    Init(init::Args),
    /// Edit the manifest; a wrong one is not saved
    Edit(edit::Args),
    /// Run a program in a bottle that is running
    Exec(exec::Args),
    /// Close a bottle that is running
    Stop(stop::Args),
    /// Show the runs there were, and what each asked of its proxy
    Logs(logs::Args),
    /// Remove what dead runs left behind
    Cleanup(cleanup::Args),
    /// Ask what the egress policy allows
    Policy(policy::Args),
    /// Say which backends work here and, where one does not, what mends it
    Doctor(doctor::Args),
    /// List, pin, check and begin backend plug-ins
    Plugin(plugin::Args),
    /// Trust the bottles of this directory's manifest, as it is now
    Trust(trust::TrustArgs),
    /// Take that trust back
    Untrust(trust::UntrustArgs),
    /// Print the manifest's JSON schema
    Schema(schema::Args),
    /// Print completions for a shell
    Completions(man::CompletionsArgs),
    /// Write the manual pages into a directory
    Man(man::ManArgs),
    /// Close the bottle of a run that was killed
    #[command(hide = true)]
    Reap(reap::Args),
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
}

/// Reads the command line, runs the command, reports its failure.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let invocation = match Invocation::from_process() {
        Ok(invocation) => invocation,
        Err(error) => {
            Ui::new(cli.color, false, cli.quiet).error(&error.into());
            return Exit::Failed.into();
        }
    };
    log(cli.verbose);
    let ui = Ui::new(cli.color, invocation.no_color, cli.quiet);
    let app = App { invocation, ui };
    match dispatch(&app, cli.command).and_then(|code| output_is_whole(&app.ui).map(|()| code)) {
        Ok(code) => code,
        Err(error) => {
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
        Command::Exec(args) => exec::run(app, args),
        Command::Logs(args) => logs::run(app, &args),
        Command::Policy(args) => policy::run(app, &args),
        Command::Doctor(args) => doctor::run(app, &args),
        Command::Plugin(args) => plugin::run(app, args),
        Command::List(args) => done(list::run(app, &args)),
        Command::Info(args) => done(info::run(app, &args)),
        Command::Init(args) => done(init::run(app, args)),
        Command::Edit(args) => done(edit::run(app, &args)),
        Command::Stop(args) => done(stop::run(app, &args)),
        Command::Cleanup(args) => done(cleanup::run(app, &args)),
        Command::Trust(args) => done(trust::trust(app, &args)),
        Command::Untrust(args) => done(trust::untrust(app, &args)),
        Command::Schema(args) => done(schema::run(app, &args)),
        Command::Completions(args) => done(man::completions(app, &args, definition())),
        Command::Man(args) => done(man::pages(&args, definition())),
        Command::Reap(args) => done(reap::run(app, &args)),
        Command::PluginCase(args) => done(plugin::case::run(app, &args)),
    }
}

/// Fails when data was lost on its way to standard output, by a full disk for example.
fn output_is_whole(ui: &Ui) -> CliResult {
    let lost = |error: &std::io::Error| anyhow::anyhow!("{error}").context("write to standard output");
    ui.output_error().map_or(Ok(()), |error| Err(lost(error).into()))
}

/// Starts logging for developers, to standard error: by CLAUDE_BOTTLE_LOG, else by how often `-v` was given.
fn log(verbose: u8) {
    let by_flag = match verbose {
        0 => "error",
        1 => "claude_bottle=debug,plugin=info",
        _ => "claude_bottle=trace,plugin=trace",
    };
    let filter = std::env::var("CLAUDE_BOTTLE_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = tracing_subscriber::EnvFilter::new(filter.as_deref().unwrap_or(by_flag));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

/// Makes the error of a command line that clap could not know to be wrong.
fn usage(message: impl Into<String>) -> CliError {
    CliError::new(Exit::Usage, message.into())
}
