//! What `start` and `resume` have in common on the command line, and what it means for a run.

use super::super::{App, Format, usage};
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::{Agent, Bottle};
use crate::profile::{Ask, Profile};
use crate::run::options::Options;
use crate::run::variables::AskError;
use crate::ui::Ui;

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
    /// Let requests to hosts that no rule allows wait for an answer
    #[arg(long)]
    pub(super) ask_hosts: bool,
    /// Pull the image or its base again
    #[arg(long)]
    pull: bool,
    /// Rebuild the image without its cache
    #[arg(long)]
    rebuild: bool,
    /// The backend to use, instead of CLAUDE_BOTTLE_BACKEND
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) backend: Option<String>,
    /// Run once with this prompt, and print the answer
    #[arg(short, long, value_name = "PROMPT", allow_hyphen_values = true)]
    pub(super) print: Option<String>,
    /// Leave the agent running when its terminal is closed or lost
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, hide_possible_values = true)]
    #[arg(default_missing_value = "true", conflicts_with = "print")]
    pub(super) survive: Option<bool>,
    /// Start in the background, and print the bottle's name
    #[arg(short, long, conflicts_with_all = ["print", "survive"])]
    pub(super) detach: bool,
    /// Keep what the terminal shows: claude-bottle logs --transcript
    #[arg(long, conflicts_with = "print")]
    pub(super) record: bool,
    /// Let the session be controlled from elsewhere
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

    /// Refuses an option that the agent's program does not know.
    pub(super) fn check(&self, agent: &Agent) -> CliResult {
        let knows = |option: &str, knows: fn(&Profile) -> bool| match agent.program() {
            Some(profile) if knows(profile) => Ok(()),
            _ => Err(unknown_to(agent, option)),
        };
        if self.remote_control {
            knows("--remote-control", |profile| !profile.remote_control.is_empty())?;
        }
        if self.print.is_some() {
            knows("--print", |profile| !profile.headless.is_empty())?;
        }
        Ok(())
    }

    /// Returns the agent's arguments: what the command line adds to its own command, and what makes it go on.
    pub(super) fn arguments_of(&self, agent: &Agent, resumes: bool) -> Vec<String> {
        let ask = Ask {
            arguments: &self.arguments,
            headless: self.print.as_deref(),
            remote_control: self.remote_control,
            resumes,
        };
        agent.program().map_or_else(|| self.arguments.clone(), |profile| profile.words(ask))
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

/// Makes the error of an option that the agent's program does not know.
fn unknown_to(agent: &Agent, option: &str) -> CliError {
    let (name, program, profile) = (&agent.name, program(agent), &agent.profile);
    let message = match agent.program() {
        Some(_) => format!("{option} is not for the profile `{}`, which `{name}` has", profile.name),
        None => {
            let known = profile.command.first().map(String::as_str).unwrap_or_default();
            format!("{option} is for agents that run `{known}`; `{name}` runs `{program}`")
        }
    };
    usage(message).hint("pass arguments of its own after --, and add --yes")
}
