//! What `start` and `resume` have in common on the command line, and what it means for a run.

use super::super::{App, Format, usage};
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::{Agent, Bottle};
use crate::run::options::Options;
use crate::run::variables::AskError;
use crate::ui::Ui;

/// The program whose options `--print`, `--remote-control` and `--continue` are.
const CLAUDE: &str = "claude";
/// Options of that program that say which session it goes on with.
const SESSIONS: [&str; 5] = ["--continue", "-c", "--resume", "-r", "--session-id"];

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Flags {
    /// What the bottle is called, in every command that takes one
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Show the plan, and make nothing (also CLAUDE_BOTTLE_DRY_RUN=1)
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How the plan of a dry run is printed
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Start without asking
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Ask, although config.yaml says not to
    #[arg(long, conflicts_with = "yes")]
    ask: bool,
    /// Start although the backend does not enforce the egress policy
    #[arg(long)]
    pub(super) allow_unenforced_egress: bool,
    /// Pull the image or its base again
    #[arg(long)]
    pull: bool,
    /// Rebuild the image without its cache
    #[arg(long)]
    rebuild: bool,
    /// The backend to use, instead of CLAUDE_BOTTLE_BACKEND
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) backend: Option<String>,
    /// Run once with this prompt, without terminal or question, and print the answer
    #[arg(short, long, value_name = "PROMPT", allow_hyphen_values = true)]
    pub(super) print: Option<String>,
    /// Pass --remote-control to Claude Code (control it from claude.ai)
    #[arg(long)]
    pub(super) remote_control: bool,
    /// Show afterwards how long each step took
    #[arg(long)]
    pub(super) timings: bool,
    /// Arguments for the agent, after those of the manifest
    #[arg(last = true, value_name = "ARGS")]
    pub(in crate::cli) arguments: Vec<String>,
}

impl Flags {
    /// Returns whether nothing is made, after a look at what goes with it.
    pub(in crate::cli) fn is_dry_run(&self, app: &App) -> CliResult<bool> {
        let dry_run =
            self.dry_run | app.invocation.switch("DRY_RUN").map_err(|error| error.exit(Exit::Start))?;
        if self.format == Format::Json && !dry_run {
            return Err(usage("--format json is for dry runs").hint("add --dry-run"));
        }
        Ok(dry_run)
    }

    /// Returns the agent's arguments: what the command line adds to its own command.
    pub(super) fn arguments_of(&self, agent: &Agent) -> CliResult<Vec<String>> {
        let mut arguments = self.arguments.clone();
        if self.remote_control {
            only_for_claude(agent, "--remote-control")?;
            arguments.push("--remote-control".to_owned());
        }
        if let Some(prompt) = &self.print {
            only_for_claude(agent, "--print")?;
            arguments.push("--print".to_owned());
            // What begins with a dash would be taken for an option.
            arguments.extend(prompt.starts_with('-').then(|| "--".to_owned()));
            arguments.push(prompt.clone());
        }
        Ok(arguments)
    }

    /// Returns what makes the agent go on with its last session, unless the arguments say which.
    pub(super) fn going_on(&self, agent: &Agent) -> Option<String> {
        let name = |argument: &String| argument.split('=').next().unwrap_or_default().to_owned();
        let is_said = self.arguments.iter().any(|argument| SESSIONS.contains(&name(argument).as_str()));
        (agent.is_claude() && !is_said).then(|| "--continue".to_owned())
    }

    /// Returns what the manifest and the command line set for the backend.
    pub(super) fn options(&self, bottle: &Bottle, backend: &str) -> Options {
        let mut options = Options::of(bottle, backend);
        let flags = [("pull", self.pull), ("rebuild", self.rebuild)];
        flags.iter().filter(|(_, is_on)| *is_on).for_each(|(name, _)| options.switch_on(name));
        options
    }

    /// Returns whether a question comes before the launch.
    pub(super) fn will_ask(&self, app: &App) -> bool {
        let is_agreed = self.yes || (app.defaults.yes && !self.ask);
        !is_agreed && self.print.is_none()
    }

    /// A run with --print never asks, also not for a secret.
    pub(super) fn terminal<'a>(&self, app: &'a App) -> Result<&'a Ui, AskError> {
        match (&self.print, app.ui.interactive) {
            (Some(_), _) => Err(AskError::Headless),
            (None, true) => Ok(&app.ui),
            (None, false) => Err(AskError::NoTerminal),
        }
    }
}

fn program(agent: &Agent) -> &str {
    agent.command.first().map(String::as_str).unwrap_or_default()
}

/// Refuses an option that only Claude Code knows, for an agent that runs another program.
fn only_for_claude(agent: &Agent, option: &str) -> CliResult {
    if agent.is_claude() {
        return Ok(());
    }
    let (name, program) = (&agent.name, program(agent));
    let message = format!("{option} is for agents that run `{CLAUDE}`; `{name}` runs `{program}`");
    let error: CliError = usage(message);
    Err(error.hint("pass arguments of its own after --, and add --yes"))
}
