//! A start whose session is held: by which wish, and how this process joins it.

use std::env;
use std::process::ExitCode;

use anyhow::Context;

use super::super::{App, usage};
use super::Flags;
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::Agent;
use crate::run::hold::client::{Client, Left};
use crate::run::hold::{Held, Setup, Size};
use crate::ui::interrupt::Interrupt;
use crate::ui::terminal::{Raw, Title};
use crate::ui::{clean, output};

/// The size of a terminal that is not there yet.
const UNATTENDED: Size = Size { rows: 50, columns: 120 };

/// What is asked of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    /// It goes on when its terminal is gone.
    pub(super) survives: bool,
    detach: bool,
    record: bool,
}

impl Wish {
    /// Returns what the command line asks for, else the agent, else the defaults.
    pub(super) fn of(app: &App, flags: &Flags, agent: &Agent) -> Self {
        // What is no flag is left out where it cannot be had: a script's start is one like any other.
        let is_usual = agent.survive.unwrap_or(app.defaults.survive);
        let by_default = is_usual && flags.print.is_none() && has_terminal(app);
        let is_wanted = flags.survive.unwrap_or(by_default);
        Self { survives: flags.detach || is_wanted, detach: flags.detach, record: flags.record }
    }

    /// Returns `true` if a holder is needed, which this process has none of.
    pub(super) fn needs_holder(self, app: &App) -> bool {
        app.told.is_none() && (self.survives || self.record)
    }
}

fn has_terminal(app: &App) -> bool {
    app.ui.stderr_terminal && app.ui.stdout_terminal && std::io::IsTerminal::is_terminal(&std::io::stdin())
}

/// Starts a holder in which the same command runs, and joins it.
pub(super) fn hold(app: &App, flags: &Flags, wish: Wish) -> CliResult<ExitCode> {
    let attended = has_terminal(app);
    if !attended && !wish.detach {
        let option = if wish.survives { "--survive" } else { "--record" };
        return Err(usage(format!("{option} needs a terminal")).hint("add --detach, or run it on a terminal"));
    }
    if !attended && flags.will_ask(app) {
        return Err(
            CliError::new(Exit::Failed, app.ui.cannot_ask()).hint("add --yes to start without asking")
        );
    }
    let setup = Setup {
        arguments: env::args_os().skip(1).collect(),
        environment: env::vars_os().collect(),
        size: if attended { Size::of(output::stdout()) } else { UNATTENDED },
        attended,
        survive: wish.survives,
        record: wish.record,
        notify: app.defaults.notify.clone(),
    };
    let interrupt = Interrupt::install()?;
    let raw = attended.then(Raw::enter).transpose().context("cannot put the terminal into raw mode")?;
    let raw = raw.map(|raw| (raw, Title::keep()));
    let keys = app.defaults.detach_keys.clone().unwrap_or_default();
    let mut client = Client::start(&app.invocation.exe, &setup, wish.detach, keys, &interrupt)
        .context("cannot start the process that holds the session")?;
    let left = client.run().context("cannot carry the session")?;
    let (said, held) = (client.said.take(), client.held.take());
    if let Some(said) = said {
        app.ui.text(&clean(&said));
    }
    let code = leave(app, left, held.as_ref(), raw)?;
    if let Some(held) = held.filter(|_| wish.detach) {
        app.ui.data(&held.name);
    }
    Ok(code)
}

/// Says how a session was left, with the terminal as it was found.
pub(in crate::cli) fn leave(
    app: &App,
    left: Left,
    held: Option<&Held>,
    raw: Option<(Raw, Title)>,
) -> CliResult<ExitCode> {
    if let (Left::Ended(code), raw) = (&left, raw) {
        // The program has tidied up itself.
        if let Some((raw, _title)) = raw {
            raw.leave();
        }
        return Ok(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX)));
    }
    let name = held.map(|held| held.name.as_str());
    match (left, name) {
        (Left::Detached, Some(name)) => {
            app.ui.status(&format!("detached from {name}, which goes on"));
            app.ui.hint(&format!("claude-bottle attach {name}"));
        }
        (Left::Detached, None) => {
            app.ui.status("detached before the agent was running");
            app.ui.hint("see whether it goes on: claude-bottle ps");
        }
        (Left::Taken, _) => app.ui.status("detached: the session was attached to from another terminal"),
        (Left::Failed(reason), _) => {
            return Err(CliError::new(Exit::Start, format!("cannot hold the session: {reason}")));
        }
        _ => {
            let error = CliError::new(Exit::Start, "the process that held the session is gone".to_owned());
            return Err(error.hint("see what became of the run: claude-bottle logs"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
