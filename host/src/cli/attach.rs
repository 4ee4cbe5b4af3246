//! `attach` and `wait`: the session of a bottle that survives its terminal, and its end.

use std::process::ExitCode;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};

use super::App;
use super::start::leave;
use super::table::age;
use super::work::show_work;
use crate::egress::summary;
use crate::error::{CliError, CliResult, Exit};
use crate::run::changes::{Changes, TICK};
use crate::run::ending::Outcome;
use crate::run::hold::client::Client;
use crate::run::hold::socket;
use crate::run::records::{Phase, Record};
use crate::ui::interrupt::Interrupt;
use crate::ui::terminal::{Raw, Title};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle start dev --survive             closing the terminal leaves the agent running
  claude-bottle attach dev                      and this is how to get back to it

Detach with ctrl-\\ and then d, or with the keys that config.yaml names as `detach_keys`. A session
has one terminal: who attaches takes it from where it was. Of a run that has ended, what became of it
is shown.

Exit codes: the agent's own when it ends; 0 when you detach; 125 when claude-bottle failed.")]
pub(super) struct Args {
    /// The bottle: its name, its run's id, or its agent when only one runs
    bottle: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle start dev --detach --yes && claude-bottle wait dev

Exit codes: the agent's own; 125 when it is not known; 130 when interrupted.")]
pub(super) struct WaitArgs {
    /// The bottle: its name, its run's id, or its agent for the newest run
    bottle: String,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    attach(app, &args.bottle).map_err(|error| error.exit(Exit::Start))
}

fn attach(app: &App, wanted: &str) -> CliResult<ExitCode> {
    let records = app.runs().all()?;
    let record = find(app, &records, wanted)?;
    if record.phase == Phase::Ended {
        return ended(app, record);
    }
    let connected = socket::connect(&app.runs().dir(&record.id));
    let Some(stream) = connected.with_context(|| format!("cannot attach to `{}`", record.name))? else {
        return Err(not_held(record));
    };
    if !(app.ui.interactive && app.ui.stdout_terminal) {
        return Err(CliError::new(Exit::Start, "attach needs a terminal".to_owned())
            .hint(format!("wait for its end without one: claude-bottle wait {}", record.name)));
    }
    let interrupt = Interrupt::install()?;
    let raw = Raw::enter().context("cannot put the terminal into raw mode")?;
    let keys = app.defaults.detach_keys.clone().unwrap_or_default();
    let title = Title::keep();
    let mut client = Client::attach(stream, keys, &interrupt).context("cannot attach")?;
    let left = client.run().context("cannot carry the session")?;
    leave(app, left, client.held.as_ref(), Some((raw, title)))
}

/// Finds the run: one that is held before all others, and of those the only one.
fn find<'r>(app: &App, records: &'r [Record], wanted: &str) -> CliResult<&'r Record> {
    let is_called =
        |record: &&Record| [&record.id, &record.name, &record.agent].iter().any(|name| *name == wanted);
    let is_held = |record: &&Record| {
        record.phase != Phase::Ended && app.runs().dir(&record.id).join(socket::FILE).exists()
    };
    let held: Vec<_> = records.iter().filter(is_called).filter(is_held).collect();
    match held.as_slice() {
        [] => super::logs::find(records, wanted),
        [record] => Ok(record),
        several => match several.iter().find(|record| record.id == wanted || record.name == wanted) {
            Some(record) => Ok(record),
            None => {
                let names: Vec<_> = several.iter().map(|record| record.name.as_str()).collect();
                let message = format!("`{wanted}` has {} sessions: {}", names.len(), names.join(", "));
                Err(CliError::new(Exit::Failed, message).hint(format!("claude-bottle attach {}", names[0])))
            }
        },
    }
}

fn not_held(record: &Record) -> CliError {
    let (name, agent) = (&record.name, &record.agent);
    CliError::new(Exit::Start, format!("`{name}` was started without --survive, on a terminal of its own"))
        .hint(format!("start it so that it can be attached to: claude-bottle start {agent} --survive"))
        .hint(format!("or run a program in it: claude-bottle exec {name} -- bash"))
}

/// Says what became of a run that has ended; returns the agent's exit code.
fn ended(app: &App, record: &Record) -> CliResult<ExitCode> {
    let since = record.ended_unix.map_or_else(String::new, |ended| format!(" {} ago", age(ended)));
    let code = record.exit_code.map_or_else(String::new, |code| format!(", with exit code {code}"));
    app.ui.status(&format!("{} has ended{since}{code}", record.name));
    let summary = summary::read(&app.runs().dir(&record.id)).context("cannot read the run's decisions")?;
    [summary.text(), summary.failed_text()].into_iter().flatten().for_each(|text| app.ui.status(&text));
    if let Some(saved) = app.results().get(&record.id)? {
        show_work(app, &record.id, &Outcome::Saved(Box::new(saved)));
    }
    app.ui.hint(&format!("claude-bottle logs {}", record.id));
    Ok(code_of(record))
}

fn code_of(record: &Record) -> ExitCode {
    record.exit_code.map_or_else(
        || Exit::Start.into(),
        |code| ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
    )
}

/// Waits until a run has ended. Woken by a change of its record, not by a clock.
pub(super) fn wait(app: &App, args: &WaitArgs) -> CliResult<ExitCode> {
    wait_for(app, &args.bottle).map_err(|error| error.exit(Exit::Start))
}

fn wait_for(app: &App, wanted: &str) -> CliResult<ExitCode> {
    let records = app.runs().all()?;
    let id = find(app, &records, wanted)?.id.clone();
    let directory = app.runs().dir(&id);
    let failed = || format!("cannot wait for run `{id}`");
    let interrupt = Interrupt::install()?;
    let changes = Changes::new().with_context(failed)?;
    changes.add(&directory).with_context(failed)?;
    loop {
        match app.runs().get(&id) {
            Some(record) if !matches!(record.phase, Phase::Ended | Phase::Unsaved) => {}
            Some(record) => return Ok(code_of(&record)),
            None => return Ok(Exit::Start.into()),
        }
        let mut waited = [PollFd::new(&interrupt, PollFlags::IN), PollFd::new(&changes, PollFlags::IN)];
        match poll(&mut waited, TICK.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(anyhow::Error::new(error).context(failed()).into()),
        }
        if interrupt.triggered() {
            return Ok(Exit::Interrupted.into());
        }
        changes.drain().with_context(failed)?;
    }
}
