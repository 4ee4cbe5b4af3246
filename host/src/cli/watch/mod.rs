//! `watch`: all bottles on one screen, what they are refused as it comes, and questions with their answers.
//!
//! What a key does is a command of this program, run as one: so each of them can be typed as well, and says the same.

mod commands;
mod draw;
mod model;
mod source;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
#[cfg(debug_assertions)]
use crossterm::event::KeyCode;
use crossterm::event::{self, Event, KeyEventKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGTSTP};

use super::App;
use crate::error::{CliError, CliResult, Exit};
use crate::ui::interrupt::Interrupt;
use crate::ui::screen::Screen;
use commands::Commands;
pub(super) use model::said;
use model::{Action, Asked, Model};
use source::Source;

/// How often logs and records are looked at.
const TICK: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle watch         every bottle that runs
  claude-bottle watch dev     those of the agent `dev`, or the bottle of that name

Keys, and the command that each of them runs:
  a, d          policy allow, policy deny: answer what waits, or change what was refused
  s             exec BOTTLE -- sh
  f             diff
  x             stop
  Tab, ↑, ↓     choose
  q             leave; the bottles run on")]
pub(super) struct Args {
    /// The bottle: its name, its run's id, or its agent
    bottle: Option<String>,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult {
    let source = Source::new(app, args.bottle.as_deref());
    if let Some(wanted) = &args.bottle
        && source.runs()?.is_empty()
    {
        let message = format!("there is no bottle `{wanted}` that runs");
        return Err(CliError::new(Exit::Failed, message).hint("claude-bottle list active"));
    }
    if !app.ui.interactive || !app.ui.stdout_terminal {
        let error = CliError::new(Exit::Failed, "`watch` needs a terminal");
        return Err(error.hint("for programs: claude-bottle list active --format json; claude-bottle logs BOTTLE --egress --follow"));
    }
    let interrupt = Interrupt::install()?;
    let suspended = Arc::<AtomicBool>::default();
    signal_hook::flag::register(SIGTSTP, Arc::clone(&suspended)).context("cannot install signal handlers")?;
    std::thread::spawn(end_with_terminal);
    let screen = Screen::enter().context("cannot take the terminal")?;
    Watch { app, source, model: Model::default(), screen, interrupt, suspended, commands: Commands::new(app) }
        .show()
}

/// Returns what bottles wait for at the moment, the one that has waited longest first.
pub(super) fn questions(app: &App, wanted: Option<&str>) -> CliResult<Vec<Asked>> {
    let mut model = Model::default();
    Source::new(app, wanted).refresh(&mut model)?;
    Ok(model.questions)
}

/// Waits for a key, a moment long, and returns `true` if the terminal is gone. The library that reads keys would not notice that,
/// and read for ever.
fn is_gone(moment: Duration) -> std::io::Result<bool> {
    let stdin = std::io::stdin();
    let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
    let moment = Timespec { tv_sec: 0, tv_nsec: moment.subsec_nanos().into() };
    match poll(&mut waiting, Some(&moment)) {
        Ok(_) => Ok(waiting[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Ends the program a second after its terminal, as a program ends that does not listen for that. The library that reads keys goes on
/// reading for ever when the terminal goes at the moment at which it looks.
fn end_with_terminal() {
    let stdin = std::io::stdin();
    loop {
        let mut waiting = [PollFd::new(&stdin, PollFlags::empty())];
        if poll(&mut waiting, None).is_ok() {
            std::thread::sleep(Duration::from_secs(1));
            signal_hook::low_level::emulate_default_handler(SIGHUP).ok();
            return;
        }
    }
}

/// The view while it is shown.
struct Watch<'a> {
    app: &'a App,
    source: Source<'a>,
    model: Model,
    screen: Screen,
    interrupt: Arc<Interrupt>,
    /// Set when this program is to stop as a shell stops a job.
    suspended: Arc<AtomicBool>,
    commands: Commands,
}

impl Watch<'_> {
    /// Shows it until the user leaves, or the program is asked to end.
    fn show(mut self) -> CliResult {
        loop {
            self.source.refresh(&mut self.model)?;
            if let Some(said) = self.commands.said() {
                self.model.note = said;
            }
            let (model, has_color) = (&self.model, self.app.ui.data_color);
            self.screen.draw(|frame| draw::draw(frame, model, has_color)).context("cannot draw")?;
            let action = self.next()?;
            if action == Action::Quit || self.interrupt.triggered() {
                return Ok(());
            }
            let is_suspended = self.suspended.swap(false, Ordering::AcqRel);
            self.act(if is_suspended { Action::Suspend } else { action })?;
        }
    }

    /// Waits for a key, a moment long, and returns what it asks for.
    fn next(&mut self) -> CliResult<Action> {
        let lost = "cannot read keys";
        // Several keys may have been read with the first.
        let has_more = !is_gone(Duration::ZERO).context(lost)?
            && !self.interrupt.triggered()
            && event::poll(Duration::ZERO).context(lost)?;
        if !has_more {
            // The signal that comes with the end of a terminal ends the wait for it too.
            if is_gone(TICK).context(lost)?
                || self.interrupt.triggered()
                || is_gone(Duration::ZERO).context(lost)?
            {
                return Ok(Action::Quit);
            }
            if !event::poll(Duration::ZERO).context(lost)? {
                return Ok(Action::Nothing);
            }
        }
        Ok(match event::read().context(lost)? {
            #[cfg(debug_assertions)]
            Event::Key(key) if key.code == KeyCode::F(12) && is_to_panic() => panic!("a test wants it"),
            Event::Key(key) if key.kind != KeyEventKind::Release => self.model.press(key),
            _ => Action::Nothing,
        })
    }

    fn act(&mut self, action: Action) -> CliResult {
        let lost = "cannot take the terminal back";
        match action {
            Action::Nothing | Action::Quit => {}
            Action::Command(words) => self.commands.start(words),
            Action::Foreground(words) => {
                let Self { screen, commands, .. } = self;
                self.model.note = screen.lend(|| commands.run(&words)).context(lost)?;
            }
            Action::Suspend => {
                self.screen
                    .lend(|| signal_hook::low_level::emulate_default_handler(SIGTSTP).ok())
                    .context(lost)?;
            }
        }
        Ok(())
    }
}

/// Returns `true` if the project's own test of a panic asks for one, which release builds do not know.
#[cfg(debug_assertions)]
fn is_to_panic() -> bool {
    std::env::var_os("CLAUDE_BOTTLE_TEST_PANIC").is_some()
}
